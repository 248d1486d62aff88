"""When each rule ends a run, on records made by hand; runs that they end are in test_loop.py."""

from __future__ import annotations

from typing import Any

import pytest

from allencv_al.active_learning.rounds.round_record import METRICS, RoundRecord
from allencv_al.active_learning.stop_rules import StopRule
from allencv_al.active_learning.stop_rules.base import target_accuracy
from allencv_al.common.config.config_check import check
from allencv_al.common.errors import ConfigurationError


def rounds_of(metric: str, values: list[float | None], per_round: int = 10) -> list[RoundRecord]:
    return [
        RoundRecord(round=number, labels=per_round * number, metrics={metric: value})
        for number, value in enumerate(values, start=1)
    ]


def stops_after(rule: StopRule, records: list[RoundRecord]) -> int | None:
    """Return the round after which a run would end."""
    for count in range(1, len(records) + 1):
        if rule.reason_to_stop(records[:count]) is not None:
            return count
    return None


def make(name: str, **keys: Any) -> StopRule:
    return StopRule.from_params({"type": name, **keys})


# --- budget ---------------------------------------------------------------------------------------


def test_a_budget_is_of_labels_or_of_rounds() -> None:
    records = rounds_of("accuracy", [0.1] * 6)
    assert stops_after(make("budget", labels=30), records) == 3
    assert stops_after(make("budget", labels=31), records) == 4
    assert stops_after(make("budget", rounds=2), records) == 2
    assert stops_after(make("budget", rounds=5, labels=20), records) == 2
    assert stops_after(make("budget", labels=1000), records) is None
    reason = make("budget", labels=30).reason_to_stop(records[:3])
    assert reason == "there are 30 labels, and 30 are enough"


# --- forecast -------------------------------------------------------------------------------------


def test_a_target_out_of_reach_ends_a_run() -> None:
    records = rounds_of("accuracy", [1 - 2 * (10 * n) ** -0.5 for n in range(1, 21)])
    assert stops_after(make("forecast", target=0.9, labels=1000), records) is None  # needs 400
    near = stops_after(make("forecast", target=0.9, labels=150), records)
    assert near is not None
    assert near >= 6, "two rounds in a row, of which the first has five values"
    reason = make("forecast", target=0.9, labels=150).reason_to_stop(records[:near])
    assert reason is not None
    assert "an accuracy of 0.9 is forecast to need" in reason
    flat = rounds_of("accuracy", [0.7, 0.71] * 8)
    assert stops_after(make("forecast", target=0.9, labels=50), flat) is None
    assert stops_after(make("forecast", target=0.9, labels=50), rounds_of("accuracy", [])) is None


# --- target ---------------------------------------------------------------------------------------


def test_a_target_is_reached() -> None:
    records = rounds_of("accuracy", [0.5, 0.9, 0.8, 0.9, 0.95])
    assert stops_after(make("target_metric", value=0.9), records) == 2
    assert stops_after(make("target_metric", value=0.9, patience=2), records) == 5
    assert stops_after(make("target_metric", value=0.96), records) is None
    reason = make("target_metric", value=0.9).reason_to_stop(records[:2])
    assert reason == "accuracy is 0.9000, and the target is 0.9"


def test_of_some_metrics_less_is_better() -> None:
    rule = make("target_metric", metric="negative_log_likelihood", value=0.5)
    assert stops_after(rule, rounds_of("negative_log_likelihood", [2.0, 0.6, 0.5, 0.1])) == 3
    rule = make("target_metric", metric="coverage_radius", value=1.0)
    assert stops_after(rule, rounds_of("coverage_radius", [2.0, None, 0.9])) == 3


def test_what_was_not_measured_has_not_reached_a_target() -> None:
    assert (
        stops_after(make("target_metric", value=0.0), rounds_of("accuracy", [None, None])) is None
    )
    assert stops_after(make("target_metric", value=0.0), rounds_of("macro_f1", [1.0])) is None


# --- plateau --------------------------------------------------------------------------------------


def test_a_plateau_is_so_many_rounds_without_a_better_one() -> None:
    values = [0.5, 0.7, 0.8, 0.79, 0.8, 0.8005, 0.9]
    assert stops_after(make("plateau"), rounds_of("accuracy", values)) == 6
    assert stops_after(make("plateau", patience=4), rounds_of("accuracy", values)) is None
    assert stops_after(make("plateau", min_delta=0.0001), rounds_of("accuracy", values)) is None
    assert stops_after(make("plateau", patience=1), rounds_of("accuracy", values)) == 4


def test_equal_is_not_better_even_if_the_least_counts() -> None:
    records = rounds_of("accuracy", [1.0] * 5)
    assert stops_after(make("plateau", min_delta=0.0, patience=2), records) == 3


def test_a_plateau_of_a_metric_that_falls() -> None:
    falling = rounds_of("negative_log_likelihood", [3.0, 2.0, 1.0, 0.9, 0.95, 0.94])
    rule = make("plateau", metric="negative_log_likelihood", patience=2)
    assert stops_after(rule, falling) == 6


def test_what_was_not_measured_is_no_plateau() -> None:
    assert stops_after(make("plateau"), rounds_of("accuracy", [None] * 9)) is None
    records = rounds_of("accuracy", [None, None, 0.5, None, None, None, None])
    assert stops_after(make("plateau"), records) == 6


# --- stable predictions ---------------------------------------------------------------------------


def test_predictions_are_stable_when_the_mean_kappa_of_some_rounds_is_high() -> None:
    """Bloodgood & Vijay-Shanker 2009, section 3: a window of 3 and a threshold of 0.99."""
    records = rounds_of("agreement", [None, 0.9, 0.99, 0.98, 1.0, 0.985, 0.995])
    assert stops_after(make("stable_predictions"), records) == 5 + 2
    assert stops_after(make("stable_predictions", window=1), records) == 3
    assert stops_after(make("stable_predictions", threshold=0.95), records) == 4
    # The first pair of rounds has a kappa; the first round alone has none
    assert stops_after(make("stable_predictions", window=1, threshold=-1), records) == 2


# --- configs --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "path", "message"),
    [
        ({"type": "budget"}, "labels", "expected it or rounds, found neither"),
        ({"type": "budget", "labels": 0}, "labels", "expected int >= 1, found 0"),
        ({"type": "budget", "rounds": -1}, "rounds", "expected int >= 1, found -1"),
        ({"type": "target_metric"}, "value", "missing key"),
        ({"type": "target_metric", "value": 1, "metric": "acuracy"}, "metric", '"accuracy"'),
        (
            {"type": "target_metric", "value": 1, "patience": 0},
            "patience",
            "expected int >= 1, found 0",
        ),
        ({"type": "plateau", "metric": "zzz"}, "metric", "known: accuracy, balanced_accuracy"),
        ({"type": "plateau", "metric": "redundancy"}, "metric", "only when the next items are"),
        ({"type": "plateau", "metric": "batch_class_entropy"}, "metric", "only when the next"),
        ({"type": "plateau", "patience": 0}, "patience", "expected int >= 1, found 0"),
        ({"type": "plateau", "min_delta": -0.1}, "min_delta", "expected float >= 0, found -0.1"),
        (
            {"type": "stable_predictions", "threshold": 1.1},
            "threshold",
            "expected float <= 1, found 1.1",
        ),
        ({"type": "stable_predictions", "window": 0}, "window", "expected int >= 1, found 0"),
    ],
    ids=str,
)
def test_a_wrong_rule_is_a_fault_with_a_path(
    config: dict[str, Any], path: str, message: str
) -> None:
    (fault,) = check(StopRule, config)
    assert fault.path == path
    assert message in fault.message
    with pytest.raises(ConfigurationError):
        StopRule.from_params(config)


@pytest.mark.parametrize(
    "metric", [name for name in METRICS if name not in ("redundancy", "batch_class_entropy")]
)
def test_rules_take_every_metric_that_is_known_in_time(metric: str) -> None:
    assert check(StopRule, {"type": "plateau", "metric": metric}) == []
    assert check(StopRule, {"type": "target_metric", "metric": metric, "value": 0.5}) == []


def test_an_accuracy_that_rules_aim_at_is_the_target_of_forecasts() -> None:
    rules = [
        make("budget", labels=10),
        make("target_metric", metric="audit_low", value=0.9),
        make("target_metric", metric="macro_f1", value=0.99),
        make("forecast", target=0.95, labels=100),
    ]
    assert target_accuracy(rules) == 0.95
    assert target_accuracy(rules[:3]) == 0.9
    assert target_accuracy(rules[:1]) is None
