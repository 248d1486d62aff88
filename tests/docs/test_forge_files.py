"""The files that a forge reads: workflows, issue forms, citation."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import allencv_al

REPOSITORY = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))
PINNED = re.compile(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")


def load(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def test_there_are_workflows() -> None:
    assert [path.name for path in WORKFLOWS] == ["ci.yml", "release.yml", "weekly.yml"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_pinned_by_commit_with_its_version(path: Path) -> None:
    uses = [line for line in path.read_text(encoding="utf-8").splitlines() if "uses:" in line]
    assert uses
    assert [line for line in uses if not PINNED.search(line)] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_read_only_and_every_job_ends(path: Path) -> None:
    workflow = load(path)
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        assert "timeout-minutes" in job, name
        for step in job["steps"]:
            if "actions/checkout" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False, name


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_no_workflow_takes_a_secret_or_puts_strangers_text_into_a_script(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "secrets." not in text
    assert "pull_request_target" not in text
    scripts = [step.get("run", "") for job in load(path)["jobs"].values() for step in job["steps"]]
    assert [script for script in scripts if "${{" in script] == []


def test_the_required_job_needs_all_others_and_runs_when_they_fail() -> None:
    jobs = load(REPOSITORY / ".github" / "workflows" / "ci.yml")["jobs"]
    required = jobs["required"]
    assert set(required["needs"]) == set(jobs) - {"required"}
    assert required["if"] == "always()"


def test_only_the_job_that_publishes_gets_an_identity() -> None:
    jobs = load(REPOSITORY / ".github" / "workflows" / "release.yml")["jobs"]
    assert [name for name, job in jobs.items() if "permissions" in job] == ["publish"]
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    assert jobs["publish"]["environment"]["name"] == "pypi"
    assert set(jobs["publish"]["needs"]) == {"build", "test"}


def test_updates_wait_for_a_week() -> None:
    for update in load(REPOSITORY / ".github" / "dependabot.yml")["updates"]:
        assert update["cooldown"] == {"default-days": 7}


def test_the_form_for_bugs_asks_for_the_installation() -> None:
    forms = REPOSITORY / ".github" / "ISSUE_TEMPLATE"
    for path in forms.glob("*.yml"):
        assert load(path), path.name
    fields = {field.get("id"): field for field in load(forms / "bug.yml")["body"]}
    assert "allencv-al test-install" in fields["installation"]["attributes"]["label"]
    assert fields["installation"]["validations"]["required"]


def test_the_hooks_are_those_of_ci() -> None:
    [repository] = load(REPOSITORY / ".pre-commit-config.yaml")["repos"]
    script = (REPOSITORY / ".ci" / "run").read_text()
    for hook in repository["hooks"]:
        assert " ".join(hook["entry"].split()[:2]).removesuffix(" --force-exclude") in script


def test_the_citation_names_this_version() -> None:
    citation = load(REPOSITORY / "CITATION.cff")
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert citation["version"] == allencv_al.__version__
    assert citation["license"] == project["license"]
