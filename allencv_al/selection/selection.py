"""`Picks` and `Selection`: what a strategy chose, in order, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allencv_al.labels.label_table import CLASSES_IN_REASONS


@dataclass(frozen=True)
class Picks:
    """The picks that a strategy returns to its base class.

    Args:
        indices: Positions in the pool, in the order of picking, `[k]`.
        scores: The score of each pick when it was picked, `[k]`; higher = query first.
        reasons: The reason of each pick, as JSON values: the cluster, the nearest labeled item ...
    """

    indices: NDArray[np.int64]
    scores: NDArray[np.float32]
    reasons: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def none(cls) -> Picks:
        """Return no picks."""
        return cls(np.empty(0, np.int64), np.empty(0, np.float32))


@dataclass(frozen=True)
class Selection:
    """The items to label next.

    Args:
        ids: Their ids, in the order of picking.
        scores: The score of each pick when it was picked, float32 `[k]`.
        reasons: The reason of each pick, as JSON values; always with its `rank`, from 0.
        seconds: The duration of the selection.
        peak_bytes: The growth of the process's peak memory during the selection.
    """

    ids: tuple[str, ...]
    scores: NDArray[np.float32]
    reasons: tuple[Mapping[str, Any], ...]
    seconds: float
    peak_bytes: int

    def __len__(self) -> int:
        return len(self.ids)


def named_reason(
    reason: Mapping[str, Any], classes: Mapping[int, str], labeled: Sequence[str]
) -> dict[str, Any]:
    """Return a reason with class names and ids of labeled items instead of indices.

    Args:
        reason: The reason that a strategy gave; classes and labeled items are indices.
        classes: The names of the classes, by index.
        labeled: The ids of the labeled items, in the order of `labeled_embeddings`.
    """
    items = dict(enumerate(labeled))
    names = {**dict.fromkeys(CLASSES_IN_REASONS, classes), "nearest_labeled": items}
    return {
        key: names[key].get(value, value) if key in names else value
        for key, value in reason.items()
    }
