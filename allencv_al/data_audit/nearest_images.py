"""Short vectors of images that keep who is near whom, and the nearest images of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from allencv_al.common.feature_scaling import FeatureScaling
from allencv_al.selection.pool.rows import slices

FloatRows = NDArray[np.float32]

WIDTH = 256
"""Values a short vector has at most: more gave no better label scores on CIFAR-10."""

_SEARCHED = 64  # of them, for neighbors: the rest costs time and finds hardly another twin
_FITTED = 5000  # rows from which the axes come; 1,280 values a row need no more
_BLOCK_ROWS = 4096
_MOST_COSINES = 2**26  # in memory at once, 256 MB

# Above this number of images a quarter of all pairs is compared. With CIFAR-10, 98 % of the images
# still have their nearest one, and 96 % with a sixth
_MOST_EXACT = 20_000
_CELLS, _PROBES = 256, 64
_ROWS_OF_A_CELL, _STEPS = 64, 4


def short_vectors(vectors: NDArray[np.floating[Any]], width: int = WIDTH) -> FloatRows:
    """Return the principal components of vectors `[N, D]`, largest first: `[N, min(width, D)]`.

    Vectors are scaled by `power_l2` before: a few large values would hide the others. Memory is
    that of the result and of one block.

    Args:
        vectors: Embeddings or pixels; may be memory-mapped.
        width: The most components.
    """
    scaling = FeatureScaling.fit("power_l2", vectors[:0])
    # Evenly spaced rows, so that no class of a sorted set is missed
    chosen = np.unique(np.linspace(0, len(vectors) - 1, min(len(vectors), _FITTED)).astype(int))
    sample = scaling.apply(vectors[chosen])
    center = sample.mean(axis=0)
    centered = (sample - center).astype(np.float64)
    _, axes = np.linalg.eigh(centered.T @ centered)
    projection = axes[:, ::-1][:, :width].astype(np.float32)
    short = np.empty((len(vectors), projection.shape[1]), np.float32)
    for part in slices(len(vectors), _BLOCK_ROWS):
        short[part] = (scaling.apply(vectors[part]) - center) @ projection
    return short


def nearest_images(
    short: FloatRows, count: int, probes: int | None = None
) -> tuple[NDArray[np.int64], FloatRows]:
    """Return the nearest other images of each, nearest first, with their cosines: `[N, K]` each.

    Up to 20,000 images all pairs are compared; beyond, images are in 256 cells, and those of a cell
    are compared with the images of the 64 nearest ones. Memory grows with N.

    Args:
        short: The result of `short_vectors`, `[N, D]`; its first 64 columns count.
        count: K, if there are as many others.
        probes: The number of nearest cells in place of 64.
    """
    features = short[:, :_SEARCHED]
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    units = torch.from_numpy(features / np.maximum(norms, np.finfo(np.float32).tiny))
    count = min(count, len(units) - 1)
    places = np.empty((len(units), count), np.int64)
    cosines = np.empty((len(units), count), np.float32)
    for rows, others in _compared(units, count, _PROBES if probes is None else probes):
        for part in slices(len(rows), _MOST_COSINES // max(len(others), 1)):
            chosen = rows[part]
            block = units[chosen] @ units[others].T
            # No image is its own neighbor; `others` are sorted
            block[torch.arange(len(chosen)), torch.searchsorted(others, chosen)] = -torch.inf
            values, columns = block.topk(count, dim=1)  # a third of the time of NumPy's partition
            places[chosen], cosines[chosen] = others[columns].numpy(), values.numpy()
    return places, cosines


def _compared(
    units: torch.Tensor, count: int, least: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield rows with the rows that may be near them, which hold them, too, in order."""
    every = torch.arange(len(units))
    if len(units) <= _MOST_EXACT:
        yield every, every
        return
    centers = _centers(units)
    parts = slices(len(units), _BLOCK_ROWS)
    cells = torch.cat([(units[part] @ centers.T).argmax(dim=1) for part in parts])
    members = [every[cells == cell] for cell in range(_CELLS)]
    nearest = (centers @ centers.T).argsort(dim=1, descending=True)
    for cell, rows in enumerate(members):
        if not len(rows):
            continue
        # Further cells where those near are small. A cell need not be nearest to itself: centers
        # may be equal
        sizes = torch.tensor([len(members[near]) for near in nearest[cell].tolist()]).cumsum(0)
        probed = max(least, int((sizes <= count + len(rows)).sum()) + 1)
        others = [members[near] for near in nearest[cell, :probed].tolist()]
        yield rows, torch.unique(torch.cat([rows, *others]))


def _centers(units: torch.Tensor) -> torch.Tensor:
    """Return the centers of cells, by a few steps of spherical k-means on evenly spaced rows."""
    sample = units[:: max(1, len(units) // (_CELLS * _ROWS_OF_A_CELL))]
    centers = sample[:: len(sample) // _CELLS][:_CELLS].clone()
    for _ in range(_STEPS):
        cells = (sample @ centers.T).argmax(dim=1)
        sums = torch.zeros_like(centers).index_add_(0, cells, sample)
        lengths = sums.norm(dim=1, keepdim=True)
        centers = torch.where(lengths > 0, sums / lengths.clamp_min(1e-12), centers)
    return centers
