"""The pages that docs/generate.py writes have every component, command and public name."""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path

import pytest

from allencv_al.commands.registries import REGISTRIES, load_registry
from allencv_al.commands.table import SUBCOMMANDS

SCRIPT = Path(__file__).resolve().parents[2] / "docs" / "generate.py"
SPEC = importlib.util.spec_from_file_location("generate", SCRIPT)
assert SPEC is not None
assert SPEC.loader is not None
generate = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(generate)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reference")
    generate.write_pages(folder)
    return folder


@pytest.mark.parametrize("family", REGISTRIES)
def test_a_family_has_all_its_names_with_their_parameters(reference: Path, family: str) -> None:
    text = (reference / "components" / f"{family}.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^## `(\w+)`$", text, re.MULTILINE)) >= set(
        load_registry(family).builtin
    )
    assert "(not documented)" not in text
    assert "Args:" not in text


@pytest.mark.parametrize("command", SUBCOMMANDS)
def test_a_command_has_its_options(reference: Path, command: str) -> None:
    text = (reference / "commands" / f"{command}.md").read_text(encoding="utf-8")
    assert "`-v, --verbose`" in text


@pytest.mark.parametrize("package", generate.PUBLIC_PACKAGES)
def test_a_package_has_all_its_names(reference: Path, package: str) -> None:
    text = (reference / "python" / f"{package}.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^(?:\.\. auto\w+:: |\* \{py:obj\}`)[\w.]+\.(\w+)", text, re.MULTILINE))
    assert named == set(importlib.import_module(package).__all__)


def test_text_is_shown_as_it_is_written() -> None:
    written = "a `*b*` of *c* in [D, E]::\n\n    x = {1: *y}"
    assert generate.prose(written) == "a `*b*` of \\*c\\* in \\[D, E\\]:\n\n    x = {1: *y}"


def test_pages_of_what_is_gone_are_removed(tmp_path: Path) -> None:
    generate.write_group(tmp_path, "Things", "All.", {"old": "# old\n", "kept": "# kept\n"})
    generate.write_group(tmp_path, "Things", "All.", {"kept": "# kept\n"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index.md", "kept.md"]
