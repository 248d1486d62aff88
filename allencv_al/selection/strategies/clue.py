"""CLUE: the item nearest to each centroid of a pool weighted by uncertainty."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from overrides import overrides

from allencv_al.selection.pool.unlabeled_pool import FloatArray, Pool
from allencv_al.selection.selection import Picks
from allencv_al.selection.strategies.base import PositiveFloat, QueryStrategy
from allencv_al.selection.strategies.shared.canonical_rows import (
    CanonicalRows,
    assign,
    fit_centroids,
)
from allencv_al.selection.strategies.shared.distances import squared_norms
from allencv_al.selection.strategies.uncertainty import Entropy

_NEAREST_KEPT = 8  # rows per centroid, so that coinciding centroids rarely need another pass


@QueryStrategy.register("clue")
class Clue(QueryStrategy):
    """Takes the item nearest to each centroid of an entropy-weighted k-means.

    There are as many clusters as items to pick; each item weighs the entropy of softmax(z / T).
    Picks come in the order of their cluster's weight, the heaviest first, which is their score; an
    item nearest to two centroids counts for the heavier. Prabhu et al., "Active domain adaptation
    via clustering uncertainty-weighted embeddings", ICCV 2021, arXiv 2010.08666.

    Args:
        temperature: T. The paper takes 1, and 0.1 where some labels of the target are known from
            the start; the lower, the more the sure items lose their weight.
        memory_budget_mb: Memory for a block of intermediate results, in MiB; the result is the same
            for every value. Embeddings are read in blocks of 1,024 rows whatever it is, and k-means
            is fitted to a sample of 50,000.
    """

    needs = frozenset({"logits", "embeddings"})

    def __init__(
        self, temperature: PositiveFloat = 1.0, memory_budget_mb: PositiveFloat = 512.0
    ) -> None:
        super().__init__(memory_budget_mb)
        self.temperature = temperature

    @overrides
    def _pick(self, pool: Pool, count: int, seed: int) -> Picks:
        rows = CanonicalRows(pool, seed)
        entropy = Entropy(temperature=self.temperature, memory_budget_mb=self.memory_budget_mb)
        weights = entropy.score(pool)[rows.order]
        if count == len(pool):
            picks = np.argsort(-weights, kind="stable")
            return Picks(rows.order[picks], weights[picks])
        centroids = fit_centroids(rows, count, seed, weights)
        nearest = _Nearest(len(centroids))
        totals = np.zeros(len(centroids))
        sizes = np.zeros(len(centroids), np.int64)
        for start, block in rows.blocks():
            clusters, distances = assign(block, centroids)
            nearest.add(start, distances)
            of_block = weights[start : start + len(block)]
            totals += np.bincount(clusters, of_block, minlength=len(centroids))
            sizes += np.bincount(clusters, minlength=len(centroids))
        order = np.argsort(-totals, kind="stable")
        found = _distinct(order, nearest, rows, centroids)
        reasons = tuple(
            {
                "cluster": int(cluster),
                "cluster_size": int(sizes[cluster]),
                "distance_to_centroid": float(np.sqrt(distance)),
            }
            for cluster, (_, distance) in zip(order, found, strict=True)
        )
        picks = np.array([position for position, _ in found])
        return Picks(rows.order[picks], totals[order].astype(np.float32), reasons)


class _Nearest:
    """The few rows nearest to each centroid; of ties the earlier."""

    def __init__(self, centroids: int) -> None:
        self.distances = np.full((centroids, _NEAREST_KEPT), np.inf, np.float32)
        self.positions = np.full((centroids, _NEAREST_KEPT), -1, np.int64)

    def add(self, start: int, distances: FloatArray) -> None:
        """Update with a block of squared distances `[n, K]`, whose first row is row `start`."""
        for cluster in np.flatnonzero((distances < self.distances[:, -1]).any(axis=0)):
            column = distances[:, cluster]
            closer = np.flatnonzero(column < self.distances[cluster, -1])
            both = np.concatenate([self.distances[cluster], column[closer]])
            order = np.argsort(both, kind="stable")[:_NEAREST_KEPT]
            self.distances[cluster] = both[order]
            self.positions[cluster] = np.concatenate([self.positions[cluster], start + closer])[
                order
            ]


def _distinct(
    order: NDArray[np.int64],
    nearest: _Nearest,
    rows: CanonicalRows,
    centroids: NDArray[np.float32],
) -> list[tuple[int, float]]:
    """Return for each centroid, in this order, the nearest free row and its squared distance."""
    taken = np.zeros(len(rows), bool)
    found: list[tuple[int, float]] = []
    for done, cluster in enumerate(order.tolist()):
        free = _free(nearest.positions[cluster], taken)
        if not len(free):
            # All kept rows are taken, as where centroids coincide: search again for the rest
            nearest = _look_again(order[done:], taken, rows, centroids)
            free = _free(nearest.positions[cluster], taken)
        # float32 products may misorder rows at nearly equal distances
        offsets = rows.take(free).astype(np.float64) - centroids[cluster]
        distances = squared_norms(offsets)
        best = int(distances.argmin())
        found.append((int(free[best]), float(distances[best])))
        taken[free[best]] = True
    return found


def _free(positions: NDArray[np.int64], taken: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the positions that are known and not taken, in ascending order."""
    return np.sort(positions[(positions >= 0) & ~taken[positions]])


def _look_again(
    clusters: NDArray[np.int64],
    taken: NDArray[np.bool_],
    rows: CanonicalRows,
    centroids: NDArray[np.float32],
) -> _Nearest:
    nearest = _Nearest(len(centroids))
    for start, block in rows.blocks():
        distances = np.full((len(block), len(centroids)), np.inf, np.float32)
        distances[:, clusters] = assign(block, centroids[clusters])[1]
        distances[taken[start : start + len(block)]] = np.inf
        nearest.add(start, distances)
    return nearest
