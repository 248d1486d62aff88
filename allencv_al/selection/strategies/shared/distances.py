"""Squared distances: rows about an origin, and the nearest of a growing list of centers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from allencv_al.selection.pool.unlabeled_pool import FloatArray

_MOST_ROWS = 4096  # larger blocks leave the caches and gain nothing
_CENTERS_AT_A_TIME = 1024
_MOST_KEPT_WIDE = 8_000_000  # numbers, 64 MB


def block_rows(memory_budget_mb: float, dimensions: int) -> int:
    """Return how many rows of float64, with their products, fit into a block."""
    per_row = 8 * (2 * dimensions + _CENTERS_AT_A_TIME)
    return int(min(max(1, memory_budget_mb * 2**20 // per_row), _MOST_ROWS))


def slices(count: int, step: int) -> Iterator[slice]:
    """Yield slices of at most `step` rows that cover `count`."""
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def mean_row(array: FloatArray, step: int) -> NDArray[np.float64]:
    """Return the mean of the rows, summed in float64."""
    total = np.zeros(array.shape[1])
    for part in slices(len(array), step):
        total += np.asarray(array[part]).sum(axis=0, dtype=np.float64)
    return total / len(array)


def rows_about(
    array: FloatArray,
    index: slice | NDArray[np.int64],
    origin: NDArray[np.float64],
    dtype: DTypeLike,
) -> NDArray[Any]:
    """Return rows less an origin that float32 can hold, so that no digit is lost on the way.

    Far from the origin `|x|² - 2xc + |c|²` cancels; about the mean of the rows it does not.
    """
    rows = np.asarray(array[index])
    working = np.float64 if rows.dtype == np.float64 or dtype == np.float64 else np.float32
    centered = np.asarray(rows.astype(working, copy=False) - origin.astype(working))
    return centered.astype(dtype, copy=False)


def squared_norms(rows: NDArray[Any]) -> NDArray[Any]:
    """Return the squared norm of each row."""
    return np.asarray(np.einsum("ij,ij->i", rows, rows))


def rounding_bound(dimensions: int, dtype: DTypeLike) -> float:
    """Return k such that the error of the least squared distance is below k * (|x|² + distance).

    The worst case of a dot product, whatever its order, is `dimensions` units in the last place of
    |x||c|; and the nearest center is no longer than |x| and the distance together.
    """
    return 3.0 * (dimensions + 8) * float(np.finfo(dtype).eps) / 2


class Centers:
    """The labeled rows, then the picked ones.

    Args:
        embeddings: The rows of the pool, `[N, D]`.
        labeled: Rows that are centers from the start, `[L, D]`.
        origin: What is subtracted from all, `[D]`, representable in float32.
        capacity: How many picks there will be.
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
        # The first few should lie everywhere, and files often come sorted by class
        self.order = np.argsort(np.arange(len(labeled)) * 0.6180339887498949 % 1.0, kind="stable")
        size = (len(labeled) + capacity, embeddings.shape[1])
        self.doubled = np.empty(size, np.float32)
        self.norms = np.empty(size[0], np.float32)
        self._wide = np.empty(size if size[0] * size[1] <= _MOST_KEPT_WIDE else (0, size[1]))
        for part in slices(len(labeled), _MOST_ROWS):
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
        for part in slices(stop - start, _CENTERS_AT_A_TIME):
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

        Row i looks at centers `start` to `stops[i]`. Products find the center, and the difference
        gives the distance, so that it is 0 for a duplicate.
        """
        best = np.full(len(rows), np.inf)
        where = np.full(len(rows), -1)
        distances = np.full(len(rows), np.inf)
        for part in slices(max(int(stops.max(initial=0)) - start, 0), _CENTERS_AT_A_TIME):
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
