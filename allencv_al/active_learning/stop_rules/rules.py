"""Rules that end a run before its budget is spent."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Annotated

import numpy as np
from annotated_types import Ge, Interval, Le
from overrides import overrides

from allencv_al.active_learning.rounds.forecast import forecast_of_run
from allencv_al.active_learning.rounds.round_record import METRICS, RoundRecord
from allencv_al.active_learning.stop_rules.base import StopRule
from allencv_al.common.names import did_you_mean

# Of these, less is better
_FALLING = frozenset({"negative_log_likelihood", "expected_calibration_error", "coverage_radius"})
# Of these, a target is one of the accuracy, which a forecast can be made for
_ACCURACIES = frozenset({"accuracy", "audit_accuracy", "audit_low"})
# Of the batch that a round asks for, which a rule is to decide first
_TOO_LATE = frozenset({"redundancy", "batch_class_entropy"})
_KNOWN = tuple(name for name in METRICS if name not in _TOO_LATE)


def _one_is_given(labels: int | None, rounds: int | None) -> Iterator[tuple[str, str]]:
    if labels is None and rounds is None:
        yield "labels", "expected it or rounds, found neither"


@StopRule.register("budget")
class Budget(StopRule):
    """Stops at a number of labels, or after a number of rounds.

    The `budget` of the block itself cuts the last query short so that it is met exactly; this rule
    only looks at what has been trained on.

    Args:
        labels: Number of labels after which to stop.
        rounds: Number of trainings after which to stop.
    """

    joint_rules = (_one_is_given,)

    def __init__(
        self,
        labels: Annotated[int, Ge(1)] | None = None,
        rounds: Annotated[int, Ge(1)] | None = None,
    ) -> None:
        self.labels = labels
        self.rounds = rounds

    @overrides
    def reason_to_stop(self, rounds: Sequence[RoundRecord]) -> str | None:
        if self.labels is not None and rounds[-1].labels >= self.labels:
            return f"there are {rounds[-1].labels} labels, and {self.labels} are enough"
        if self.rounds is not None and len(rounds) >= self.rounds:
            return f"{len(rounds)} rounds are trained, and {self.rounds} are enough"
        return None


def _metric_problems(metric: str) -> Iterator[tuple[str, str]]:
    if metric in _TOO_LATE:
        yield "metric", f"{metric} is known only when the next items are chosen"
    elif metric not in _KNOWN:
        hint = did_you_mean(metric, _KNOWN) or f"; known: {', '.join(_KNOWN)}"
        yield "metric", f'no metric of a round is called "{metric}"{hint}'


@StopRule.register("target_metric")
class TargetMetric(StopRule):
    """Stops when a metric reaches a value.

    Args:
        value: The value; reached from below, or from above for a metric of which less is better
            (`negative_log_likelihood`, `expected_calibration_error`, `coverage_radius`).
        metric: A metric of a round: `accuracy`, `balanced_accuracy`, `macro_f1` ...
        patience: For how many rounds in a row it must hold.
    """

    joint_rules = (_metric_problems,)

    def __init__(
        self, value: float, metric: str = "accuracy", patience: Annotated[int, Ge(1)] = 1
    ) -> None:
        self.value = value
        self.metric = metric
        self.patience = patience

    @overrides
    def aims_at(self) -> float | None:
        return self.value if self.metric in _ACCURACIES else None

    @overrides
    def reason_to_stop(self, rounds: Sequence[RoundRecord]) -> str | None:
        values = [_score(record, self.metric) for record in rounds[-self.patience :]]
        # Scores are turned so that higher is better, and so is the target
        target = -self.value if self.metric in _FALLING else self.value
        if len(values) < self.patience or not all(v is not None and v >= target for v in values):
            return None
        reached = rounds[-1].metrics[self.metric]
        return f"{self.metric} is {reached:.4f}, and the target is {self.value:g}"


@StopRule.register("plateau")
class Plateau(StopRule):
    """Stops when a metric has not improved over some rounds.

    Args:
        metric: A metric of a round.
        patience: Over how many rounds: the best of the last `patience` rounds is compared with the
            best before them.
        min_delta: The least that counts as better.
    """

    joint_rules = (_metric_problems,)

    def __init__(
        self,
        metric: str = "accuracy",
        patience: Annotated[int, Ge(1)] = 3,
        min_delta: Annotated[float, Ge(0)] = 0.001,
    ) -> None:
        self.metric = metric
        self.patience = patience
        self.min_delta = min_delta

    @overrides
    def reason_to_stop(self, rounds: Sequence[RoundRecord]) -> str | None:
        scores = [_score(record, self.metric) for record in rounds]
        known = [-math.inf if score is None else score for score in scores]
        if len(known) <= self.patience:
            return None
        before, lately = max(known[: -self.patience]), max(known[-self.patience :])
        # Nothing was known before: there is no value to have stagnated at
        if before == -math.inf or (lately > before and lately - before >= self.min_delta):
            return None
        return (
            f"{self.metric} has not got better by {self.min_delta:g} "
            f"in the last {self.patience} rounds"
        )


def _score(record: RoundRecord, metric: str) -> float | None:
    value = record.metrics.get(metric)
    return -value if value is not None and metric in _FALLING else value


@StopRule.register("stable_predictions")
class StablePredictions(StopRule):
    """Stops when the models of successive rounds agree on the pool.

    The agreement is Cohen's kappa between the predictions of a round and those of the round before,
    on the items that are in the pool of both. Its mean over the last `window` rounds is compared
    with the threshold: Bloodgood & Vijay-Shanker, "A method for stopping active learning based on
    stabilizing predictions and the need for user-adjustable stopping", CoNLL 2009, whose values the
    defaults are. It needs no test data.

    Args:
        threshold: The smallest mean kappa of stable predictions, up to 1. A larger one stops later.
        window: Number of pairs of rounds in the mean.
    """

    needs_agreement = True

    def __init__(
        self, threshold: Annotated[float, Le(1)] = 0.99, window: Annotated[int, Ge(1)] = 3
    ) -> None:
        self.threshold = threshold
        self.window = window

    @overrides
    def reason_to_stop(self, rounds: Sequence[RoundRecord]) -> str | None:
        found = [record.metrics.get("agreement") for record in rounds[-self.window :]]
        known = [value for value in found if value is not None]
        if len(known) < self.window or np.mean(known) < self.threshold:
            return None
        return (
            f"the predictions of the last {self.window + 1} rounds agree "
            f"(mean kappa {np.mean(known):.4f}, threshold {self.threshold:g})"
        )


@StopRule.register("forecast")
class ForecastRule(StopRule):
    """Stops when a target accuracy would need more labels than it is worth.

    The learning curve so far, of the audit sample or else of the test set, is extended by three
    families of curves with a bootstrap (`allencv_al.active_learning.rounds.forecast`). The run
    stops if even the lower end of the 80 % interval is above `labels`. Before the fifth measured
    round, and while the accuracy does not rise beyond its noise, there is no forecast and the run
    continues. For a target that is reached, add the rule `target_metric`.

    Args:
        target: The accuracy to reach.
        labels: The most labels, of those that are trained on, that it is worth.
        patience: For how many rounds in a row the target must be out of reach.
    """

    def __init__(
        self,
        target: Annotated[float, Interval(gt=0, lt=1)],
        labels: Annotated[int, Ge(1)],
        patience: Annotated[int, Ge(1)] = 2,
    ) -> None:
        self.target = target
        self.labels = labels
        self.patience = patience

    @overrides
    def aims_at(self) -> float | None:
        return self.target

    @overrides
    def reason_to_stop(self, rounds: Sequence[RoundRecord]) -> str | None:
        if len(rounds) < self.patience:
            return None
        low = 0
        # Each forecast as it was made then: a single unlucky fit must not end a run
        for last in range(len(rounds) - self.patience + 1, len(rounds) + 1):
            found = forecast_of_run(rounds[:last], self.target)
            if found is None or found.low is None or found.low <= self.labels:
                return None
            low = found.low
        return (
            f"an accuracy of {self.target:g} is forecast to need {low} labels or more, and "
            f"{self.labels} are what it is worth"
        )
