"""Stop when so many labels, or so much of the annotators' time, is spent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

from annotated_types import Ge
from overrides import overrides

from allencv_al.active_learning.rounds.round_record import RoundRecord
from allencv_al.active_learning.stop_rules.base import StopRule


def _one_is_given(labels: int | None, rounds: int | None) -> Iterator[tuple[str, str]]:
    if labels is None and rounds is None:
        yield "labels", "expected it or rounds, found neither"


@StopRule.register("budget")
class Budget(StopRule):
    """Stops at a number of labels, or after a number of rounds.

    The `budget` of the block itself cuts the last query short so that it is met exactly; this rule
    only looks at what has been trained on.

    Args:
        labels: How many labels are enough.
        rounds: How many trainings are enough.
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
