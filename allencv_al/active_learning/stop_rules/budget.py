"""Stop when so many labels, or so much of the annotators' time, is spent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from overrides import overrides

from allencv_al.active_learning.rounds.round_record import RoundRecord
from allencv_al.active_learning.stop_rules.base import StopRule
from allencv_al.common.config.config_check import ConfigView, Fault
from allencv_al.common.errors import ConfigurationError


@StopRule.register("budget")
class Budget(StopRule):
    """Stops at a number of labels, or after a number of rounds.

    The `budget` of the block itself cuts the last query short so that it is met exactly; this rule
    only looks at what has been trained on.

    Args:
        labels: How many labels are enough.
        rounds: How many trainings are enough.
    """

    def __init__(self, labels: int | None = None, rounds: int | None = None) -> None:
        for name, message in _faults(labels, rounds):
            raise ConfigurationError(f"{name}: {message}")
        self.labels = labels
        self.rounds = rounds

    @classmethod
    @overrides
    def config_faults(cls, config: ConfigView) -> Iterator[Fault]:
        if config.sound("labels", "rounds"):
            for name, message in _faults(config.get("labels"), config.get("rounds")):
                yield config.fault(name, message)

    @overrides
    def reason_to_stop(self, rounds: Sequence[RoundRecord]) -> str | None:
        if self.labels is not None and rounds[-1].labels >= self.labels:
            return f"there are {rounds[-1].labels} labels, and {self.labels} are enough"
        if self.rounds is not None and len(rounds) >= self.rounds:
            return f"{len(rounds)} rounds are trained, and {self.rounds} are enough"
        return None


def _faults(labels: int | None, rounds: int | None) -> Iterator[tuple[str, str]]:
    if labels is None and rounds is None:
        yield "labels", "expected it or rounds, found neither"
    for name, value in (("labels", labels), ("rounds", rounds)):
        if value is not None and value < 1:
            yield name, f"expected at least 1, found {value}"
