"""`allencv-al demo`: the commands it runs, and what it replaces."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from allencv_al.__main__ import main
from allencv_al.commands import demo
from allencv_al.modules import weights


def test_it_shows_the_commands_that_it_runs_and_replaces_an_earlier_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[str] = []
    monkeypatch.setattr(demo, "_allencv_al", lambda *words: commands.append(shlex.join(words)))
    monkeypatch.setattr(weights, "source_problem", lambda source: None)
    folder = tmp_path / "demo"
    for name in ("comparison", "run", "run-photographs"):
        (folder / name).mkdir(parents=True)
        (folder / name / "old").touch()
    for name in ("run", "run-photographs"):
        (folder / name / "config.json").touch()
    (folder / "to_label.csv").touch()
    assert main(["demo", "-s", str(folder)]) == 0
    assert [line.split()[0] for line in commands] == [
        *("sample-data", "compare", "active-learn", "select"),
        *("sample-data", "select", "train"),
    ]
    assert "select --embeddings offline" in commands[5]
    assert "--strategies random,margin --seeds 6" in commands[1]
    assert "active_learning.budget" in commands[2] and "-k 20" in commands[3]
    assert (folder / "digits_active_learning.jsonnet").read_text() == demo.CONFIG.read_text()
    assert (folder / "photographs.jsonnet").read_text() == demo.PHOTOGRAPHS.read_text()
    assert not (folder / "run").exists() and not (folder / "run-photographs").exists()
    assert not (folder / "to_label.csv").exists()
    assert (folder / "comparison" / "old").exists(), "no run: left alone"


def test_without_the_packaged_weights_it_says_how_to_get_the_photographs_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands: list[str] = []
    monkeypatch.setattr(demo, "_allencv_al", lambda *words: commands.append(words[0]))
    monkeypatch.setattr(weights, "source_problem", lambda source: f"{source}: not installed")
    assert main(["demo", "-s", str(tmp_path / "demo")]) == 0
    assert commands == ["sample-data", "compare", "active-learn", "select"]
    assert "left out: package:efficientnet_lite0: not installed" in capsys.readouterr().out
