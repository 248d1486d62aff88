"""Scores of given labels from probabilities out of sample, and which labels are likely wrong.

Northcutt, Jiang & Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels" (JAIR
2021, 1911.00068). All functions take labels `[N]`, class indices, and probabilities `[N, C]` of
models that did not learn from the image; in all scores a lower one is more likely a wrong label.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

_SMALLEST = 1e-6  # probabilities of 0 have no logarithm


def self_confidence(labels: Labels, probabilities: Array) -> Array:
    """Return the probability of each given label, `[N]` from 0 to 1."""
    own: Array = probabilities[np.arange(len(labels)), labels]
    return own


def normalized_margin(labels: Labels, probabilities: Array) -> Array:
    """Return `(p_label - largest other p + 1) / 2`, `[N]` from 0 to 1."""
    own = self_confidence(labels, probabilities)
    others = probabilities.copy()
    others[np.arange(len(labels)), labels] = -np.inf
    margins: Array = (own - others.max(axis=1) + 1) / 2
    return margins


def confidence_weighted_entropy(labels: Labels, probabilities: Array) -> Array:
    """Return a score that falls with the entropy and rises with the label's probability.

    `log(1 + s) / s` with `s = entropy / (log C * p_label)`; `[N]` from 0 to 1 (Kuan & Mueller,
    "Model-agnostic label quality scoring to detect real-world label errors", 2022).
    """
    logarithms = np.log(np.where(probabilities > 0, probabilities, 1.0))
    entropy = -(probabilities * logarithms).sum(axis=1) / np.log(probabilities.shape[1])
    ratio = entropy / np.maximum(self_confidence(labels, probabilities), _SMALLEST)
    scores: Array = np.log1p(ratio) / np.maximum(ratio, _SMALLEST)
    return scores


def confident_thresholds(labels: Labels, probabilities: Array) -> Array:
    """Return the mean probability that images labeled with a class have of it, `[C]`.

    A class without labels is never confident: its threshold is infinite.
    """
    classes = probabilities.shape[1]
    own = self_confidence(labels, probabilities)
    counts = np.bincount(labels, minlength=classes)
    means = np.bincount(labels, weights=own, minlength=classes) / np.maximum(counts, 1)
    return np.where(counts > 0, np.maximum(means, 2 * _SMALLEST), np.inf)


def confident_joint(labels: Labels, probabilities: Array) -> NDArray[np.int64]:
    """Return the estimated number of images by given and by true class, `[C, C]`.

    An image labeled i counts at (i, j) if j is the one class whose probability reaches the
    threshold of the class, or, of several such classes, the likeliest of all. Rows are then scaled
    to the number of labels of their class: images that are confident of no class are taken to be
    like the others of their row.
    """
    classes = probabilities.shape[1]
    reached = probabilities >= confident_thresholds(labels, probabilities) - _SMALLEST
    number = reached.sum(axis=1)
    guess = np.where(number > 1, probabilities.argmax(axis=1), reached.argmax(axis=1))
    joint = np.zeros((classes, classes))
    np.add.at(joint, (labels[number > 0], guess[number > 0]), 1)
    # However unsure the models are, each class has one image that is rightly labeled
    np.fill_diagonal(joint, np.maximum(joint.diagonal(), 1))
    counts = np.bincount(labels, minlength=classes)
    scaled = joint / joint.sum(axis=1, keepdims=True) * counts[:, None]
    return np.stack([_rounded(row) for row in scaled])


def likely_errors(labels: Labels, probabilities: Array) -> NDArray[np.bool_]:
    """Return which labels confident learning takes for wrong, `[N]`.

    `confident_joint` says how many images labeled i are of class j: those with the largest
    `p_j - p_i`, that many, are taken ("prune by noise rate"), unless the models predict i. A class
    with one image keeps its label.
    """
    joint = confident_joint(labels, probabilities)
    own = self_confidence(labels, probabilities)
    is_error = np.zeros(len(labels), bool)
    for given in np.unique(labels).tolist():
        rows = np.flatnonzero(labels == given)
        for true, count in enumerate(joint[given].tolist()):
            if true != given and count and len(rows) > 1:
                order = np.argsort(own[rows] - probabilities[rows, true], kind="stable")
                is_error[rows[order[:count]]] = True
    is_unlike: NDArray[np.bool_] = own < probabilities.max(axis=1) - _SMALLEST
    return is_error & is_unlike


def likely_errors_of_classes(shown: NDArray[np.bool_], probabilities: Array) -> NDArray[np.bool_]:
    """Return `likely_errors` for each class by itself, where an image may have several: `[N, C]`.

    Args:
        shown: Whether an image is labeled with a class, `[N, C]`.
        probabilities: The probability that it shows the class, `[N, C]`.
    """
    columns = [
        likely_errors(own.astype(np.int64), np.stack([1 - share, share], axis=1))
        for own, share in zip(shown.T, probabilities.T, strict=True)
    ]
    return np.stack(columns, axis=1)


def _rounded(values: Array) -> NDArray[np.int64]:
    """Return whole numbers with the same sum: those that rounding changed most give way."""
    whole = np.rint(values)
    missing = int(np.rint(values.sum() - whole.sum()))
    change = 1 if missing > 0 else -1
    order = np.argsort(values - whole, kind="stable")[::-change]
    whole[order[: abs(missing)]] += change
    return whole.astype(np.int64)
