"""Accuracy from a few random images, with an interval; and from a model's own confidence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Below these, the covariance of confidence and correctness is a guess, and intervals that rely on
# it cover too little (normal intervals do for n < 30 and near 0 and 1)
_FEWEST_FOR_CONFIDENCE = 30
_FEWEST_OF_A_KIND = 5


@dataclass(frozen=True, slots=True)
class AccuracyEstimate:
    """Accuracy on a population of images, estimated from a random sample of them.

    Args:
        value: The estimate, a fraction.
        low: Lower end of the interval.
        high: Upper end of the interval.
        labels: Number of labeled images in the sample.
        weight: Weight of the model's confidence, 0 to 1; 0 if the labels alone were used.
    """

    value: float
    low: float
    high: float
    labels: int
    weight: float = 0.0

    def __str__(self) -> str:
        """Return the estimate in percent: `87.3 % (82.1 to 91.0 %)`."""
        return f"{100 * self.value:.1f} % ({100 * self.low:.1f} to {100 * self.high:.1f} %)"


def wilson_interval(share: float, size: float, level: float = 0.95) -> tuple[float, float]:
    """Return the score interval of a share (Wilson 1927, JASA 22:209).

    Unlike the normal interval it stays within 0 and 1, and has a width where the share is 0 or 1.

    Args:
        share: The observed share, 0 to 1.
        size: Number of observations; a fraction where their worth was corrected.
        level: Probability with which such intervals contain the true share.
    """
    z2 = NormalDist().inv_cdf((1 + level) / 2) ** 2
    if math.isinf(size):
        return share, share
    center = (share + z2 / (2 * size)) / (1 + z2 / size)
    half = math.sqrt(z2 * (share * (1 - share) / size + z2 / (4 * size**2))) / (1 + z2 / size)
    # Rounding must not exclude the observed share at 0 or 1
    return min(max(center - half, 0.0), share), max(min(center + half, 1.0), share)


def sample_accuracy(
    correct: ArrayLike,
    population: int | None = None,
    confidence: ArrayLike | None = None,
    confidence_of_rest: ArrayLike | None = None,
    level: float = 0.95,
) -> AccuracyEstimate:
    """Return the accuracy on the images that a uniform random sample was drawn from.

    The model must not have been trained on the sample. Where the model's confidence says something
    about its errors, it makes the interval shorter: the value is that of prediction-powered
    inference with a tuned weight (PPI++, Angelopoulos et al. 2023, arXiv:2311.01453). The interval
    is Wilson's for the number of labels that would give the same variance without confidences, so
    with weight 0 it is the plain one.

    Args:
        correct: Whether the prediction of each labeled image of the sample is right, `[n]`.
        population: Number of images that the sample was drawn from without replacement, sample
            included; None for an infinite one, of which they are a sample themselves.
        confidence: The model's probability of being right for each labeled image, `[n]`.
        confidence_of_rest: The same for images of the population outside the sample, `[M]`.
        level: Probability with which such intervals contain the accuracy.

    Raises:
        ValueError: There is no labeled image, or the population is smaller than the sample.
    """
    right = np.asarray(correct, np.float64)
    labels = len(right)
    if not labels:
        raise ValueError("correct: expected at least one labeled image, found none")
    if population is not None and population < labels:
        raise ValueError(f"population: expected at least the {labels} of the sample")
    value, weight, ratio = float(right.mean()), 0.0, 1.0
    rest = None if confidence_of_rest is None else np.asarray(confidence_of_rest, np.float64)
    if confidence is not None and rest is not None and len(rest) and _is_enough(right):
        sure = np.asarray(confidence, np.float64)
        weight = _weight(right, sure, rest)
        value = weight * float(rest.mean()) + float((right - weight * sure).mean())
        value = min(max(value, 0.0), 1.0)
        ratio = _variance_ratio(right, sure, rest, weight)
    size = labels / ratio
    if population is not None:
        # A sample without replacement knows its own part of the population
        left = population - labels
        size = math.inf if not left else size * (population - 1) / left
    low, high = wilson_interval(value, size, level)
    return AccuracyEstimate(value, low, high, labels, weight)


def with_intervals(metrics: Mapping[str, Any], level: float = 0.95) -> dict[str, Any]:
    """Return metrics with the ends of the interval behind each accuracy.

    An accuracy whose confusion matrix, of the same prefix, tells the number of images (`accuracy`,
    `best_validation_accuracy` ...) is followed by `..._accuracy_low`, `..._accuracy_high` and
    `..._images`. The interval is that of random images of the same kind: `wilson_interval`.

    Args:
        metrics: Metrics as JSON values.
        level: Probability with which such an interval contains the accuracy.
    """
    found: dict[str, Any] = {}
    for name, value in metrics.items():
        found[name] = value
        prefix = name.removesuffix("accuracy")
        counts = metrics.get(f"{prefix}confusion_matrix")
        images = sum(map(sum, counts)) if name != prefix and isinstance(counts, list) else 0
        if images and isinstance(value, float):
            low, high = wilson_interval(value, images, level)
            found |= {f"{name}_low": low, f"{name}_high": high, f"{prefix}images": images}
    return found


def mean_confidence(probabilities: ArrayLike) -> float | None:
    """Return the accuracy that a model expects of itself: its mean largest probability.

    It needs no label and has no interval, because no label checks it: a model that is sure and
    wrong raises it. None without images.

    Args:
        probabilities: The probability of the predicted class of each image, `[N]`.
    """
    values = np.asarray(probabilities, np.float64)
    return float(values.mean()) if len(values) else None


def _is_enough(right: NDArray[np.float64]) -> bool:
    hits = int(right.sum())
    fewest = min(hits, len(right) - hits)
    return len(right) >= _FEWEST_FOR_CONFIDENCE and fewest >= _FEWEST_OF_A_KIND


def _weight(
    right: NDArray[np.float64], sure: NDArray[np.float64], rest: NDArray[np.float64]
) -> float:
    """Return the weight with the smallest variance, within 0 and 1 (PPI++, section 6)."""
    spread = float(np.concatenate([sure, rest]).var())
    if not spread:
        return 0.0
    covariance = float(((right - right.mean()) * (sure - sure.mean())).mean())
    return min(max(covariance / ((1 + len(sure) / len(rest)) * spread), 0.0), 1.0)


def _variance_ratio(
    right: NDArray[np.float64],
    sure: NDArray[np.float64],
    rest: NDArray[np.float64],
    weight: float,
) -> float:
    """Return the variance of the estimate over that of the share of right ones alone."""
    variance = weight**2 * rest.var() / len(rest) + (right - weight * sure).var() / len(right)
    return float(variance / (right.var() / len(right)))
