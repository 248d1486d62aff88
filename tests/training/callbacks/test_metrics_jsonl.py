"""`metrics.jsonl`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from allencv_al.common import Lazy
from allencv_al.training.callbacks.metrics_jsonl import MetricsJsonlCallback
from allencv_al.training.learning_rate_schedulers import LearningRateScheduler

Make = Callable[..., Any]


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
