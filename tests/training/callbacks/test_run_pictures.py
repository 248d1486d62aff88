"""The pictures that a run ends with."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from PIL import Image

from allencv_al.data.vocabulary import Vocabulary
from allencv_al.training.callbacks import run_pictures
from allencv_al.training.callbacks.run_pictures import PicturesCallback
from allencv_al.training.run_plots import CONFUSION_MATRIX, TRAINING_CURVES

VOCAB = Vocabulary({"labels": {"cat": 1, "dog": 1}})
TRAINER = cast(Any, SimpleNamespace(model=SimpleNamespace(vocab=VOCAB)))


def width(path: Path) -> int:
    with Image.open(path) as image:
        return image.size[0]


def end(folder: Path, metrics: dict[str, Any], **options: Any) -> None:
    for epoch in range(2):
        content = json.dumps({"epoch": epoch, "training_loss": 1.0})
        (folder / f"metrics_epoch_{epoch}.json").write_text(content)
    callback = PicturesCallback(serialization_dir=str(folder))
    callback.on_end(TRAINER, metrics=metrics, epoch=1, **options)


def test_curves_are_drawn_and_a_matrix_where_one_was_counted(tmp_path: Path) -> None:
    end(tmp_path, {})
    assert width(tmp_path / TRAINING_CURVES) > 100
    assert not (tmp_path / CONFUSION_MATRIX).exists()
    end(tmp_path, {"validation_confusion_matrix": [[1, 2], [3, 4]]})
    assert width(tmp_path / CONFUSION_MATRIX) > 100


def test_the_matrix_is_that_of_the_best_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(run_pictures, "write_confusion_matrix", lambda *given: drawn.append(given))
    matrices = {
        "training_confusion_matrix": [[1]],
        "validation_confusion_matrix": [[2]],
        "best_validation_confusion_matrix": [[3]],
    }
    end(tmp_path, matrices)
    assert [given[1:] for given in drawn] == [([[3]], VOCAB, "best validation", "labels")]


def test_metrics_that_cannot_be_read_are_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "metrics_epoch_0.json").write_text("{")
    PicturesCallback(serialization_dir=str(tmp_path)).on_end(TRAINER, metrics={}, epoch=0)
    assert f"{tmp_path / TRAINING_CURVES}: not drawn" in caplog.text


def test_only_the_primary_process_draws(tmp_path: Path) -> None:
    end(tmp_path, {}, is_primary=False)
    assert not (tmp_path / TRAINING_CURVES).exists()
