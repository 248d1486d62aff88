"""The base of the rules that end a run."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from allencv_al.active_learning.rounds.round_record import RoundRecord
from allencv_al.common.config.registrable import Registrable


class StopRule(Registrable):
    """Decides after each measured round whether the run stops.

    A subclass overrides `reason_to_stop`.
    """

    builtin: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("budget", "forecast", "plateau", "stable_predictions", "target_metric"),
        "allencv_al.active_learning.stop_rules.rules",
    )

    needs_agreement: ClassVar[bool] = False
    """Whether it reads the metric `agreement`, for which each round's predictions are kept."""

    @abstractmethod
    def reason_to_stop(self, rounds: Sequence[RoundRecord]) -> str | None:
        """Return why to stop, in a sentence; None to continue.

        Args:
            rounds: The trained and measured rounds in order, at least one.
        """
        raise NotImplementedError
