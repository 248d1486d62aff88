"""Greedy k-center, also known as core-set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from overrides import overrides

from allencv_al.selection.pool.rows import slices
from allencv_al.selection.pool.unlabeled_pool import FloatArray, Pool
from allencv_al.selection.selection import Picks
from allencv_al.selection.strategies.base import QueryStrategy, in_hash_order
from allencv_al.selection.strategies.shared.distances import (
    block_rows,
    labeled_rows,
    rounding_bound,
    rows_about,
    squared_norms,
)
from allencv_al.selection.strategies.shared.farthest_first import Centers, FarthestFirst

_ROWS_FOR_ORIGIN = 1024
_TIE = 1e-9  # relative; float64 sums in different orders differ by less


@QueryStrategy.register("k_center")
class KCenter(QueryStrategy):
    """Picks repeatedly the item farthest from all labeled and picked items.

    Greedy k-center, known as core-set: Sener & Savarese 2018, arXiv 1708.00489. Distances are
    Euclidean, between `embeddings`. If the pool has `labeled_embeddings`, these are the first
    centers; if not, the item nearest the mean is picked first.

    The picks are those of the plain greedy algorithm, whose distances this one computes only where
    they can decide. The score is the distance to the nearest labeled or picked item; the first pick
    of a cold start, which has none, is given the score of the second.

    Args:
        memory_budget_mb: Memory for a block of intermediate results, in MiB; the result is the same
            for every value.
    """

    needs = frozenset({"embeddings"})

    @overrides
    def _pick(self, pool: Pool, count: int, seed: int) -> Picks:
        embeddings = pool.embeddings
        assert embeddings is not None
        labeled = labeled_rows(pool)
        step = block_rows(self.memory_budget_mb, embeddings.shape[1])
        if len(labeled):
            # Any point among the embeddings can be the origin
            some = embeddings[:: max(1, len(embeddings) // _ROWS_FOR_ORIGIN)]
            origin = _in_float32(_mean_row(some, step))
            centers = Centers(embeddings, labeled, origin, count)
        else:
            mean = _mean_row(embeddings, step)
            centers = Centers(embeddings, labeled, _in_float32(mean), count)
            nearest = _nearest_to(mean, embeddings, step)
            centers.add(int(in_hash_order(nearest, pool, seed)[0]))
        _fill(FarthestFirst(centers, step), centers, pool, count, seed)
        distances, reasons = _explain(centers, pool)
        return Picks(np.asarray(centers.picked, np.int64), distances.astype(np.float32), reasons)


def _fill(search: FarthestFirst, centers: Centers, pool: Pool, count: int, seed: int) -> None:
    while len(centers.picked) < count:
        farthest, distance = search.farthest()
        if distance > 0 or len(farthest) == 1:
            search.pick(int(in_hash_order(farthest, pool, seed)[0]))
            continue
        # All remaining items duplicate a center: no later pick changes that
        for index in in_hash_order(farthest, pool, seed)[: count - len(centers.picked)].tolist():
            search.pick(index)


def _mean_row(array: FloatArray, step: int) -> NDArray[np.float64]:
    """Return the mean of the rows, summed in float64."""
    total = np.zeros(array.shape[1])
    for part in slices(len(array), step):
        total += np.asarray(array[part]).sum(axis=0, dtype=np.float64)
    return total / len(array)


def _nearest_to(mean: NDArray[np.float64], embeddings: FloatArray, step: int) -> NDArray[np.int64]:
    """Return the items nearest to the mean; several if float64 cannot tell them apart."""
    origin = _in_float32(mean)
    distances = np.concatenate(
        [
            squared_norms(rows_about(embeddings, part, origin, np.float64) - (mean - origin))
            for part in slices(len(embeddings), step)
        ]
    )
    # The mean itself has a rounding error relative to the size of the features
    size = float(np.abs(mean).max()) * 4 * np.finfo(np.float64).eps
    error = _TIE * distances.min() + rounding_bound(len(mean), np.float64) * size**2
    return np.flatnonzero(distances <= distances.min() + error)


def _in_float32(row: NDArray[np.float64]) -> NDArray[np.float64]:
    return row.astype(np.float32).astype(np.float64)


def _explain(
    centers: Centers, pool: Pool
) -> tuple[NDArray[np.float64], tuple[Mapping[str, Any], ...]]:
    """Return for each pick the distance to its nearest center at that time, and the reason."""
    count, labeled = len(centers.picked), len(centers.labeled)
    squared, where = np.empty(count), np.empty(count, np.int64)
    for part in slices(count, 256):
        rows = centers.rows(labeled + part.start, labeled + part.stop)
        squared[part], where[part] = centers.nearest(
            rows, 0, labeled + np.arange(part.start, part.stop)
        )
    distances = np.sqrt(squared)
    reasons: list[Mapping[str, Any]] = []
    for distance, center in zip(distances.tolist(), where.tolist(), strict=True):
        if center < 0:
            reasons.append({"nearest": "mean"})
        elif center < labeled:
            nearest = {"nearest_labeled": int(centers.order[center])}
            reasons.append({**nearest, "distance": distance})
        else:
            name = pool.ids[centers.picked[center - labeled]]
            reasons.append({"nearest_selected": name, "distance": distance})
    if labeled == 0:
        distances[0] = distances[1] if count > 1 else 0.0
    return distances, tuple(reasons)
