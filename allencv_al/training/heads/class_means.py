"""The nearest class mean as a linear layer."""

from __future__ import annotations

import numpy as np

from allencv_al.training.heads.softmax_regression import Array, LinearLayer

# In units of the mean squared norm: of 0.02, 0.05, 0.1 and 0.2 the one with the smallest log-loss
# at 1 and 2 labels a class on centered unit vectors (docs/results/heads.md)
_TEMPERATURE = 0.05


def class_mean_layer(means: Array, squared_norm: float) -> LinearLayer:
    """Return the layer whose logits are minus the squared distances to the means.

    They are divided by a temperature that makes probabilities of them, and their mean over the
    classes is 0. The class with the largest one is that of the nearest mean (SimpleShot,
    1911.04623).

    Args:
        means: `[C, D]`.
        squared_norm: The mean squared norm of the features, the unit of the temperature.
    """
    scale = _TEMPERATURE * squared_norm
    weights = means / scale
    biases = -(means**2).sum(axis=1) / (2 * scale)
    return LinearLayer(weights - weights.mean(axis=0), biases - biases.mean())


def class_means(features: Array, targets: Array) -> Array:
    """Return the weighted means `[C, D]` of features `[N, D]` by targets `[N, C]`.

    A class without weight has the mean of all.
    """
    mass = targets.sum(axis=0)
    means = (targets.T @ features) / np.where(mass > 0, mass, 1.0)[:, None]
    return np.where(mass[:, None] > 0, means, features.mean(axis=0))
