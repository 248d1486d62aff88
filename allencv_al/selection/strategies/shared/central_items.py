"""The items nearest to the centroids of k-means, each once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from allencv_al.selection.pool.unlabeled_pool import FloatArray
from allencv_al.selection.strategies.shared.canonical_rows import (
    CanonicalRows,
    assign,
    fit_centroids,
)
from allencv_al.selection.strategies.shared.distances import squared_norms

_NEAREST_KEPT = 8  # rows per centroid, so that coinciding centroids rarely need another pass


@dataclass(frozen=True)
class CentralItems:
    """One item for each cluster, those of the heaviest clusters first.

    Args:
        positions: The items, in canonical order, `[k]`.
        clusters: The cluster of each, `[k]`.
        weights: The total weight of each cluster, `[k]`.
        sizes: The number of items of each cluster, `[k]`.
        distances: The distance of each item to its centroid, `[k]`.
    """

    positions: NDArray[np.int64]
    clusters: NDArray[np.int64]
    weights: NDArray[np.float64]
    sizes: NDArray[np.int64]
    distances: NDArray[np.float64]

    def reasons(self) -> tuple[dict[str, float], ...]:
        """Return the cluster of each item as its reason."""
        columns = (self.clusters.tolist(), self.sizes.tolist(), self.distances.tolist())
        return tuple(
            {"cluster": cluster, "cluster_size": size, "distance_to_centroid": distance}
            for cluster, size, distance in zip(*columns, strict=True)
        )


def central_items(
    rows: CanonicalRows, count: int, seed: int, weights: NDArray[np.float32] | None = None
) -> CentralItems:
    """Return the item nearest to the centroid of each of `count` clusters.

    An item nearest to two centroids counts for the heavier.

    Args:
        rows: The pool's rows, at least `count`.
        count: Number of clusters.
        seed: The seed of k-means.
        weights: The weight of each row, `[N]` in canonical order; None for 1.
    """
    centroids = fit_centroids(rows, count, seed, weights)
    nearest = _Nearest(len(centroids))
    totals = np.zeros(len(centroids))
    sizes = np.zeros(len(centroids), np.int64)
    for start, block in rows.blocks():
        clusters, distances = assign(block, centroids)
        nearest.add(start, distances)
        of_block = None if weights is None else weights[start : start + len(block)]
        totals += np.bincount(clusters, of_block, minlength=len(centroids))
        sizes += np.bincount(clusters, minlength=len(centroids))
    order = np.argsort(-totals, kind="stable")
    found = _distinct(order, nearest, rows, centroids)
    return CentralItems(
        np.array([position for position, _ in found], np.int64),
        order,
        totals[order],
        sizes[order],
        np.sqrt([distance for _, distance in found]),
    )


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
