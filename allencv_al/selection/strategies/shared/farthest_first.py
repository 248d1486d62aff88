"""The farthest item from a growing set of centers, exact, with few distances computed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from allencv_al.selection.pool.rows import slices
from allencv_al.selection.pool.unlabeled_pool import FloatArray
from allencv_al.selection.strategies.shared.distances import (
    CENTERS_AT_A_TIME,
    MOST_ROWS,
    rounding_bound,
    rows_about,
    squared_norms,
)

_MOST_KEPT_WIDE = 8_000_000  # numbers, 64 MB
_FIRST_CENTERS = 64  # compared with all rows at the start; later centers only where needed
_BUCKET = 64  # items are grouped by the number of centers they have seen, so blocks stay large
_LEAST_BATCH = 256  # stale items updated first; doubled until the farthest is certain
_LEAST_FRONT = 4096  # items with the highest bounds, scanned at each pick instead of the pool
_TIE = 1e-9  # relative; float64 sums in different orders differ by less


class Centers:
    """The labeled rows, then the picked ones.

    Args:
        embeddings: The rows of the pool, `[N, D]`.
        labeled: Rows that are centers from the start, `[L, D]`.
        origin: The row subtracted from all, `[D]`, exact in float32.
        capacity: The largest number of picks.
    """

    def __init__(
        self,
        embeddings: FloatArray,
        labeled: FloatArray,
        origin: NDArray[np.float64],
        capacity: int,
    ) -> None:
        self.embeddings = embeddings
        self.labeled = labeled
        self.origin = origin
        self.picked: list[int] = []
        # The first few should be spread out, but files often come sorted by class: golden ratio
        self.order = np.argsort(np.arange(len(labeled)) * 0.6180339887498949 % 1.0, kind="stable")
        size = (len(labeled) + capacity, embeddings.shape[1])
        self.doubled = np.empty(size, np.float32)
        self.norms = np.empty(size[0], np.float32)
        self._wide = np.empty(size if size[0] * size[1] <= _MOST_KEPT_WIDE else (0, size[1]))
        for part in slices(len(labeled), MOST_ROWS):
            self._keep(part, rows_about(labeled, self.order[part], origin, np.float64))

    def __len__(self) -> int:
        return len(self.labeled) + len(self.picked)

    def add(self, index: int) -> None:
        """Make an item of the pool a center."""
        here = slice(len(self), len(self) + 1)
        rows = rows_about(self.embeddings, slice(index, index + 1), self.origin, np.float64)
        self.picked.append(index)
        self._keep(here, rows)

    def rows(self, start: int, stop: int) -> NDArray[np.float64]:
        """Return some centers in float64, about the origin."""
        if len(self._wide):
            return self._wide[start : min(stop, len(self))]
        count = len(self.labeled)
        labeled = self.order[start : min(stop, count)]
        picked = self.picked[max(start - count, 0) : max(stop - count, 0)]
        chosen = np.asarray(picked, np.int64)
        return np.concatenate(
            [
                rows_about(self.labeled, labeled, self.origin, np.float64),
                rows_about(self.embeddings, chosen, self.origin, np.float64),
            ]
        )

    def least(
        self, rows: NDArray[np.float32], norms: NDArray[np.float32], start: int, stop: int
    ) -> NDArray[np.float32]:
        """Return the least squared distance to centers `start` to `stop`, by float32 products."""
        best = np.full(len(rows), np.inf, np.float32)
        for part in slices(stop - start, CENTERS_AT_A_TIME):
            some = slice(start + part.start, start + part.stop)
            products = rows @ self.doubled[some].T
            products += self.norms[some]
            np.minimum(best, products.min(axis=1), out=best)
        best += norms
        return np.maximum(best, 0, out=best)

    def nearest(
        self, rows: NDArray[np.float64], start: int, stops: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return for each row the squared distance and position of its nearest center, in float64.

        Row i is compared with centers `start` to `stops[i]`. Products find the center, and the
        difference gives the distance, which is 0 for a duplicate.
        """
        best = np.full(len(rows), np.inf)
        where = np.full(len(rows), -1)
        distances = np.full(len(rows), np.inf)
        for part in slices(max(int(stops.max(initial=0)) - start, 0), CENTERS_AT_A_TIME):
            first = start + part.start
            centers = self.rows(first, start + part.stop)
            products = squared_norms(centers) - 2 * (rows @ centers.T)
            products[np.arange(first, first + len(centers)) >= stops[:, None]] = np.inf
            column = products.argmin(axis=1)
            value = products[np.arange(len(rows)), column]
            better = np.flatnonzero(value < best)
            best[better] = value[better]
            where[better] = first + column[better]
            distances[better] = squared_norms(rows[better] - centers[column[better]])
        return distances, where

    def _keep(self, here: slice, rows: NDArray[np.float64]) -> None:
        narrow = rows.astype(np.float32)
        self.norms[here] = squared_norms(narrow)
        np.multiply(narrow, -2, out=self.doubled[here])
        if len(self._wide):
            self._wide[here] = rows


class FarthestFirst:
    """Finds the item whose nearest center is farthest, with lazily updated bounds.

    Distances to the nearest center only shrink, so an old distance is an upper bound: only items
    whose bound exceeds the best current distance are updated, by many centers at once. float32
    products find the candidates within their rounding error, float64 decides between them. So the
    answer depends neither on the size of the blocks nor on the order of the pool.

    Args:
        centers: The centers, at least one; `pick` adds to them.
        step: Rows per block.
    """

    def __init__(self, centers: Centers, step: int) -> None:
        self._centers = centers
        self._step = step
        count, dimensions = centers.embeddings.shape
        self._error = np.float32(rounding_bound(dimensions, np.float32))
        self._near = np.empty(count, np.float32)
        self._norms = np.empty(count, np.float32)
        self._seen = np.full(count, min(len(centers), _FIRST_CENTERS), np.int32)
        # Exact float64 distances, only for items that were candidates
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
        """Return the items farthest from their nearest center, and that squared distance.

        Several are returned where their distances tie in float64.
        """
        candidates = self._candidates()
        if len(candidates) == 1:
            return candidates, float(self._near[candidates[0]])
        distances = self._exact(candidates)
        best = float(distances.max())
        return candidates[distances >= best * (1 - _TIE)], best

    def _candidates(self) -> NDArray[np.int64]:
        """Return the items that may be the farthest within the error of float32."""
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
        """Store the items with the highest bounds, and the highest bound of the others."""
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
        """Return blocks of items, each with the first center that some of them have not seen."""
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
