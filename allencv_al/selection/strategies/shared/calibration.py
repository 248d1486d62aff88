"""Temperatures of a model, from the labels it was trained on: calibrated, or of fixed sharpness."""

from __future__ import annotations

from dataclasses import dataclass

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
# Of the scores of a ridge classifier. Measured with BAIT on frozen features of seven sets: 0.06 is
# too sharp for ten classes, the calibrated 0.5 to 1.2 too flat for two
_SHARPNESS = 0.15


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
    scores = _Scores.of(pool, rows)
    if scores is None:
        return 1.0
    losses = [_loss(scores.left_out, scores.labels, value) for value in _TEMPERATURES]
    return scores.matching(float(_TEMPERATURES[int(np.argmin(losses))]))


def steady_temperature(pool: Pool, rows: CanonicalRows) -> float:
    """Return the divisor of the logits at which the model is as sure as a ridge classifier.

    A ridge classifier of the labeled embeddings aims at scores of 1 and -1 whatever model was
    trained, so one divisor of its scores, 0.15, makes probabilities of one sharpness; the model
    gets the same mean confidence on the pool. Unlike `fitted_temperature` it asks for no accuracy,
    which labels chosen because they are hard understate: probabilities that are calibrated on them
    are so equal that outliers count as much as items between classes.

    Args:
        pool: The items, with logits, and labeled embeddings with their labels; 1.0 is returned
            where there are none.
        rows: The scaled rows of the pool.
    """
    scores = _Scores.of(pool, rows)
    return 1.0 if scores is None else scores.matching(_SHARPNESS)


@dataclass(frozen=True, eq=False)
class _Scores:
    """Scores of a ridge classifier and of the model, for the same items.

    Args:
        left_out: Ridge scores of each labeled item without it, `[L, C]`.
        labels: Their labels, `[L]`.
        predicted: Ridge scores of some items of the pool, `[n, C]`.
        logits: Those of the model for the same items, `[n, C]`.
    """

    left_out: Floats
    labels: NDArray[np.int64]
    predicted: Floats
    logits: Floats

    @classmethod
    def of(cls, pool: Pool, rows: CanonicalRows) -> _Scores | None:
        """Fit the classifier; None with fewer than two labels, or without logits."""
        labels = pool.labeled_labels
        if labels is None or pool.logits is None:
            return None
        # Labels below 0 are unknown; rows beyond the labels are picks that wait for theirs
        known = np.flatnonzero(labels[: rows.labeled_count] >= 0)[-_MOST_LABELED:]
        if len(known) < 2:
            return None
        places = slice(0, min(len(rows), _MOST_ROWS))
        left_out, predicted = _ridge(
            rows.take_labeled(known).astype(np.float64),
            labels[known],
            rows.take(places).astype(np.float64),
            max(pool.logits.shape[1], int(labels.max()) + 1),
        )
        logits = np.asarray(pool.logits[rows.order[places]], np.float64)
        return cls(left_out, labels[known], predicted, logits)

    def matching(self, ridge_temperature: float) -> float:
        """Return the temperature at which the model is as sure as the classifier at its own."""
        return _temperature_of(self.logits, _confidence(self.predicted, ridge_temperature))


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
