"""Squared distances by matrix products with a bound on their rounding, and near duplicates."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from allencv_al.common.errors import ConfigurationError
from allencv_al.selection.pool.rows import slices
from allencv_al.selection.pool.unlabeled_pool import FloatArray, Pool

MOST_ROWS = 4096  # larger blocks leave the caches and gain nothing
CENTERS_AT_A_TIME = 1024  # columns of a product; `block_rows` reserves memory for them


def block_rows(memory_budget_mb: float, dimensions: int) -> int:
    """Return how many rows of float64, with their products, fit into a block."""
    per_row = 8 * (2 * dimensions + CENTERS_AT_A_TIME)
    return int(min(max(1, memory_budget_mb * 2**20 // per_row), MOST_ROWS))


def rows_about(
    array: FloatArray,
    index: slice | NDArray[np.int64],
    origin: NDArray[np.float64],
    dtype: DTypeLike,
) -> NDArray[Any]:
    """Return rows minus an origin that is exact in float32, so that no digit is lost.

    `|x|² - 2xc + |c|²` cancels far from the origin, but not near the mean of the rows.
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

    In the worst case a dot product, in any order of summation, is off by `dimensions` units in the
    last place of |x||c|; and the norm of the nearest center is at most |x| plus the distance.
    """
    return 3.0 * (dimensions + 8) * float(np.finfo(dtype).eps) / 2


_OTHERS_AT_A_TIME = 1024
_FEW = 16  # rows whose mean is the origin, and rows tried before all others


def distances_to(rows: FloatArray, other: FloatArray) -> NDArray[np.float64]:
    """Return the distance of each row `[n, D]` to one `[D]`, of float64 differences.

    Each row is summed separately, so its bits do not depend on other rows.
    """
    differences = rows.astype(np.float64) - other.astype(np.float64)
    distances: NDArray[np.float64] = np.sqrt((differences * differences).sum(axis=1))
    return distances


def labeled_rows(pool: Pool) -> FloatArray:
    """Return the embeddings of the labeled items, `[L, D]`; none where the pool has none.

    Raises:
        ConfigurationError: They are not as wide as the embeddings of the pool.
        DataError: A value is NaN or infinite.
    """
    embeddings, labeled = pool.embeddings, pool.labeled_embeddings
    assert embeddings is not None
    if labeled is None:
        return embeddings[:0]
    if labeled.ndim != 2 or labeled.shape[1] != embeddings.shape[1]:
        raise ConfigurationError(
            f"pool.labeled_embeddings: expected {embeddings.shape[1]} columns as in "
            f"pool.embeddings, found shape {labeled.shape}"
        )
    pool.check({"labeled_embeddings"})
    return labeled


def near_any(
    embeddings: FloatArray,
    among: NDArray[np.int64],
    others: FloatArray,
    distance: float,
    memory_budget_mb: float,
) -> NDArray[np.bool_]:
    """Return for each row at `among` whether one of `others` is at most `distance` away.

    The answer is that of float64 differences, computed only for pairs so close to the limit that
    the error of a product could decide.

    Args:
        embeddings: The rows of the pool, `[N, D]`.
        among: Positions, `[n]`.
        others: Rows, `[m, D]`.
        distance: Euclidean, at least 0.
        memory_budget_mb: Memory for a block, in MiB.
    """
    near = np.zeros(len(among), np.bool_)
    for other in slices(len(others), _OTHERS_AT_A_TIME):
        centers = np.asarray(others[other])
        left = np.flatnonzero(~near)
        for part in slices(len(left), block_rows(memory_budget_mb, embeddings.shape[1])):
            places = left[part]
            near[places] = _near_block(embeddings, among[places], centers, distance)
    return near


def nearest_other(
    embeddings: FloatArray, sample: NDArray[np.int64], memory_budget_mb: float
) -> NDArray[np.float64]:
    """Return the distance of each row at `sample` `[s]` to the nearest other row of all.

    Infinite if there is no other.
    """
    best = np.full(len(sample), np.inf)
    centers = np.asarray(embeddings[sample])
    for part in slices(len(embeddings), block_rows(memory_budget_mb, embeddings.shape[1])):
        block = np.asarray(embeddings[part])
        squared, errors = _squared(block, centers)
        itself = np.flatnonzero((sample >= part.start) & (sample < part.stop))
        squared[sample[itself] - part.start, itself] = np.inf
        limit = np.minimum(best**2, (squared + errors).min(axis=0))
        possible = ~(squared - errors > limit)
        possible[sample[itself] - part.start, itself] = False
        for column in np.flatnonzero(possible.any(axis=0) & (best > 0)).tolist():
            rows = np.flatnonzero(possible[:, column])
            # If all rows are equal, the first few settle it
            for some in (rows[:_FEW], rows[_FEW:]):
                if best[column] > 0 and len(some):
                    nearest = distances_to(block[some], centers[column]).min()
                    best[column] = min(best[column], float(nearest))
    return best


def _near_block(
    embeddings: FloatArray, rows: NDArray[np.int64], centers: FloatArray, distance: float
) -> NDArray[np.bool_]:
    block = np.asarray(embeddings[rows])
    near = np.zeros(len(block), np.bool_)
    possible = np.flatnonzero(_maybe_near(block, centers, distance))
    if len(possible):
        near[possible] = _certainly_near(block[possible], centers, distance)
    return near


def _maybe_near(block: FloatArray, centers: FloatArray, distance: float) -> NDArray[np.bool_]:
    """Return whether each row may be near a center; False is certain."""
    rows, about = _about_centers(block, centers)
    # |x|² + |c|² - 2xc less its error, twice to be safe, is compared with the limit
    kept = 1 - 2 * rounding_bound(block.shape[1], rows.dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        norms, center_norms = squared_norms(rows), squared_norms(about)
        if not (np.isfinite(norms).all() and np.isfinite(center_norms).all()):
            return np.ones(len(block), np.bool_)  # squares overflow, so nothing is ruled out
        products = rows @ (-2 * about).T
        products += (kept * center_norms)[None, :]
    limits = np.float64(distance * distance) - kept * norms.astype(np.float64)
    tiny = float(np.finfo(rows.dtype).tiny)
    return np.asarray(~(products.min(axis=1) > limits + tiny))


def _certainly_near(block: FloatArray, centers: FloatArray, distance: float) -> NDArray[np.bool_]:
    squared, errors = _squared(block, centers)
    limit = np.float64(distance * distance)
    near: NDArray[np.bool_] = (squared + errors < limit).any(axis=1)
    # NaN, where squares overflow, counts as possible
    possible = ~(squared - errors > limit) & ~near[:, None]
    for column in np.flatnonzero(possible.any(axis=0)).tolist():
        unsure = np.flatnonzero(possible[:, column] & ~near)
        if len(unsure):
            near[unsure] = distances_to(block[unsure], centers[column]) <= distance
    return near


def _squared(block: FloatArray, centers: FloatArray) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return squared distances `[n, m]` by products, and a bound on the error of each."""
    rows, about = _about_centers(block, centers)
    with np.errstate(over="ignore", invalid="ignore"):
        norms = squared_norms(rows)[:, None] + squared_norms(about)[None, :]
        squared = norms - 2 * (rows @ about.T)
        # The relative bound does not cover underflow
        errors = norms * rounding_bound(block.shape[1], rows.dtype) + np.finfo(rows.dtype).tiny
        # Infinity minus infinity must not pass for a known distance
        errors[~np.isfinite(squared)] = np.nan
    return squared, errors


def _about_centers(
    block: FloatArray, centers: FloatArray
) -> tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]:
    origin = centers[:_FEW].mean(axis=0, dtype=np.float64).astype(np.float32).astype(np.float64)
    wide = np.float64 if np.result_type(block, centers) == np.float64 else np.float32
    return (
        rows_about(block, slice(None), origin, wide),
        rows_about(centers, slice(None), origin, wide),
    )
