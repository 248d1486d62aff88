"""Event files for TensorBoard."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from allencv_al.common import ConfigurationError, Lazy
from allencv_al.training.callbacks.tensorboard import TensorBoardCallback

Make = Callable[..., Any]


def test_tensorboard_writes_what_it_was_told(
    make_trainer: Make, small_loader: Any, tmp_path: Path
) -> None:
    pytest.importorskip("tensorboard")
    options = {
        "summary_interval": 3,
        "distribution_interval": 6,
        "batch_size_interval": 4,
        "should_log_learning_rate": True,
    }
    make_trainer(
        tmp_path,
        data_loader=small_loader(count=6),
        num_epochs=2,
        callbacks=[Lazy(TensorBoardCallback, options)],
        grad_norm=5.0,
    ).train()
    training = read_events(tmp_path / "log" / "train")
    validation = read_events(tmp_path / "log" / "validation")
    assert training["loss/step"] == [3, 6, 9, 12]
    assert training["learning_rate/group_0"] == [3, 6, 9, 12]
    assert training["gradient_norm"] == [3, 6, 9, 12]
    assert training["parameter_mean/linear.weight"] == [3, 6, 9, 12]
    assert training["gradient_std/linear.weight"] == [3, 6, 9, 12]
    assert training["batch_size"] == [4, 8, 12]
    assert training["epoch/accuracy"] == [0, 1]
    assert training["histogram parameter/linear.weight"] == [6, 12]
    assert validation["epoch/loss"] == [0, 1]


def read_events(folder: Path) -> dict[str, list[int]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"histograms": 0})  # all of them
    events.Reload()
    tags = events.Tags()
    steps = {tag: [event.step for event in events.Scalars(tag)] for tag in tags["scalars"]}
    for tag in tags["histograms"]:
        steps[f"histogram {tag}"] = [event.step for event in events.Histograms(tag)]
    return steps


def test_tensorboard_without_a_folder_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="serialization_dir"):
        TensorBoardCallback(None)


def test_an_interval_of_no_steps_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="summary_interval: expected int >= 1, found 0"):
        TensorBoardCallback(tmp_path, summary_interval=0)
