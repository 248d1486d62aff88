"""The base of the rules that end a run."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from allencv_al.active_learning.rounds.round_record import RoundRecord
from allencv_al.common.config.registrable import Registrable
from allencv_al.common.user_mistakes import wrong_result


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

    def aims_at(self) -> float | None:
        """Return the accuracy that the run aims at by this rule; None by default.

        Forecasts tell the labels that it needs.
        """
        return None


def target_accuracy(rules: Sequence[StopRule]) -> float | None:
    """Return the highest accuracy that one of the rules aims at; None without any."""
    return max((target for rule in rules if (target := rule.aims_at()) is not None), default=None)


def first_reason(rules: Sequence[StopRule], rounds: Sequence[RoundRecord]) -> str | None:
    """Return the reason of the first rule that stops the run; None if no rule does.

    Args:
        rules: The rules, in the order of the config.
        rounds: The trained and measured rounds in order, at least one.

    Raises:
        UserCodeError: A rule returns something else than a reason or None.
    """
    for rule in rules:
        reason = rule.reason_to_stop(rounds)
        if reason is None:
            continue
        if not isinstance(reason, str) or not reason.strip():
            wanted = "the reason to stop, a sentence, or None to continue"
            raise wrong_result(rule, "reason_to_stop", wanted, reason)
        return reason
    return None
