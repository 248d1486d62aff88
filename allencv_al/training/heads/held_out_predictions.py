"""Probabilities of classes for labeled images, by heads that did not learn from the image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from allencv_al.common.feature_scaling import mean_squared_norm
from allencv_al.training.heads.softmax_regression import LinearLayer, SoftmaxRegression, log_loss
from allencv_al.training.validation_split import stratified_parts

Array = NDArray[np.float64]

FOLDS = 5

# In units of 1 / (mean squared norm), from strong penalties to weak ones. Wrong labels ask for
# strong ones: with 10 % wrong in CIFAR-10, 1 and 3 rank labels best, and 100 loses ten points
_STRENGTHS = (1.0, 3.0, 10.0, 30.0)
_TOLERANCE = 1e-3  # of the gradient: ranks do not hang on further digits


def held_out_probabilities(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    groups: Sequence[str],
    folds: int = FOLDS,
    seed: int = 0,
) -> Array:
    """Return the probabilities of classes `[N, C]` by logistic regressions on the other folds.

    Folds have the classes in proportion; images of a group, such as copies, are in one fold. The
    strength of the penalty is the one of four with the smallest log-loss on held-out labels.

    Args:
        features: `[N, D]`.
        labels: Class indices 0 to C - 1, `[N]`, at least two different ones.
        groups: The name of the group of each image.
        folds: Number of folds.
        seed: Seed of the folds.
    """
    classes = int(labels.max()) + 1
    parts = stratified_parts(labels.tolist(), groups, [1 / folds] * folds, seed)
    targets = np.eye(classes)[labels]
    rows = np.asarray(features, np.float64)
    unit = mean_squared_norm(rows)
    layers: list[LinearLayer | None] = [None] * folds
    best, smallest = np.empty((0, 0)), np.inf
    for strength in _STRENGTHS:
        logits = np.zeros((len(rows), classes))
        for fold in np.unique(parts).tolist():
            kept = parts != fold
            problem = SoftmaxRegression(rows[kept], targets[kept])
            layer = problem.fit(strength / unit, start=layers[fold], tolerance=_TOLERANCE)
            layers[fold] = layer
            logits[~kept] = layer.logits(rows[~kept])
        loss = float(log_loss(logits, labels).mean())
        if loss >= smallest:  # weaker ones only overfit more
            break
        best, smallest = logits, loss
    best = np.exp(best - best.max(axis=1, keepdims=True))
    probabilities: Array = best / best.sum(axis=1, keepdims=True)
    return probabilities
