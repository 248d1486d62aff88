"""Metrics of epochs, and the best one."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from fixtures.trainer_parts import Make, lazy, sgd
from hypothesis import given
from hypothesis import strategies as st

from allencv_al.common import ConfigurationError
from allencv_al.common.errors import CheckpointError, TrainingError
from allencv_al.data.batch import Batch
from allencv_al.metrics import base as metric_base
from allencv_al.training.learning_rate_schedulers import LearningRateScheduler
from allencv_al.training.trainers import epoch_metrics as running_loss
from allencv_al.training.trainers.epoch_metrics import MetricTracker


def follow(tracker: MetricTracker, values: list[float], name: str = "accuracy") -> list[bool]:
    best = []
    for value in values:
        tracker.add_metrics({name: value})
        best.append(tracker.is_best_so_far())
    return best


def test_plus_wants_more_and_minus_wants_less() -> None:
    assert follow(MetricTracker("+accuracy"), [1, 3, 2, 4]) == [True, True, False, True]
    assert follow(MetricTracker("-accuracy"), [3, 1, 2, 0]) == [True, True, False, True]


def test_an_equal_score_is_no_improvement() -> None:
    assert follow(MetricTracker("+accuracy"), [1, 1]) == [True, False]


def test_stops_after_patience_epochs_without_improvement() -> None:
    tracker = MetricTracker("-accuracy", patience=2)
    stops = []
    for value in [5, 4, 4, 3, 3.5, 3]:
        tracker.add_metrics({"accuracy": value})
        stops.append(tracker.should_stop_early())
    assert stops == [False, False, False, False, False, True]


def test_never_stops_without_patience() -> None:
    tracker = MetricTracker("+accuracy")
    follow(tracker, [1] * 100)
    assert not tracker.should_stop_early()


def test_several_metrics_are_added_with_their_signs() -> None:
    tracker = MetricTracker(["+accuracy", "-loss"])
    assert tracker.combined_score({"accuracy": 0.75, "loss": 0.5, "else": 9}) == 0.25
    tracker.add_metrics({"accuracy": 0.75, "loss": 0.5})
    tracker.add_metrics({"accuracy": 0.8, "loss": 0.6})
    assert tracker.best_epoch == 0


def test_a_scheduler_sees_one_metric_as_it_is() -> None:
    assert MetricTracker("-loss").scheduler_metric({"loss": 0.5}) == 0.5
    both = MetricTracker(["-loss", "+accuracy"])
    assert both.scheduler_metric({"loss": 0.5, "accuracy": 0.75}) == 0.25


def test_nan_never_improves_and_every_number_beats_it() -> None:
    assert follow(MetricTracker("+accuracy"), [1, math.nan, 0.5, 2]) == [True, False, False, True]
    tracker = MetricTracker("-accuracy", patience=3)
    assert follow(tracker, [math.nan, math.nan, 7, math.nan, 6]) == [True, False, True, False, True]
    assert tracker.best_epoch == 4
    only = MetricTracker("+accuracy", patience=2)
    follow(only, [math.nan] * 3)
    assert only.should_stop_early()


def test_remembers_the_metrics_of_the_best_epoch() -> None:
    tracker = MetricTracker("+accuracy")
    tracker.add_metrics({"accuracy": 0.9, "loss": 1.0})
    tracker.add_metrics({"accuracy": 0.8, "loss": 0.5})
    assert tracker.best_epoch_metrics == {"accuracy": 0.9, "loss": 1.0}


def test_a_metric_that_the_model_did_not_produce_is_an_error_that_lists_the_others() -> None:
    with pytest.raises(ConfigurationError) as raised:
        MetricTracker("+accurcy").add_metrics({"loss": 1.0, "accuracy": 0.5})
    assert str(raised.value) == (
        "validation_metric: the model did not produce 'accurcy'; it produced 'accuracy', 'loss'"
    )


@pytest.mark.parametrize("name", ["accuracy", "", "+", [], ["+a", "b"]])
def test_a_name_needs_its_sign(name: Any) -> None:
    with pytest.raises(ConfigurationError, match="validation_metric: expected names"):
        MetricTracker(name)


@pytest.mark.parametrize("patience", [0, -1, 1.5, True, "3"])
def test_patience_is_a_positive_whole_number(patience: Any) -> None:
    with pytest.raises(ConfigurationError, match="patience: expected"):
        MetricTracker("+accuracy", patience)


@given(
    values=st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=12),
    split=st.integers(0, 12),
)
def test_a_recovered_tracker_goes_on_as_if_nothing_had_happened(
    values: list[float], split: int
) -> None:
    whole, first, second = (MetricTracker("-accuracy", patience=3) for _ in range(3))
    follow(whole, values)
    follow(first, values[:split])
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    follow(second, values[split:])
    assert second.state_dict() == whole.state_dict()
    assert second.should_stop_early() == whole.should_stop_early()


def test_a_foreign_state_is_refused() -> None:
    with pytest.raises(CheckpointError):
        MetricTracker("+accuracy").load_state_dict({})


def test_clear_forgets() -> None:
    tracker = MetricTracker("+accuracy")
    follow(tracker, [5])
    tracker.clear()
    assert follow(tracker, [1]) == [True]
    assert tracker.best_epoch == 0


def test_metrics_have_the_names_of_allennlp(make_trainer: Make, tmp_path: Path) -> None:
    metrics = make_trainer(tmp_path, num_epochs=2).train()
    assert metrics["epoch"] == 1
    assert metrics["training_epochs"] == 2
    assert metrics["training_start_epoch"] == 0
    assert re.fullmatch(r"0:00:\d\d(\.\d+)?", metrics["training_duration"])
    assert metrics["peak_cpu_memory_MB"] > 10
    for prefix in ("training", "validation", "best_validation"):
        assert 0 <= metrics[f"{prefix}_accuracy"] <= 1
        assert metrics[f"{prefix}_loss"] > 0
    assert metrics["best_epoch"] in (0, 1)
    epoch = json.loads((tmp_path / f"metrics_epoch_{metrics['best_epoch']}.json").read_text())
    assert metrics["best_validation_loss"] == epoch["validation_loss"]
    assert json.loads((tmp_path / "metrics.json").read_text()) == metrics


def test_the_loss_is_the_mean_over_the_batches(make_trainer: Make, small_loader: Any) -> None:
    loader = small_loader(count=3)
    trainer = make_trainer(data_loader=loader, num_epochs=1, optimizer=sgd(lr=0.0))
    losses: list[float] = []
    step = trainer.step

    def spy(group: list[Batch]) -> torch.Tensor:
        loss: torch.Tensor = step(group)
        losses.append(loss.item())
        return loss

    spy.__dict__.update(count=0, state_dict=step.state_dict)
    trainer.step = spy
    assert trainer.train()["training_loss"] == pytest.approx(sum(losses) / 3, abs=1e-12)


def test_the_loop_waits_for_the_device_only_now_and_then(
    make_trainer: Make, small_loader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU each of these calls waits; the clock stands still, so only forced looks count."""
    monkeypatch.setattr(running_loss.time, "monotonic", lambda: 0.0)
    # As on a GPU: on the CPU class indices are looked at, which waits for nothing there
    monkeypatch.setattr(metric_base, "within_classes", lambda gold, n: gold.clamp(0, n - 1))
    waits: list[str] = []
    for name in ("item", "tolist", "__float__", "__bool__", "cpu", "numpy", "__int__"):
        original = getattr(torch.Tensor, name)

        def noted(self: torch.Tensor, *args: Any, name: str = name, of: Any = original) -> Any:
            waits.append(name)
            return of(self, *args)

        monkeypatch.setattr(torch.Tensor, name, noted)
    counts = []
    for steps in (50, 150):
        waits.clear()
        monkeypatch.setattr(running_loss.LossProgress, "due", lambda self: False)
        make_trainer(
            data_loader=small_loader(count=steps),
            num_epochs=1,
            learning_rate_scheduler=lazy(LearningRateScheduler, "linear_with_warmup"),
            optimizer=sgd(),
        ).train()
        counts.append(len(waits))
    assert counts[0] == counts[1]


class _Spoiling:
    """Makes the images of one batch NaN."""

    def __init__(self, loader: Any, epoch: int, index: int, value: float) -> None:
        self._loader, self._place, self._value = loader, (epoch, index), value

    def __len__(self) -> int:
        return len(self._loader)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        for batch in self._loader.batches(epoch, start):
            if (epoch, batch.index) == self._place:
                batch.tensors["image"].fill_(self._value)
            yield batch


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_training_and_names_the_items(
    make_trainer: Make, small_loader: Any, tmp_path: Path, value: float
) -> None:
    loader = _Spoiling(small_loader(), epoch=1, index=3, value=value)
    trainer = make_trainer(tmp_path, data_loader=loader)
    with pytest.raises(TrainingError) as caught:
        trainer.train()
    assert caught.value.exit_code == 1
    assert "step 4 of the epoch" in str(caught.value)
    for item in range(6):
        assert f"e1/b3/{item}.png" in str(caught.value)
    assert "e1/b4" not in str(caught.value)
    found = make_trainer(tmp_path).checkpointer.load()
    assert all(torch.isfinite(value).all() for value in found.model.values())
