"""Warnings about parameters that do not learn."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from allencv_al.common import Lazy
from allencv_al.training.checkpoints.checkpointer import Checkpointer
from allencv_al.training.learning_rate_schedulers import LearningRateScheduler
from allencv_al.training.optimizers import Optimizer

Make = Callable[..., Any]


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
