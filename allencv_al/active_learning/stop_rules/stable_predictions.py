"""Stop when the models of successive rounds say the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray
from overrides import overrides

from allencv_al.active_learning.rounds.round_record import RoundRecord
from allencv_al.active_learning.stop_rules.base import StopRule


@StopRule.register("stable_predictions")
class StablePredictions(StopRule):
    """Stops when the models of successive rounds agree on the pool.

    The agreement is Cohen's kappa between the predictions of a round and those of the round before,
    on the items that are in the pool of both. Its mean over the last `window` rounds is compared
    with the threshold: Bloodgood & Vijay-Shanker, "A method for stopping active learning based on
    stabilizing predictions and the need for user-adjustable stopping", CoNLL 2009, whose values the
    defaults are. It needs no test data.

    Args:
        threshold: The mean kappa from which on predictions count as stable, up to 1. More makes it
            stop later.
        window: Over how many pairs of rounds the mean goes.
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


def cohen_kappa(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Return the agreement of two labelings beyond chance, 1 where they are the same.

    Cohen, "A coefficient of agreement for nominal scales", 1960.

    Args:
        first: A class for each item, `[N]`.
        second: A class for each item, `[N]`.
    """
    classes = np.unique(np.concatenate([first, second]))
    observed = float(np.mean(first == second))
    shares = [(float(np.mean(first == c)), float(np.mean(second == c))) for c in classes]
    expected = sum(one * other for one, other in shares)
    if expected >= 1.0:  # both say one and the same class of everything
        return 1.0
    return (observed - expected) / (1.0 - expected)
