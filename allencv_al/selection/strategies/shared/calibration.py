"""The temperature that calibrates a model, estimated from the labels it was trained on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from allencv_al.selection.pool.unlabeled_pool import Pool
from allencv_al.selection.strategies.shared.canonical_rows import CanonicalRows
from allencv_al.selection.strategies.shared.softmax import softmax

Floats = NDArray[np.float64]

_RIDGE = 0.5  # of the mean squared length: from 0.1 to 2 the temperatures hardly differ
_MOST_LABELED = 2000  # the inverse takes the cube of it
_MOST_ROWS = 5000  # a mean over so many has a standard error below 0.008
_TEMPERATURES = np.geomspace(0.02, 20, 141)  # steps of 5 %
_HALVINGS = 30


def fitted_temperature(pool: Pool, rows: CanonicalRows) -> float:
    """Return the divisor of the logits at which the model is calibrated on the pool.

    The model's own accuracy on its labels says nothing, and labels held out of so few would be
    missed. So a ridge classifier is fitted to the labeled embeddings, whose predictions for each
    item without its label are known in closed form; the temperature that minimizes their negative
    log-likelihood is applied to its predictions for the pool. Their mean confidence estimates the
    accuracy on the pool, and the divisor is chosen so that the model has the same mean confidence.
    With few labels the estimate is low, and probabilities are nearly equal.

    Args:
        pool: The items, with logits, and labeled embeddings with their labels; 1.0 is returned
            where there are none.
        rows: The scaled rows of the pool.
    """
    labels = pool.labeled_labels
    if labels is None or pool.logits is None:
        return 1.0
    # Labels below 0 are unknown; rows beyond the labels are picks that wait for theirs
    known = np.flatnonzero(labels[: rows.labeled_count] >= 0)[-_MOST_LABELED:]
    if len(known) < 2:
        return 1.0
    places = slice(0, min(len(rows), _MOST_ROWS))
    left_out, predicted = _ridge(
        rows.take_labeled(known).astype(np.float64),
        labels[known],
        rows.take(places).astype(np.float64),
        max(pool.logits.shape[1], int(labels.max()) + 1),
    )
    losses = [_loss(left_out, labels[known], value) for value in _TEMPERATURES]
    accuracy = _confidence(predicted, float(_TEMPERATURES[int(np.argmin(losses))]))
    logits = np.asarray(pool.logits[rows.order[places]], np.float64)
    return _temperature_of(logits, accuracy)


def _ridge(
    labeled: Floats, labels: NDArray[np.int64], rows: Floats, classes: int
) -> tuple[Floats, Floats]:
    """Return the scores of each labeled item without it, `[L, C]`, and of the rows, `[n, C]`."""
    length = float(np.einsum("ij,ij->", labeled, labeled)) / len(labeled) or 1.0
    targets = 2 * np.eye(classes)[labels] - 1
    inverse = np.linalg.inv(labeled @ labeled.T + length * (1 + _RIDGE * np.eye(len(labeled))))
    dual = inverse @ targets
    left_out = targets - dual / np.diag(inverse)[:, None]
    return left_out, rows @ (labeled.T @ dual) + length * dual.sum(axis=0)


def _loss(logits: Floats, labels: NDArray[np.int64], temperature: float) -> float:
    _, logarithms = softmax(logits, temperature)
    return -float(logarithms[np.arange(len(labels)), labels].mean())


def _confidence(logits: Floats, temperature: float) -> float:
    return float(softmax(logits, temperature)[0].max(axis=1).mean())


def _temperature_of(logits: Floats, confidence: float) -> float:
    """Return the temperature of a mean confidence, which falls as it rises."""
    low, high = np.log(_TEMPERATURES[[0, -1]])
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _confidence(logits, float(np.exp(middle))) > confidence:
            low = middle
        else:
            high = middle
    return float(np.exp((low + high) / 2))
