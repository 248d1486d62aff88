"""`allencv-al demo`: the commands it runs, and what it replaces."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from allencv_al.__main__ import main
from allencv_al.commands import demo


def test_it_shows_the_commands_that_it_runs_and_replaces_an_earlier_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[str] = []
    monkeypatch.setattr(demo, "_allencv_al", lambda *words: commands.append(shlex.join(words)))
    folder = tmp_path / "demo"
    for name in ("comparison", "run"):
        (folder / name).mkdir(parents=True)
        (folder / name / "old").touch()
    (folder / "run" / "config.json").touch()
    (folder / "to_label.csv").touch()
    assert main(["demo", "-s", str(folder)]) == 0
    assert [line.split()[0] for line in commands] == [
        *("sample-data", "compare", "active-learn", "select"),
    ]
    assert "--strategies random,margin --seeds 6" in commands[1]
    assert "active_learning.budget" in commands[2] and "-k 20" in commands[3]
    assert (folder / "digits_active_learning.jsonnet").read_text() == demo.CONFIG.read_text()
    assert not (folder / "run").exists() and not (folder / "to_label.csv").exists()
    assert (folder / "comparison" / "old").exists(), "no run: left alone"
