"""How far an item of a pool covers others: radius and bandwidth found from the pool itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from allencv_al.selection.strategies.shared.canonical_rows import CanonicalRows, squared_distances
from allencv_al.selection.strategies.shared.kmeans import assign, fit_centroids

_ASKED = 1000
_COMPARED = 20_000
_BLOCK = 256
# Below the distance itself, so that rounding does not decide whether an item of another
# pseudo-class is within the radius
_SHORTER = 1 - 1e-5


def pure_radius(rows: CanonicalRows, classes: int, purity: float, seed: int) -> float:
    """Return the largest radius at which enough balls are pure: ProbCover's choice of δ.

    k-means with as many clusters as classes gives pseudo-labels; a ball is pure if all items
    nearer to its center than the radius have the center's pseudo-label. Up to 1,000 centers, among
    up to 20,000 items, are looked at.

    Args:
        rows: The pool's rows.
        classes: How many classes there are.
        purity: The least share of pure balls.
        seed: Of k-means.
    """
    data = rows.take(slice(0, _COMPARED))
    labels = assign(data, fit_centroids(rows, classes, seed))[0]
    exact = data.astype(np.float64)
    nearest_other = np.empty(min(_ASKED, len(data)))
    for start in range(0, len(nearest_other), _BLOCK):
        asked = slice(start, min(start + _BLOCK, len(nearest_other)))
        distances = squared_distances(exact[asked], exact)
        distances[labels[asked, None] == labels] = np.inf
        nearest_other[asked] = distances.min(axis=1)
    ordered = np.sort(nearest_other)
    allowed = ordered[min(int((1 - purity) * len(ordered)), len(ordered) - 1)]
    if np.isfinite(allowed):
        return float(np.sqrt(allowed) * _SHORTER)
    # One class only: any radius is pure
    return _farthest(data)


def neighbor_distance(rows: CanonicalRows, neighbor: int) -> float:
    """Return the median distance to the nearest-but-so-many neighbor, of up to 1,000 items.

    It is 1 where all items coincide. Neighbors are looked for among up to 20,000 items.

    Args:
        rows: The pool's rows.
        neighbor: Which neighbor, from 1; the farthest if there are fewer.
    """
    data = rows.take(slice(0, _COMPARED)).astype(np.float64)
    found = np.empty(min(_ASKED, len(data)))
    place = min(neighbor, len(data) - 1)
    for start in range(0, len(found), _BLOCK):
        asked = slice(start, min(start + _BLOCK, len(found)))
        distances = squared_distances(data[asked], data)
        found[asked] = np.partition(distances, place, axis=1)[:, place]
    return float(np.sqrt(np.median(found))) or 1.0


def _farthest(data: NDArray[np.float32]) -> float:
    return 2 * float(np.sqrt(np.einsum("nd,nd->n", data, data).max())) or 1.0
