"""How typical each item of a cluster is: the inverse of the distance to its neighbors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from allencv_al.selection.pool.unlabeled_pool import FloatArray

_EPSILON = 1e-5  # the paper's: identical neighbors make no infinite typicality
_SPARE = 12
_ROWS_PER_BLOCK = 256


class ClusterTypicality:
    """Gives the items of one cluster away, the most typical of the remaining ones first.

    Each time the neighbors are those that remain, as in the authors' code. Their distances are
    kept, a few more than count, so that they are computed anew only now and then.

    Args:
        count: How many items there are.
        read: Gives the rows `[m, D]` at places of the cluster; they are not kept.
        neighbors: Of how many neighbors the distance counts; half of the items, if that is less.
    """

    def __init__(
        self, count: int, read: Callable[[NDArray[np.int64]], FloatArray], neighbors: int
    ) -> None:
        self._read = read
        self._neighbors = neighbors
        self._present = np.ones(count, bool)
        self._look_for_neighbors()

    def __len__(self) -> int:
        return int(self._present.sum())

    def pop(self) -> tuple[int, float]:
        """Remove the most typical item; return its place and its typicality, 0 if it is alone."""
        scores = np.where(self._present, self.typicality(), -1.0)
        place = int(scores.argmax())
        self._present[place] = False
        return place, float(scores[place])

    def typicality(self) -> NDArray[np.float64]:
        """Return the typicality of each item among the remaining ones, `[n]`.

        What it says of items that were removed means nothing.
        """
        left = len(self)
        if left < 2:
            return np.zeros(len(self._present))
        count = max(1, min(self._neighbors, left // 2))
        present = self._present[self._nearest]
        if (present.sum(axis=1)[self._present] < count).any():
            self._look_for_neighbors()
            present = self._present[self._nearest]
        counted = present & (present.cumsum(axis=1) <= count)
        means = np.where(counted, self._distances, 0).sum(axis=1, dtype=np.float64) / count
        inverses: NDArray[np.float64] = 1 / (means + _EPSILON)
        return inverses

    def _look_for_neighbors(self) -> None:
        places = np.flatnonzero(self._present)
        rows = self._read(places).astype(np.float64)
        rows -= rows.mean(axis=0)
        kept = min(self._neighbors + _SPARE, len(places) - 1)
        self._nearest = np.zeros((len(self._present), kept), np.int32)
        self._distances = np.zeros((len(self._present), kept), np.float32)
        if not kept:
            return
        squares = np.einsum("nd,nd->n", rows, rows)
        for start in range(0, len(rows), _ROWS_PER_BLOCK):
            block = slice(start, min(start + _ROWS_PER_BLOCK, len(rows)))
            distances = rows[block] @ rows.T
            distances *= -2
            distances += squares[block, None]
            distances += squares
            # Not its own neighbor
            distances[np.arange(len(distances)), np.arange(block.start, block.stop)] = np.inf
            near = np.argpartition(distances, kept - 1, axis=1)[:, :kept]
            found = np.take_along_axis(distances, near, axis=1)
            order = np.argsort(found, axis=1, kind="stable")
            self._nearest[places[block]] = places[np.take_along_axis(near, order, axis=1)]
            found = np.take_along_axis(found, order, axis=1)
            self._distances[places[block]] = np.sqrt(np.maximum(found, 0))
