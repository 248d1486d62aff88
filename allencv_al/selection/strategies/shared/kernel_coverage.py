"""Greedy coverage of a pool by kernels: radius, bandwidth and lazy evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allencv_al.selection.pool.rows import slices
from allencv_al.selection.pool.unlabeled_pool import FloatArray
from allencv_al.selection.strategies.shared.canonical_rows import (
    CanonicalRows,
    assign,
    fit_centroids,
    squared_distances,
)
from allencv_al.selection.strategies.shared.distances import squared_norms


@dataclass(frozen=True)
class Kernel:
    """The similarity of two items, 0 to 1.

    Args:
        width: The distance over which the similarity falls.
        similarities: Returns similarities for squared distances; it may overwrite them.
    """

    width: float
    similarities: Callable[[FloatArray], FloatArray]


_BLOCK = 256  # rows of a product with all references: 10 MB at 10,000 references
_FIRST_LOOK = 16  # stale bounds evaluated first; doubled until the best bound is exact
# float32 distances have an error of about 1e-6 of the squared norms: 1 % of so narrow a kernel
_NARROW = 1e-4


class KernelCoverage:
    """Coverage of the reference items: Σ_x w_x · m_x, m_x = max k(x, c) over chosen c.

    Args:
        rows: The pool's rows.
        references: The number of reference items, the first in canonical order.
        kernel: k.
        weights: w, `[N]` in canonical order; None for 1.
    """

    def __init__(
        self,
        rows: CanonicalRows,
        references: int,
        kernel: Kernel,
        weights: NDArray[np.float32] | None = None,
    ) -> None:
        self._rows = rows
        self._kernel = kernel
        data = rows.take(slice(0, references))
        narrow = kernel.width**2 < _NARROW * squared_norms(data).max()
        self._dtype: type[np.floating[Any]] = np.float64 if narrow else np.float32
        self._references: FloatArray = data.astype(self._dtype, copy=False)
        self._squares = squared_norms(self._references)
        self._weights = None if weights is None else weights[: len(self._references)]
        self._covered = np.zeros(len(self._references), np.float32)
        for block in rows.labeled_blocks():
            for part in slices(len(block), _BLOCK):
                self._cover(block[part])

    def gains(self, positions: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the gain in coverage of each of these items of the pool, `[n]`.

        Args:
            positions: In canonical order.
        """
        gains = np.empty(len(positions))
        for block in slices(len(positions), _BLOCK):
            raised = self._similarities(self._rows.take(positions[block]))
            raised -= self._covered
            np.maximum(raised, 0, out=raised)
            if self._weights is not None:
                raised *= self._weights
            gains[block] = raised.sum(axis=1, dtype=np.float64)
        return gains

    def choose(self, position: int) -> None:
        """Add an item of the pool to the chosen ones."""
        self._cover(self._rows.take(slice(position, position + 1)))

    def share(self) -> float:
        """Return the coverage as a share of its maximum, 0 to 1."""
        if self._weights is None:
            return float(self._covered.mean(dtype=np.float64))
        total = float(self._weights.sum(dtype=np.float64))
        return float(self._covered.astype(np.float64) @ self._weights) / total if total else 1.0

    def _cover(self, rows: NDArray[np.float32]) -> None:
        np.maximum(self._covered, self._similarities(rows).max(axis=0), out=self._covered)

    def _similarities(self, rows: NDArray[np.float32]) -> FloatArray:
        wide = rows.astype(self._dtype, copy=False)
        distances = squared_distances(wide, self._references, self._squares)
        return self._kernel.similarities(distances)


def lazy_greedy(
    coverage: KernelCoverage, candidates: int, count: int, taken: Sequence[int] = ()
) -> Iterator[tuple[int, float]]:
    """Yield the items that raise the coverage most, one after another, with their gains.

    Gains only shrink as the coverage grows (it is submodular), so an old gain is a bound, and only
    the items of the highest bounds are evaluated again; the picks are those of the plain greedy
    algorithm. Of equal gains the first in canonical order wins. Minoux, "Accelerated
    greedy algorithms for maximizing submodular set functions", 1978.

    Args:
        coverage: The coverage to raise.
        candidates: The number of items that may be chosen, the first in canonical order.
        count: The number of items to choose.
        taken: Candidates that are not to be chosen.
    """
    bounds = coverage.gains(np.arange(candidates))
    bounds[list(taken)] = -np.inf
    evaluated_for = np.zeros(candidates, np.int64)
    for pick in range(count):
        look = _FIRST_LOOK
        while True:
            best = int(bounds.argmax())
            # A bound of 0 is exact: no gain is below
            if evaluated_for[best] == pick or bounds[best] <= 0:
                break
            stale = np.where(evaluated_for < pick, bounds, -np.inf)
            again = _highest(stale, min(look, candidates))
            again = again[stale[again] > 0]
            bounds[again] = coverage.gains(again)
            evaluated_for[again] = pick
            look = min(2 * look, _BLOCK)
        gain = max(float(bounds[best]), 0.0)
        coverage.choose(best)
        bounds[best] = -np.inf
        yield best, gain


def _highest(values: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Return the positions of the highest values, in ascending order."""
    if count >= len(values):
        return np.arange(len(values))
    return np.sort(np.argpartition(-values, count - 1)[:count])


# A median or a quantile over 1,000 items is stable; 20,000 rows bound the memory
_ASKED = 1000
_COMPARED = 20_000
_MOST_LABELED = 2000
_COINCIDE = 1e-12  # of the squared norms: below it a squared distance is rounding
# Slightly below the distance, so that rounding does not decide whether an item of another
# pseudo-class is within the radius
_SHORTER = 1 - 1e-5


def pure_radius(rows: CanonicalRows, classes: int, purity: float, seed: int) -> float:
    """Return the largest radius at which enough balls are pure: ProbCover's choice of δ.

    k-means with as many clusters as classes gives pseudo-labels; a ball is pure if all items
    nearer to its center than the radius have the center's pseudo-label. Up to 1,000 centers, among
    up to 20,000 items, are looked at.

    Args:
        rows: The pool's rows.
        classes: The number of classes.
        purity: The smallest share of pure balls.
        seed: The seed of k-means.
    """
    data = rows.take(slice(0, _COMPARED))
    labels = assign(data, fit_centroids(rows, classes, seed))[0]
    exact = data.astype(np.float64)
    nearest_other = np.empty(min(_ASKED, len(data)))
    for asked in slices(len(nearest_other), _BLOCK):
        distances = squared_distances(exact[asked], exact)
        distances[labels[asked, None] == labels] = np.inf
        nearest_other[asked] = distances.min(axis=1)
    ordered = np.sort(nearest_other)
    allowed = ordered[min(int((1 - purity) * len(ordered)), len(ordered) - 1)]
    if np.isfinite(allowed):
        return float(np.sqrt(allowed) * _SHORTER)
    # One class only: any radius is pure
    return 2 * float(np.sqrt(squared_norms(data).max())) or 1.0


def neighbor_distance(rows: CanonicalRows, neighbor: int) -> float:
    """Return the median distance to the nearest-but-so-many neighbor, of up to 1,000 items.

    It is 1 where all items coincide. Neighbors are looked for among up to 20,000 items.

    Args:
        rows: The pool's rows.
        neighbor: Rank of the neighbor, from 1; the farthest if there are fewer.
    """
    data = rows.take(slice(0, _COMPARED)).astype(np.float64)
    found = np.empty(min(_ASKED, len(data)))
    place = min(neighbor, len(data) - 1)
    for asked in slices(len(found), _BLOCK):
        distances = squared_distances(data[asked], data)
        found[asked] = np.partition(distances, place, axis=1)[:, place]
    return float(np.sqrt(np.median(found))) or 1.0


def smallest_labeled_distance(rows: CanonicalRows) -> float | None:
    """Return the smallest distance above 0 between two labeled items; None if there is none.

    Of more than 2,000 labeled items the latest count.

    Args:
        rows: The pool's rows.
    """
    count = rows.labeled_count
    latest = np.arange(max(0, count - _MOST_LABELED), count)
    data = rows.take_labeled(latest).astype(np.float64)
    least = np.inf
    for part in slices(len(data), _BLOCK):
        distances = squared_distances(data[part], data)
        apart = distances > _COINCIDE * squared_norms(data).max()
        least = min(least, float(distances[apart].min(initial=np.inf)))
    return float(np.sqrt(least)) if np.isfinite(least) else None
