"""GALAXY: bisection of the shortest ways between classes, for classes of unequal size."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from overrides import overrides

from allencv_al.common.errors import ConfigurationError
from allencv_al.data.id_hash import canonical_order
from allencv_al.selection.pool.rows import slices
from allencv_al.selection.pool.unlabeled_pool import FloatArray, Pool
from allencv_al.selection.selection import Picks
from allencv_al.selection.strategies.base import QueryStrategy

_ROWS_PER_BLOCK = 65_536
_MOST_TRIES = 4  # further classes looked at before an item is drawn at random


@QueryStrategy.register("galaxy")
class Galaxy(QueryStrategy):
    """Takes the middle of the shortest way between a labeled item of a class and one of another.

    For each class, all items stand in a line by the score of that class less the highest other
    one. Each pick takes a random class: in its line, the middle of the shortest run of unlabeled
    items between a labeled item of the class and one of another class; if no such run is left, the
    unlabeled item nearest to a place where the two meet; if there is no such place, a random item.
    Zhang, Katz-Samuels & Nowak, "GALAXY: graph-based active learning at the extreme", ICML 2022,
    arXiv 2202.01402. The score is one divided by the length of the run.

    The paper reads the label of each pick before the next. Here a batch has no labels yet: until
    they come, the predicted class stands in for them.

    Args:
        memory_budget_mb: Memory for a block of intermediate results, in MiB; the result is the same
            for every value. The lines of all classes take 4·C bytes for each item.
    """

    needs = frozenset({"logits", "labeled_logits"})

    @overrides
    def _pick(self, pool: Pool, count: int, seed: int) -> Picks:
        assert pool.logits is not None and pool.labeled_logits is not None
        order = canonical_order(pool.ids, seed)
        labels = _known_labels(pool)
        lines = _Lines(pool.logits, order, np.asarray(pool.labeled_logits[: len(labels)]), labels)
        generator = np.random.default_rng(seed % 2**64)
        free = np.ones(len(pool), bool)
        picks: list[int] = []
        scores: list[float] = []
        reasons: list[dict[str, object]] = []
        for _ in range(count):
            found = None
            for _ in range(_MOST_TRIES):
                of_class = int(generator.integers(lines.classes))
                found = lines.middle(of_class, free)
                if found is not None:
                    break
            place, length = found or (int(np.flatnonzero(free)[0]), len(pool))
            reasons.append(
                {"random": True} if found is None else {"class": of_class, "run": length}
            )
            free[place] = False
            lines.note(place)
            picks.append(place)
            scores.append(1 / length)
        return Picks(order[picks], np.array(scores, np.float32), tuple(reasons))


class _Lines:
    """The line of each class through the items of the pool and the labeled ones.

    Args:
        logits: `[N, C]`.
        order: The canonical order of the pool.
        labeled_logits: `[L, C]`.
        labels: `[L]`.
    """

    def __init__(
        self,
        logits: FloatArray,
        order: NDArray[np.int64],
        labeled_logits: FloatArray,
        labels: NDArray[np.int64],
    ) -> None:
        self.classes = logits.shape[1]
        size = len(order)
        margins = np.empty((size + len(labels), self.classes), np.float32)
        self._predicted = np.empty(size, np.int64)
        for part in slices(size, _ROWS_PER_BLOCK):
            block = np.asarray(logits[order[part]], np.float64)
            margins[part] = _margins(block)
            self._predicted[part] = block.argmax(axis=1)
        if len(labels):
            margins[size:] = _margins(labeled_logits.astype(np.float64))
        # Position in the line of each item, pool first, and the item at each position
        self._items = np.argsort(-margins, axis=0, kind="stable").astype(np.int32)
        self._places = np.empty_like(self._items)
        everything = np.arange(len(margins), dtype=np.int32)[:, None]
        np.put_along_axis(self._places, self._items, everything, axis=0)
        self._known = [(size + number, int(label)) for number, label in enumerate(labels.tolist())]

    def note(self, place: int) -> None:
        """Count an item as labeled with its predicted class."""
        self._known.append((place, int(self._predicted[place])))

    def middle(self, of_class: int, free: NDArray[np.bool_]) -> tuple[int, int] | None:
        """Return the item to ask for in the line of a class, and the length of its run."""
        if not self._known:
            return None
        items, labels = np.array(self._known).T
        places = self._places[items, of_class]
        along = np.argsort(places, kind="stable")
        places, inside = places[along], (labels == of_class)[along]
        meets = np.flatnonzero(inside[1:] != inside[:-1])
        if not len(meets):
            return None
        # Items between two neighbors of the known ones are all unlabeled
        lengths = places[meets + 1] - places[meets] - 1
        runs = lengths > 0
        if runs.any():
            shortest = meets[runs][int(lengths[runs].argmin())]
            left, right = int(places[shortest]), int(places[shortest + 1])
            return int(self._items[(left + right) // 2, of_class]), right - left - 1
        in_line = self._items[:, of_class]
        in_pool = in_line < len(free)
        unlabeled = np.zeros(len(in_line), bool)
        unlabeled[in_pool] = free[in_line[in_pool]]
        candidates = np.flatnonzero(unlabeled)
        borders = places[meets] + 0.5
        nearest = np.searchsorted(borders, candidates)
        before = np.abs(candidates - borders[np.maximum(nearest - 1, 0)])
        after = np.abs(candidates - borders[np.minimum(nearest, len(borders) - 1)])
        best = int(candidates[np.minimum(before, after).argmin()])
        return int(in_line[best]), 1


def _margins(logits: FloatArray) -> FloatArray:
    """Return the score of each class less the highest other one, `[n, C]`."""
    if logits.shape[1] == 1:
        return logits
    two = np.partition(logits, logits.shape[1] - 2, axis=1)[:, -2:]
    others = np.where(logits == two[:, 1:], two[:, :1], two[:, 1:])
    return logits - others


def _known_labels(pool: Pool) -> NDArray[np.int64]:
    labels = pool.labeled_labels
    if labels is None:
        raise ConfigurationError(
            "pool.labeled_labels: galaxy expects them (none labeled: an empty array), found none"
        )
    return labels
