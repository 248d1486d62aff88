"""TypiClust: the most typical item of each cluster, for a cold start."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray
from overrides import overrides

from allencv_al.common.feature_scaling import FeatureScalingKind
from allencv_al.selection.pool.rows import slices
from allencv_al.selection.pool.unlabeled_pool import FloatArray, Pool
from allencv_al.selection.selection import Picks
from allencv_al.selection.strategies.base import PositiveFloat, PositiveInt, QueryStrategy
from allencv_al.selection.strategies.shared.canonical_rows import (
    CanonicalRows,
    assign_all,
    fit_centroids,
)
from allencv_al.selection.strategies.shared.distances import squared_norms

_EPSILON = 1e-5  # the paper's: identical neighbors make no infinite typicality
_SPARE = 12  # neighbors kept beyond those counted, so that removals rarely force a new search
_ROWS_PER_BLOCK = 256
_SMALL_CLUSTER = 5  # the paper's


class ClusterTypicality:
    """The items of one cluster, removed in the order of their typicality among the remaining ones.

    Only remaining items count as neighbors, as in the authors' code. The distances of a few more
    neighbors than needed are kept, so that they are rarely recomputed.

    Args:
        count: The number of items.
        read: Returns the rows `[m, D]` at places of the cluster; they are not kept.
        neighbors: The number of neighbors whose distances count; at most half of the items.
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

        The values of removed items are meaningless.
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
        squares = squared_norms(rows)
        for block in slices(len(rows), _ROWS_PER_BLOCK):
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


_LARGEST_LOOKED_AT = 4096  # all pairs of distances within a cluster: time grows with its square


@QueryStrategy.register("typiclust")
class TypiClust(QueryStrategy):
    """Takes the most typical items of the clusters with the fewest labels; for a cold start.

    k-means cuts labeled and unlabeled items into min(labeled + query_size, `max_clusters`)
    clusters. In turn, the clusters with the fewest labeled items first, and of these the largest,
    give the item whose neighbors are nearest: typicality = 1 / (mean distance to its nearest
    min(`neighbors`, half the cluster) unlabeled items of the cluster + 1e-5), which is the score.
    Clusters of `min_cluster_size` items or fewer come last, when all others are used up.
    Hacohen, Dekel & Weinshall, "Active learning on a budget: opposite strategies suit high and low
    budgets", ICML 2022, arXiv 2202.02794.

    Of a cluster of more than 4,096 items a random sample of that size is looked at.

    Args:
        max_clusters: The largest number of clusters; 500 in the paper.
        min_cluster_size: The largest size (labeled items included) of clusters that come last; 5 in
            the paper. Null: 5, but at most half of the mean size, which is small where labels are
            many for the pool.
        neighbors: The number of neighbors whose distances count; 20 in the paper.
        scaling: The scaling of the embeddings, by the statistics of the pool; `none` in the paper,
            whose embeddings have length 1.
        memory_budget_mb: Memory for a block of intermediate results, in MiB; the result is the same
            for every value. Embeddings are read in blocks of 1,024 rows whatever it is,
            k-means is fitted to a sample of 50,000, and of a cluster up to 4,096 rows are held in
            float64.
    """

    needs = frozenset({"embeddings"})

    def __init__(
        self,
        max_clusters: PositiveInt = 500,
        min_cluster_size: Annotated[int, Ge(0)] | None = None,
        neighbors: PositiveInt = 20,
        scaling: FeatureScalingKind = "standardize_l2",
        memory_budget_mb: PositiveFloat = 512.0,
    ) -> None:
        super().__init__(memory_budget_mb)
        self.max_clusters = max_clusters
        self.min_cluster_size = min_cluster_size
        self.neighbors = neighbors
        self.scaling = scaling

    @overrides
    def _pick(self, pool: Pool, count: int, seed: int) -> Picks:
        rows = CanonicalRows(pool, seed, self.scaling)
        wanted = min(rows.labeled_count + count, self.max_clusters)
        centroids = fit_centroids(rows, wanted, seed, with_labeled=True)
        clusters, labeled_clusters = assign_all(rows, centroids)
        unlabeled = np.bincount(clusters, minlength=len(centroids))
        labeled = np.bincount(labeled_clusters, minlength=len(centroids))
        supply = _Supply(rows, clusters, self.neighbors)
        picks: list[tuple[int, int, float]] = []
        for turns in self._turns(labeled, unlabeled):
            while turns and len(picks) < count:
                picks += [supply.pop(cluster) for cluster in turns[: count - len(picks)]]
                turns = [cluster for cluster in turns if supply.left[cluster]]
        reasons = tuple(
            {
                "cluster": cluster,
                "cluster_size": int(unlabeled[cluster] + labeled[cluster]),
                "labeled_in_cluster": int(labeled[cluster]),
                "typicality": score,
            }
            for _, cluster, score in picks
        )
        scores = np.array([score for *_, score in picks], np.float32)
        return Picks(rows.order[[position for position, *_ in picks]], scores, reasons)

    def _turns(
        self, labeled: NDArray[np.int64], unlabeled: NDArray[np.int64]
    ) -> tuple[list[int], list[int]]:
        """Return the clusters to take from in turn, and those to take from after them."""
        sizes = labeled + unlabeled
        order = [c for c in np.lexsort((-sizes, labeled)).tolist() if unlabeled[c]]
        least = self.min_cluster_size
        if least is None:
            # Else nearly all would be too small, and the few large ones be emptied first
            least = min(_SMALL_CLUSTER, int(sizes.mean() / 2))
        large = [cluster for cluster in order if sizes[cluster] > least]
        return large, [cluster for cluster in order if sizes[cluster] <= least]


class _Supply:
    """The remaining items of all clusters, removed by typicality.

    Args:
        rows: The rows of the pool.
        clusters: The cluster of each, `[N]` in canonical order.
        neighbors: See `TypiClust`.
    """

    def __init__(self, rows: CanonicalRows, clusters: NDArray[np.int64], neighbors: int) -> None:
        self._rows = rows
        self._neighbors = neighbors
        self.left = np.bincount(clusters)
        by_cluster = np.argsort(clusters, kind="stable")
        self._members = np.split(by_cluster, np.cumsum(self.left)[:-1])
        self._sampled: dict[int, tuple[NDArray[np.int64], ClusterTypicality]] = {}

    def pop(self, cluster: int) -> tuple[int, int, float]:
        """Remove an item; return its canonical position, its cluster, and its typicality."""
        if cluster not in self._sampled:
            # Canonical order is random, so the first members are a random sample
            members, self._members[cluster] = np.split(self._members[cluster], [_LARGEST_LOOKED_AT])
            typicality = ClusterTypicality(
                len(members), partial(self._read, members), self._neighbors
            )
            self._sampled[cluster] = members, typicality
        members, typicality = self._sampled[cluster]
        place, score = typicality.pop()
        self.left[cluster] -= 1
        if not len(typicality):
            del self._sampled[cluster]
        return int(members[place]), cluster, score

    def _read(self, members: NDArray[np.int64], places: NDArray[np.int64]) -> NDArray[np.float32]:
        return self._rows.take(members[places])
