"""The farthest item from a growing set of centers, exact, with few distances computed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from allencv_al.selection.strategies.shared.distances import (
    Centers,
    rounding_bound,
    rows_about,
    slices,
    squared_norms,
)

_FIRST_CENTERS = 64
_BUCKET = 64
_LEAST_BATCH = 256
_LEAST_FRONT = 4096
_TIE = 1e-9


class FarthestFirst:
    """Finds the item whose nearest center is farthest.

    Distances to the nearest center only shrink, so that an old one is an upper bound: only items
    whose bound exceeds the best up-to-date distance are brought up to date, many centers at once.
    float32 products find the candidates within their rounding error, float64 decides between them.
    The answer therefore depends neither on the size of the blocks nor on the order of the pool.

    Args:
        centers: The centers, at least one; `pick` adds to them.
        step: How many rows make a block.
    """

    def __init__(self, centers: Centers, step: int) -> None:
        self._centers = centers
        self._step = step
        count, dimensions = centers.embeddings.shape
        self._error = np.float32(rounding_bound(dimensions, np.float32))
        self._near = np.empty(count, np.float32)
        self._norms = np.empty(count, np.float32)
        self._seen = np.full(count, min(len(centers), _FIRST_CENTERS), np.int32)
        self._sure = np.full(count, np.inf)
        self._sure_seen = np.zeros(count, np.int32)
        for part in slices(count, step):
            rows = self._rows(part)
            self._norms[part] = squared_norms(rows)
            self._near[part] = centers.least(rows, self._norms[part], 0, int(self._seen[0]))
        for index in centers.picked:
            self._leave_out(index)
        self._front = np.empty(0, np.int64)
        self._outside = -np.inf
        self._build_front(max(_LEAST_FRONT, count // 16))

    def pick(self, index: int) -> None:
        """Make an item a center, never to be found again."""
        self._centers.add(index)
        self._leave_out(index)

    def farthest(self) -> tuple[NDArray[np.int64], float]:
        """Return the items that are farthest from their nearest center, and how far, squared.

        Several are returned where float64 cannot tell their distances apart.
        """
        candidates = self._candidates()
        if len(candidates) == 1:
            return candidates, float(self._near[candidates[0]])
        distances = self._exact(candidates)
        best = float(distances.max())
        return candidates[distances >= best * (1 - _TIE)], best

    def _candidates(self) -> NDArray[np.int64]:
        """Return the items that may be the farthest, as far as float32 can tell."""
        batch, size = _LEAST_BATCH, len(self._front)
        while True:
            front = self._front
            near, slack = self._near[front], self._error * self._norms[front]
            upper = near * (1 + self._error) + slack
            fresh = self._seen[front] >= len(self._centers)
            lower = np.where(fresh, near * (1 - self._error) - slack, -np.inf)
            floor = lower.max(initial=-np.inf)
            stale = np.flatnonzero(~fresh & (upper >= max(floor, self._outside)))
            if len(stale):
                if len(stale) > batch:
                    top = np.argpartition(upper[stale], len(stale) - batch)[len(stale) - batch :]
                    stale = stale[top]
                self._refresh(front[stale])
                batch *= 2
            elif floor < self._outside:
                self._build_front(size)
                size *= 2
            else:
                return np.asarray(front[fresh & (upper >= floor)])

    def _build_front(self, size: int) -> None:
        """Keep the items with the highest bounds at hand, and the highest bound of the others."""
        upper = self._near * (1 + self._error) + self._error * self._norms
        if size >= len(upper):
            self._front, self._outside = np.arange(len(upper)), -np.inf
            return
        order = np.argpartition(upper, len(upper) - size)
        self._front = np.sort(order[len(upper) - size :])
        self._outside = float(upper[order[: len(upper) - size]].max())

    def _refresh(self, indices: NDArray[np.int64]) -> None:
        for start, part in self._parts(indices, self._seen):
            rows, norms = self._rows(part), self._norms[part]
            least = self._centers.least(rows, norms, start, len(self._centers))
            self._near[part] = np.minimum(self._near[part], least)
        self._seen[indices] = len(self._centers)

    def _exact(self, indices: NDArray[np.int64]) -> NDArray[np.float64]:
        centers = self._centers
        old = indices[self._sure_seen[indices] < len(centers)]
        for start, part in self._parts(old, self._sure_seen):
            rows = rows_about(centers.embeddings, part, centers.origin, np.float64)
            distances, _ = centers.nearest(rows, start, np.full(len(part), len(centers)))
            self._sure[part] = np.minimum(self._sure[part], distances)
        self._sure_seen[old] = len(centers)
        return self._sure[indices]

    def _parts(
        self, indices: NDArray[np.int64], seen: NDArray[np.int32]
    ) -> list[tuple[int, NDArray[np.int64]]]:
        """Return blocks of items, each with the first center that one of them has not seen."""
        buckets = seen[indices] // _BUCKET
        return [
            (int(bucket) * _BUCKET, mine[part])
            for bucket in np.unique(buckets)
            for mine in [indices[buckets == bucket]]
            for part in slices(len(mine), self._step)
        ]

    def _rows(self, index: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        centers = self._centers
        return rows_about(centers.embeddings, index, centers.origin, np.float32)

    def _leave_out(self, index: int) -> None:
        self._near[index] = -np.inf
        self._seen[index] = np.iinfo(np.int32).max
