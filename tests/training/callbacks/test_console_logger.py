"""The line of an epoch in the log."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from allencv_al.training.callbacks import console_logger
from allencv_al.training.callbacks.console_logger import ConsoleLoggerCallback

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
    monkeypatch.setattr(console_logger, "time", SimpleNamespace(monotonic=lambda: next(moments)))
    trainer.epochs_completed = 4  # a run that goes on
    logger.on_start(trainer)
    with caplog.at_level(logging.INFO):
        for epoch in (5, 11):
            logger.on_epoch(trainer, {"training_loss": 0.5}, epoch)
    assert caplog.messages == [
        "epoch 5/11: training loss 0.5000; about 10 min 00 s left",
        "epoch 11/11: training loss 0.5000",
    ]
