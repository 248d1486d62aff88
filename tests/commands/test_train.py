"""`allencv-al train`: what it prints, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from allencv_al.__main__ import main
from allencv_al.reports.mistakes import MistakeGallery
from allencv_al.training import training_run


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "config.jsonnet"
    path.write_text("{}")
    return str(path)


def test_the_scores_and_the_model_are_printed(
    config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[Any] = []

    def train(params: Any, folder: Path, **options: Any) -> dict[str, object]:
        calls.append((params.as_dict(), folder, options))
        return {"best_epoch": 3, "test_accuracy": 0.98765, "test_loss": None, "other": 1}

    monkeypatch.setattr(training_run, "train", train)
    run = tmp_path / "run"
    assert main(["train", config, "-s", str(run), "--recover", "-o", '{"a": {"b": 1}}']) == 0
    assert capsys.readouterr().out.splitlines() == [
        "best_epoch: 3",
        "test_accuracy: 0.9877",
        f"model: {run / 'model.tar.gz'}",
    ]
    assert callable(calls[0][2].pop("encoded"))
    assert calls[0][2].pop("gallery") is MistakeGallery
    options = {"recover": True, "force": False, "source": config}
    assert calls == [({"a": {"b": 1}}, run, options)]


def test_a_model_that_nothing_measured_is_said(
    config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(training_run, "train", lambda *_, **__: {"training_accuracy": 1.0})
    assert main(["train", config, "-s", str(tmp_path / "run")]) == 0
    first, _model = capsys.readouterr().out.splitlines()
    assert first.startswith("accuracy: not measured; give validation_data_path or ")


def test_a_run_needs_a_folder_and_a_dry_run_none(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", config]) == 2
    assert "train: needs -s DIR, the folder to write the run to" in capsys.readouterr().err
    assert main(["train", config, "--dry-run", "-o", json.dumps({"trainr": {}})]) == 2
    assert 'did you mean "trainer"' in capsys.readouterr().err
