from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allencv_al.common import ConfigurationError
from allencv_al.common.errors import CheckpointError
from allencv_al.training.trainers.metric_tracker import MetricTracker


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
