"""The callbacks of the package itself."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from PIL import Image

from allencv_al.common import Lazy
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.training.callbacks import TrainerCallback, standard_callbacks
from allencv_al.training.callbacks.standard_callbacks import (
    ConsoleLoggerCallback,
    MetricsJsonlCallback,
    PicturesCallback,
)
from allencv_al.training.checkpoints.checkpointer import Checkpointer
from allencv_al.training.learning_rate_schedulers import LearningRateScheduler
from allencv_al.training.optimizers import Optimizer
from allencv_al.training.run_plots import CONFUSION_MATRIX, TRAINING_CURVES

Make = Callable[..., Any]


def test_each_epoch_is_one_line_in_the_log(
    make_trainer: Make, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="allencv_al"):
        make_trainer(enable_default_callbacks=True).train()
    lines = [line for line in caplog.messages if line.startswith("epoch ")]
    assert len(lines) == 3
    number = r"\d+\.\d{4}"
    figures = rf"loss {number} accuracy {number}"
    assert re.fullmatch(
        rf"epoch 0/2: training {figures}; validation {figures} \(best so far\)", lines[0]
    )


def test_the_line_of_an_epoch_says_how_long_the_others_will_take(
    make_trainer: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    logger, trainer = ConsoleLoggerCallback(), make_trainer(num_epochs=12)
    moments = iter((1000.0, 1200.0, 1300.0))
    monkeypatch.setattr(
        standard_callbacks, "time", SimpleNamespace(monotonic=lambda: next(moments))
    )
    trainer.epochs_completed = 4  # a run that goes on
    logger.on_start(trainer)
    with caplog.at_level(logging.INFO):
        for epoch in (5, 11):
            logger.on_epoch(trainer, {"training_loss": 0.5}, epoch)
    assert caplog.messages == [
        "epoch 5/11: training loss 0.5000; about 10 min 00 s left",
        "epoch 11/11: training loss 0.5000",
    ]


def read_lines(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_metrics_jsonl_has_one_line_for_each_epoch(make_trainer: Make, tmp_path: Path) -> None:
    make_trainer(tmp_path, callbacks=[Lazy(MetricsJsonlCallback)]).train()
    lines = read_lines(tmp_path)
    assert [line["epoch"] for line in lines] == [0, 1, 2]
    assert all(line["learning_rates"] == [0.01] for line in lines)
    assert all(line["validation_loss"] > 0 for line in lines)


def test_metrics_jsonl_has_the_rates_that_the_epoch_was_trained_with(
    make_trainer: Make, tmp_path: Path
) -> None:
    step = LearningRateScheduler.by_name("step")
    make_trainer(
        tmp_path,
        callbacks=[Lazy(MetricsJsonlCallback)],
        learning_rate_scheduler=Lazy(step, step_size=1, gamma=0.5),
    ).train()
    rates = [line["learning_rates"] for line in read_lines(tmp_path)]
    assert rates == [[0.01], [0.005], [0.0025]]


def test_metrics_jsonl_has_no_epoch_twice_after_a_recovery(
    make_trainer: Make, small_loader: Any, tmp_path: Path
) -> None:
    options = {"callbacks": [Lazy(MetricsJsonlCallback)]}
    make_trainer(tmp_path, **options).train()
    for name in ("e3_b0",):
        (tmp_path / "checkpoints" / name / "manifest.json").unlink()
    make_trainer(tmp_path, **options).train(recover=True)
    assert [line["epoch"] for line in read_lines(tmp_path)] == [0, 1, 2]


def test_a_part_that_does_not_learn_is_warned_of(
    make_trainer: Make, small_model: Make, caplog: pytest.LogCaptureFixture
) -> None:
    model = small_model()
    model.forgotten = torch.nn.Linear(2, 2)
    make_trainer(model=model).train()
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "forgotten.weight, forgotten.bias" in warnings[0]


@pytest.mark.parametrize("unfreezing", [False, True])
def test_a_sound_model_gives_no_warning(
    make_trainer: Make, caplog: pytest.LogCaptureFixture, unfreezing: bool
) -> None:
    options: dict[str, Any] = {}
    if unfreezing:
        groups = [[["^conv"]], [["^norm"]], [["^linear"]]]
        options["optimizer"] = Lazy(Optimizer.by_name("sgd"), lr=0.1, parameter_groups=groups)
        slanted = LearningRateScheduler.by_name("slanted_triangular")
        options["learning_rate_scheduler"] = Lazy(slanted, gradual_unfreezing=True)
    make_trainer(**options).train()
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []


def test_a_run_that_goes_on_from_the_last_batch_of_an_epoch_gives_no_warning(
    make_trainer: Make, small_loader: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    every = {"checkpointer": Lazy(Checkpointer, save_every_num_batches=1)}
    trainer = make_trainer(tmp_path, **every)
    trainer._validate = lambda: 1 / 0
    with pytest.raises(ZeroDivisionError):
        trainer.train()
    assert trainer.checkpointer.list_checkpoints()[-1] == "e0_b5"
    again = make_trainer(tmp_path, **every)
    again.train(recover=True)
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []


def test_the_model_can_know_the_epoch(make_trainer: Make, small_model: Make) -> None:
    model = small_model()
    seen: list[int] = []
    forward = model.forward

    def spy(**inputs: Any) -> Any:
        seen.append(model.epoch)
        return forward(**inputs)

    model.forward = spy
    callback = Lazy(TrainerCallback.by_name("track_epoch_callback"))
    make_trainer(
        model=model, num_epochs=2, validation_data_loader=None, callbacks=[callback]
    ).train()
    assert seen == [0] * 5 + [1] * 5


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


@pytest.mark.draws
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
    monkeypatch.setattr(
        standard_callbacks, "write_confusion_matrix", lambda *given: drawn.append(given)
    )
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
