"""Images that belong on one page: the surest of a class, or images that look alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from allencv_al.selection.strategies.shared.softmax import softmax
from allencv_al.training.heads.class_means import class_means, discriminant_layer

Rows = NDArray[np.int64]
Vectors = NDArray[np.float32]

_SHRINKAGE = 0.4
_MOST_KNOWN = 256  # labeled images that new kinds are told by: products with all would fill memory
_MOST_CENTERS = 128  # candidates for the middle of a page: 1/128 of the pool is tight enough


def class_probabilities(
    vectors: Vectors, rows: Rows, labels: Rows, classes: int
) -> NDArray[np.float64]:
    """Return each image's probability of each class, from the images that are labeled already.

    A linear discriminant in closed form, so that it can be fitted anew for each page. A class
    without a labeled image has probability 0.

    Args:
        vectors: Of all images, of length 1, `[N, D]`.
        rows: The labeled images, `[M]`, at least one.
        labels: Their classes, `[M]`.
        classes: C.

    Returns:
        `[N, C]`.
    """
    known = np.unique(labels)
    features = vectors[rows].astype(np.float64)
    targets = (labels[:, None] == known).astype(np.float64)
    means = class_means(features, targets)
    residuals = features - means[np.searchsorted(known, labels)]
    layer = discriminant_layer(means, residuals, 1.0, _SHRINKAGE)
    found, _ = softmax(layer.logits(vectors.astype(np.float64)), 1.0)
    probabilities = np.zeros((len(vectors), classes))
    probabilities[:, known] = found
    return probabilities


def surest(
    probabilities: NDArray[np.float64], rows: Rows, size: int, class_index: int | None = None
) -> tuple[Rows, int]:
    """Return the images that are surest to be of one class, the surest first, and the class.

    Args:
        probabilities: `[N, C]`; an image counts for its most probable class.
        rows: The images to choose from.
        size: Maximal number of images.
        class_index: The class; by default the one whose page has the highest mean probability,
            where missing images count as 0.
    """
    best = probabilities[rows].argmax(axis=1)
    highest = probabilities[rows, best]
    pages = {}
    for candidate in np.unique(best).tolist() if class_index is None else [class_index]:
        of_class = np.flatnonzero((best == candidate) & (highest > 0))
        order = of_class[np.argsort(-highest[of_class], kind="stable")[:size]]
        pages[candidate] = (float(highest[order].sum()), rows[order])
    if not pages:
        return np.empty(0, np.int64), -1
    chosen = max(pages, key=lambda candidate: pages[candidate][0])
    return pages[chosen][1], chosen


def nearest(vectors: Vectors, row: int, rows: Rows, size: int) -> Rows:
    """Return the images of `rows` that are most like the image of a row, the likest first."""
    likeness = vectors[rows] @ vectors[row]
    return rows[np.argsort(-likeness, kind="stable")[:size]]


def most_alike(
    vectors: Vectors, rows: Rows, size: int, seed: int, known: Rows | None = None
) -> Rows:
    """Return the images around the one whose neighbors are nearest.

    Args:
        vectors: Of all images, of length 1, `[N, D]`.
        rows: The images to choose from.
        size: Maximal number of images.
        seed: Decides which images are tried as the middle.
        known: Labeled images: the middle is one of the images that are least like all of them, so
            that new classes come up.
    """
    if len(rows) <= size:
        return rows
    candidates = rows
    generator = np.random.default_rng(seed)
    if known is not None and len(known):
        known = generator.permutation(known)[:_MOST_KNOWN]
        nearest_known = (vectors[rows] @ vectors[known].T).max(axis=1)
        far = np.argsort(nearest_known, kind="stable")[: max(len(rows) // 2, size)]
        candidates = rows[np.sort(far)]
    count = min(_MOST_CENTERS, len(candidates))
    centers = generator.choice(candidates, count, replace=False)
    likeness = vectors[centers] @ vectors[rows].T
    # The likeness of the last image of the page, by which a page is as good as its worst one
    last = np.partition(likeness, -size, axis=1)[:, -size]
    return nearest(vectors, int(centers[last.argmax()]), rows, size)
