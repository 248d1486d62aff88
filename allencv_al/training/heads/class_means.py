"""The nearest class mean, and linear discriminant analysis, as linear layers."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from allencv_al.training.heads.softmax_regression import Array, LinearLayer, principal_axes

Shrinkage: TypeAlias = float | Literal["ledoit_wolf", "oas"]

# In units of the mean squared norm: of 0.02, 0.05, 0.1 and 0.2 the one with the smallest log-loss
# at 1 and 2 labels a class on centered unit vectors (docs/results/heads.md)
_TEMPERATURE = 0.05
_LEAST_SHRINKAGE = 1e-6  # S must have an inverse


def class_mean_layer(means: Array, squared_norm: float) -> LinearLayer:
    """Return the layer whose logits are minus the squared distances to the means.

    They are divided by a temperature that makes probabilities of them, and their mean over the
    classes is 0. The class with the largest one is that of the nearest mean (SimpleShot,
    1911.04623).

    Args:
        means: `[C, D]`.
        squared_norm: The mean squared norm of the features, the unit of the temperature.
    """
    return _nearest(means, means, squared_norm)


def discriminant_layer(
    means: Array, residuals: Array, squared_norm: float, shrinkage: Shrinkage
) -> LinearLayer:
    """Return the layer that predicts the class whose mean is nearest in the metric of `S^-1`.

    `S = (1 - s) R^T R / N + s m 1` is the covariance within the classes, shrunk to a sphere of the
    same mean variance m (Friedman 1989, "Regularized discriminant analysis"); each class counts the
    same. S is taken in units of m, so that with s = 1 this is `class_mean_layer`: the variances
    themselves, of few images in many dimensions, make every probability 0 or 1.

    Args:
        means: `[C, D]`.
        residuals: R, features minus the mean of their class, `[N, D]`.
        squared_norm: The mean squared norm of the features, the unit of the temperature.
        shrinkage: s, above 0 and up to 1; "ledoit_wolf" (Ledoit and Wolf 2004) or "oas" (Chen et
            al. 2010) estimates the one with the smallest squared error of S.
    """
    variance = float((residuals**2).mean())
    if variance == 0:  # one image of each class, or copies of it
        return class_mean_layer(means, squared_norm)
    share = _estimate(residuals, shrinkage) if isinstance(shrinkage, str) else shrinkage
    values, axes = principal_axes(residuals)
    values /= len(residuals) * variance
    # Beyond these axes S is a sphere: its inverse needs no matrix [D, D]
    factors = 1 / ((1 - share) * values + share) - 1 / share
    return _nearest(means, means / share + (means @ axes * factors) @ axes.T, squared_norm)


def _nearest(means: Array, directions: Array, squared_norm: float) -> LinearLayer:
    """Return the layer of means `[C, D]` and their products with the inverse metric `[C, D]`."""
    scale = _TEMPERATURE * squared_norm
    weights = directions / scale
    biases = -(means * directions).sum(axis=1) / (2 * scale)
    return LinearLayer(weights - weights.mean(axis=0), biases - biases.mean())


def _estimate(residuals: Array, kind: str) -> float:
    from sklearn.covariance import ledoit_wolf_shrinkage, oas

    if kind == "oas":
        found = oas(residuals, assume_centered=True)[1]
    else:
        found = ledoit_wolf_shrinkage(residuals, assume_centered=True)
    return max(float(found), _LEAST_SHRINKAGE)


def class_means(features: Array, targets: Array) -> Array:
    """Return the weighted means `[C, D]` of features `[N, D]` by targets `[N, C]`.

    A class without weight has the mean of all.
    """
    mass = targets.sum(axis=0)
    means = (targets.T @ features) / np.where(mass > 0, mass, 1.0)[:, None]
    return np.where(mass[:, None] > 0, means, features.mean(axis=0))
