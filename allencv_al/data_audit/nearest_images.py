"""Short vectors of images that keep who is near whom, and the nearest images of each."""

from __future__ import annotations

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


def nearest_images(short: FloatRows, count: int) -> tuple[NDArray[np.int64], FloatRows]:
    """Return the nearest other images of each, nearest first, with their cosines: `[N, K]` each.

    All pairs are compared, in blocks: time grows with N squared, memory with N.

    Args:
        short: The result of `short_vectors`, `[N, D]`; its first 64 columns count.
        count: K, if there are as many others.
    """
    features = short[:, :_SEARCHED]
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    units = torch.from_numpy(features / np.maximum(norms, np.finfo(np.float32).tiny))
    count = min(count, len(units) - 1)
    places = np.empty((len(units), count), np.int64)
    cosines = np.empty((len(units), count), np.float32)
    for part in slices(len(units), _MOST_COSINES // max(len(units), 1)):
        block = units[part] @ units.T
        here = torch.arange(len(block))
        block[here, part.start + here] = -torch.inf  # no image is its own neighbor
        values, columns = block.topk(count, dim=1)  # a third of the time of NumPy's partition
        places[part], cosines[part] = columns.numpy(), values.numpy()
    return places, cosines
