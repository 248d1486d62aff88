"""Cluster-Margin: items of small margin, taken in turn from their clusters."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from overrides import overrides

from allencv_al.selection.pool.rows import slices
from allencv_al.selection.pool.unlabeled_pool import Pool
from allencv_al.selection.selection import Picks
from allencv_al.selection.strategies.base import PositiveFloat, PositiveInt, QueryStrategy
from allencv_al.selection.strategies.shared.canonical_rows import (
    CanonicalRows,
    assign,
    fit_centroids,
)
from allencv_al.selection.strategies.uncertainty import Margin

# The paper cuts its tree where there are about candidates / 1.25 clusters
_CANDIDATES_PER_CLUSTER = 1.25
_MOST_CLUSTERS = 500
_ROWS_PER_BLOCK = 1024  # fixed: picks must not depend on the memory budget


@QueryStrategy.register("cluster_margin")
class ClusterMargin(QueryStrategy):
    """Takes the items of smallest margin, in turn from their clusters.

    Of the `candidates_per_pick` · query_size items of smallest margin p(1) − p(2), one is drawn at
    random from each cluster, the cluster with the fewest candidates first; then again, until there
    are enough. Citovsky et al., "Batch active learning at scale", NeurIPS 2021, arXiv 2107.14263.

    The paper clusters once with average linkage, whose memory grows with the square of the pool;
    here it is k-means.

    Args:
        candidates_per_pick: Number of candidates with small margin per pick; the paper uses 10.
        num_clusters: Number of clusters of the pool. Null: one for each 1.25 candidates, as in the
            paper, but at most 500.
        memory_budget_mb: Memory for a block of intermediate results, in MiB; the result is the same
            for every value. Embeddings are read in blocks of 1,024 rows whatever it is, and k-means
            is fitted to a sample of 50,000.
    """

    needs = frozenset({"logits", "embeddings"})
    reads_scores = True

    def __init__(
        self,
        candidates_per_pick: PositiveInt = 10,
        num_clusters: PositiveInt | None = None,
        memory_budget_mb: PositiveFloat = 512.0,
    ) -> None:
        super().__init__(memory_budget_mb)
        self.candidates_per_pick = candidates_per_pick
        self.num_clusters = num_clusters

    @overrides
    def _pick(self, pool: Pool, count: int, seed: int) -> Picks:
        rows = CanonicalRows(pool, seed)
        margin = Margin(aggregate=self.aggregate, memory_budget_mb=self.memory_budget_mb)
        scores = margin.score(pool)[rows.order]
        ranked = np.argsort(-scores, kind="stable")[: self.candidates_per_pick * count]
        clusters = self._clusters_of(ranked, rows, seed)
        picks, reasons = [], []
        for place in _in_turn(clusters, ranked, count):
            picks.append(ranked[place])
            reasons.append(
                {
                    "cluster": int(clusters[place]),
                    "candidates_in_cluster": int(np.sum(clusters == clusters[place])),
                    "margin_rank": place,
                }
            )
        return Picks(rows.order[picks], scores[picks], tuple(reasons))

    def _clusters_of(
        self, candidates: NDArray[np.int64], rows: CanonicalRows, seed: int
    ) -> NDArray[np.int64]:
        wanted = min(_MOST_CLUSTERS, round(len(candidates) / _CANDIDATES_PER_CLUSTER))
        centroids = fit_centroids(rows, self.num_clusters or max(1, wanted), seed)
        blocks = slices(len(candidates), _ROWS_PER_BLOCK)
        return np.concatenate([assign(rows.take(candidates[i]), centroids)[0] for i in blocks])


def _in_turn(
    clusters: NDArray[np.int64], positions: NDArray[np.int64], count: int
) -> Iterator[int]:
    """Yield places of candidates round-robin over the clusters, the smallest cluster first.

    Within a cluster they come in canonical order, which is a random one; clusters of the same
    size, in the order of their first.
    """
    members: dict[int, list[int]] = {}
    for place in np.argsort(positions).tolist():
        members.setdefault(int(clusters[place]), []).append(place)
    queues = sorted(members.values(), key=lambda places: (len(places), positions[places[0]]))
    for turn in range(len(queues[-1])):
        for places in queues:
            if turn < len(places):
                yield places[turn]
                count -= 1
                if count == 0:
                    return
