"""Stop by a metric: when it is good enough, or when it no longer gets better."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from overrides import overrides

from allencv_al.active_learning.rounds.round_record import METRICS, RoundRecord
from allencv_al.active_learning.stop_rules.base import StopRule
from allencv_al.common.config.config_check import ConfigView, Fault
from allencv_al.common.config.names import did_you_mean
from allencv_al.common.errors import ConfigurationError

# Of these, less is better
_FALLING = frozenset({"negative_log_likelihood", "expected_calibration_error", "coverage_radius"})
# Of the batch that a round asks for, which a rule is to decide first
_TOO_LATE = frozenset({"redundancy", "batch_class_entropy"})
_KNOWN = tuple(name for name in METRICS if name not in _TOO_LATE)


@StopRule.register("target_metric")
class TargetMetric(StopRule):
    """Stops when a metric reaches a value.

    Args:
        value: The value; reached from below, or from above for a metric of which less is better
            (`negative_log_likelihood`, `expected_calibration_error`, `coverage_radius`).
        metric: Which metric of a round: `accuracy`, `balanced_accuracy`, `macro_f1` ...
        patience: For how many rounds in a row it must hold.
    """

    def __init__(self, value: float, metric: str = "accuracy", patience: int = 1) -> None:
        for name, message in _faults(metric, patience):
            raise ConfigurationError(f"{name}: {message}")
        self.value = value
        self.metric = metric
        self.patience = patience

    @classmethod
    @overrides
    def config_faults(cls, config: ConfigView) -> Iterator[Fault]:
        yield from _config_faults(config)

    @overrides
    def reason_to_stop(self, rounds: Sequence[RoundRecord]) -> str | None:
        values = [_score(record, self.metric) for record in rounds[-self.patience :]]
        target = -self.value if self.metric in _FALLING else self.value
        if len(values) < self.patience or not all(v is not None and v >= target for v in values):
            return None
        reached = rounds[-1].metrics[self.metric]
        return f"{self.metric} is {reached:.4f}, and the target is {self.value:g}"


@StopRule.register("plateau")
class Plateau(StopRule):
    """Stops when a metric has not got better by much over some rounds.

    Args:
        metric: Which metric of a round.
        patience: Over how many rounds: the best of the last `patience` rounds is compared with the
            best before them.
        min_delta: The least that counts as better.
    """

    def __init__(
        self, metric: str = "accuracy", patience: int = 3, min_delta: float = 0.001
    ) -> None:
        for name, message in _faults(metric, patience, min_delta):
            raise ConfigurationError(f"{name}: {message}")
        self.metric = metric
        self.patience = patience
        self.min_delta = min_delta

    @classmethod
    @overrides
    def config_faults(cls, config: ConfigView) -> Iterator[Fault]:
        yield from _config_faults(config)

    @overrides
    def reason_to_stop(self, rounds: Sequence[RoundRecord]) -> str | None:
        scores = [_score(record, self.metric) for record in rounds]
        known = [-math.inf if score is None else score for score in scores]
        if len(known) <= self.patience:
            return None
        before, lately = max(known[: -self.patience]), max(known[-self.patience :])
        if before == -math.inf or (lately > before and lately - before >= self.min_delta):
            return None
        return (
            f"{self.metric} has not got better by {self.min_delta:g} "
            f"in the last {self.patience} rounds"
        )


def _score(record: RoundRecord, metric: str) -> float | None:
    value = record.metrics.get(metric)
    return -value if value is not None and metric in _FALLING else value


def _config_faults(config: ConfigView) -> Iterator[Fault]:
    if config.sound("metric", "patience", *({"min_delta"} & config.names)):
        min_delta = config.get("min_delta", 0.0)
        for name, message in _faults(config.get("metric"), config.get("patience"), min_delta):
            yield config.fault(name, message)


def _faults(metric: str, patience: int, min_delta: float = 0.0) -> Iterator[tuple[str, str]]:
    if metric in _TOO_LATE:
        yield "metric", f"{metric} is known only when the next items are chosen"
    elif metric not in _KNOWN:
        hint = did_you_mean(metric, _KNOWN) or f"; known: {', '.join(_KNOWN)}"
        yield "metric", f'no metric of a round is called "{metric}"{hint}'
    if not 0 <= min_delta < math.inf:
        yield "min_delta", f"expected a number of at least 0, found {min_delta}"
    if patience < 1:
        yield "patience", f"expected at least 1, found {patience}"
