"""The tutorial of several classes: its commands run as printed, by default on fewer images."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from fixtures.doc_page import REPOSITORY, DocPage

from allencv_al.__main__ import main
from allencv_al.data.sample_data.shapes import write_shapes

PAGE = DocPage("docs/tutorials/multi_label.md")
CONFIG = "training_config/shapes_labels.jsonnet"
FAST = {"trainer.num_epochs": 1, "active_learning.query_size": 4, "active_learning.budget": 8}


def commands() -> list[list[str]]:
    """The commands of the package in the page, in order."""
    lines = "\n".join(text for _, text in PAGE.blocks("bash")).replace("\\\n", " ").splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith("allencv-al ")]


def walk(folder: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SHAPES_PATH", "shapes")
    (folder / "training_config").symlink_to(REPOSITORY / "training_config")
    for command in commands():
        if command[0] == "sample-data" and more:
            write_shapes("shapes", counts={"train": 12, "validation": 3, "test": 3})
            continue
        own = more if CONFIG in command else ()
        assert main([*command, *own]) == 0, command


def test_every_command_runs_on_a_few_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk(tmp_path, monkeypatch, "--overrides", json.dumps(FAST))
    rows = [
        json.loads(line)
        for line in Path("predictions.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert [sorted(row) for row in rows] == [["classes", "image_path", "probabilities"]] * 3
    assert Path("to_label.csv").is_file()
    assert "acro F1" in Path("runs/labels_loop/report.html").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_model_is_as_good_as_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk(tmp_path, monkeypatch)
    metrics = json.loads(Path("runs/labels/metrics.json").read_text(encoding="utf-8"))
    assert metrics["test_macro_f1"] >= 0.95
