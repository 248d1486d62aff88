"""The pool's rows in an order that only ids and seed decide, and k-means over them."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allencv_al.common.feature_scaling import FeatureScaling, FeatureScalingKind
from allencv_al.data.id_hash import canonical_order
from allencv_al.selection.pool.rows import slices
from allencv_al.selection.pool.unlabeled_pool import FloatArray, Pool
from allencv_al.selection.strategies.shared.distances import labeled_rows, squared_norms

_ROWS_PER_BLOCK = 1024  # fixed: picks must not depend on the memory budget
_FIT_ROWS = 50_000
"""Rows that a scaling or k-means is fitted to; 100 MB at 512 dimensions."""

_CENTER_FROM = 10_000  # rows whose mean is the center; it need only lie near the data


class CanonicalRows:
    """The embeddings of a pool in canonical order, centered or scaled, as float32.

    The last bits of a matrix product depend on its shape. Reading the pool in canonical order and
    in blocks of one fixed size gives the same bits for every order of the pool and every memory
    budget, and so the same picks. Blocks are small (1,024 rows); the array is never copied whole.

    Args:
        pool: The items, with embeddings; labeled embeddings where they are used.
        seed: Of the order.
        scaling: The scaling of the rows, by statistics of up to 50,000 of them. With `none` they
            are centered, which leaves their distances as they are.
    """

    def __init__(self, pool: Pool, seed: int, scaling: FeatureScalingKind = "none") -> None:
        assert pool.embeddings is not None
        self.order = canonical_order(pool.ids, seed)
        self._rows = pool.embeddings
        self._labeled = labeled_rows(pool)
        # ‖u‖² − 2uc + ‖c‖² cancels far from the origin; any center near the data avoids that
        self._scaling: FeatureScaling | None = None
        self._center = np.zeros(0)
        if scaling == "none":
            self._center = self._rows[self.order[:_CENTER_FROM]].mean(axis=0, dtype=np.float64)
        else:
            self._scaling = FeatureScaling.fit(scaling, self._rows[self.order[:_FIT_ROWS]])

    def __len__(self) -> int:
        return len(self.order)

    def take(self, positions: NDArray[np.int64] | slice) -> NDArray[np.float32]:
        """Return the rows at positions of the canonical order, a copy."""
        return self._centered(self._rows[self.order[positions]])

    def blocks(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield all rows in blocks, each with the position of its first row."""
        for part in slices(len(self), _ROWS_PER_BLOCK):
            yield part.start, self.take(part)

    @property
    def labeled_count(self) -> int:
        """The number of labeled rows; 0 if the pool has none."""
        return 0 if self._labeled is None else len(self._labeled)

    def labeled_blocks(self) -> Iterator[NDArray[np.float32]]:
        """Yield the labeled rows in blocks, in the order in which the pool has them."""
        for part in slices(self.labeled_count, _ROWS_PER_BLOCK):
            yield self._centered(self._labeled[part])

    def take_labeled(self, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return labeled rows, a copy."""
        return self._centered(self._labeled[positions])

    def _centered(self, rows: FloatArray) -> NDArray[np.float32]:
        if self._scaling is not None:
            return self._scaling.apply(rows)
        wide = np.asarray(rows, np.result_type(rows.dtype, np.float32))
        centered = wide - self._center.astype(wide.dtype)
        return np.ascontiguousarray(centered, dtype=np.float32)


def squared_distances(
    rows: FloatArray, others: FloatArray, squares: FloatArray | None = None
) -> FloatArray:
    """Return the squared Euclidean distances `[n, m]` of `[n, D]` and `[m, D]` centered rows.

    The error is about 1e-6 of the squared norms in float32, 1e-15 in float64.

    Args:
        rows: One side; it is copied.
        others: The other side.
        squares: The squared norms of `others`, `[m]`, where they are known.
    """
    distances: FloatArray = (-2 * rows) @ others.T
    distances += squared_norms(rows)[:, None]
    distances += squared_norms(others) if squares is None else squares
    return np.maximum(distances, 0, out=distances)


# TypiClust's authors change to mini-batches of 5,000 above this
_MOST_CLUSTERS_OF_FULL_KMEANS = 50
_MINI_BATCH = 5000
_FEWEST_TO_START_FROM = 3000  # rows from which k-means++ draws starts, or 3 · k
_LEAST_WEIGHT = 1e-6


@functools.cache  # finding the libraries among those of the process takes as long as a small fit
def _thread_pools() -> Any:
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

    return ThreadpoolController()


def fit_centroids(
    rows: CanonicalRows,
    count: int,
    seed: int,
    weights: NDArray[np.float32] | None = None,
    with_labeled: bool = False,
) -> NDArray[np.float32]:
    """Return the centroids `[K, D]` of `count` clusters, fewer only if there are fewer rows.

    Above 50,000 rows they are fitted to the first so many in canonical order, which is a random
    sample. k-means++ starts them; Lloyd's algorithm moves up to 50 of them, mini-batches more.

    Args:
        rows: The pool's rows.
        count: Number of clusters.
        seed: Seed of the start and of mini-batches.
        weights: The weight of each row of the pool, `[N]` in canonical order.
        with_labeled: Whether labeled rows are clustered, too; not together with weights.
    """
    assert weights is None or not with_labeled
    from sklearn.cluster import KMeans, MiniBatchKMeans
    from sklearn.exceptions import ConvergenceWarning

    labeled = rows.labeled_count if with_labeled else 0
    data, weights = _sample(rows, labeled, max(_FIT_ROWS, count), weights)
    count = min(count, len(data))
    settings = {"n_clusters": count, "n_init": 1, "random_state": seed % 2**32}
    if count <= _MOST_CLUSTERS_OF_FULL_KMEANS:
        model = KMeans(**settings, copy_x=False)
    else:
        model = MiniBatchKMeans(
            **settings, batch_size=_MINI_BATCH, init_size=max(_FEWEST_TO_START_FROM, 3 * count)
        )
    # The last bits of sums, and so picks, depend on the number of threads; and threads that wait
    # for each other on busy cores take many times as long
    with _thread_pools().limit(limits=1, user_api="openmp"), warnings.catch_warnings():
        # Fewer distinct rows than clusters: some centroids coincide, which is harmless
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(data, sample_weight=weights)
    return np.asarray(model.cluster_centers_, np.float32)


def assign(
    rows: NDArray[np.float32], centroids: NDArray[np.float32]
) -> tuple[NDArray[np.int64], FloatArray]:
    """Return the nearest centroid of each row, `[n]`, and all squared distances, `[n, K]`."""
    distances = squared_distances(rows, centroids)
    return distances.argmin(axis=1), distances


def assign_all(
    rows: CanonicalRows, centroids: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the nearest centroid of each row of the pool, `[N]`, and of each labeled one, `[L]`.

    Those of the pool are in canonical order.
    """
    clusters = np.empty(len(rows), np.int64)
    for start, block in rows.blocks():
        clusters[start : start + len(block)] = assign(block, centroids)[0]
    labeled = [assign(block, centroids)[0] for block in rows.labeled_blocks()]
    return clusters, np.concatenate([np.empty(0, np.int64), *labeled])


def _sample(
    rows: CanonicalRows, labeled: int, size: int, weights: NDArray[np.float32] | None
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Return at most `size` rows, labeled ones in proportion, and the weights of the pool's."""
    share = min(1.0, size / (len(rows) + labeled))
    from_pool = min(len(rows), round(len(rows) * share))
    data = rows.take(slice(0, from_pool))
    if labeled:
        evenly = np.linspace(0, labeled - 1, min(labeled, size - from_pool)).astype(np.int64)
        data = np.concatenate([data, rows.take_labeled(evenly)])
    if weights is None:
        return data, None
    weights = weights[:from_pool]
    highest = weights.max()
    if not highest > 0:
        return data, None
    # k-means++ cannot draw enough starts if few rows have a weight above 0
    return data, np.maximum(weights / highest, np.float32(_LEAST_WEIGHT))
