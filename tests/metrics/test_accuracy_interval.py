"""Tests of intervals of the accuracy, against SciPy, the formulas of PPI++ and simulations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binomtest

from allencv_al.metrics.accuracy_interval import (
    mean_confidence,
    sample_accuracy,
    wilson_interval,
    with_intervals,
)


@pytest.mark.parametrize(("right", "labels"), [(0, 1), (1, 1), (90, 100), (400, 400), (7, 12)])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_wilson_is_that_of_scipy(right: int, labels: int, level: float) -> None:
    expected = binomtest(right, labels).proportion_ci(level, method="wilson")
    found = wilson_interval(right / labels, labels, level)
    assert found == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_labels_alone_give_the_plain_interval() -> None:
    found = sample_accuracy([True] * 90 + [False] * 10)
    assert (found.value, found.weight, found.labels) == (0.9, 0.0, 100)
    assert str(found) == "90.0 % (82.6 to 94.5 %)"


def test_a_sample_of_the_whole_population_leaves_no_doubt() -> None:
    found = sample_accuracy([True, True, False], population=3)
    assert found.low == found.value == found.high == pytest.approx(2 / 3)


def test_a_population_smaller_than_the_sample_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least the 3 of the sample"):
        sample_accuracy([True] * 3, population=2)
    with pytest.raises(ValueError, match="at least one labeled image"):
        sample_accuracy([])


def test_the_population_counts_as_more_labels() -> None:
    plain, finite = sample_accuracy([1, 0] * 50), sample_accuracy([1, 0] * 50, population=200)
    assert finite.value == plain.value
    assert finite.high - finite.low == pytest.approx(
        np.diff(wilson_interval(0.5, 100 * 199 / 100))[0]
    )


def _drawn(
    population: int, labels: int, rng: np.random.Generator
) -> tuple[float, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return the accuracy on a population, and a sample: hits, confidences, confidences of rest."""
    logits = rng.normal(1.5, 1.5, population)
    chance = 1 / (1 + np.exp(-logits))
    right = rng.random(population) < chance
    sure = chance**0.5  # an overconfident model
    order = rng.permutation(population)
    sample, rest = order[:labels], order[labels:]
    return float(right.mean()), (right[sample], sure[sample], sure[rest])


def test_the_value_is_that_of_ppi_with_the_best_weight() -> None:
    _, (right, sure, rest) = _drawn(1000, 80, np.random.default_rng(3))
    found = sample_accuracy(right, confidence=sure, confidence_of_rest=rest)

    def value(weight: float) -> float:
        return float(weight * rest.mean() + (right - weight * sure).mean())

    def variance(weight: float) -> float:
        covariance = np.cov(right, sure, bias=True)[0, 1]
        spread = np.concatenate([sure, rest]).var()
        own = right.var() - 2 * weight * covariance + weight**2 * spread
        return float(weight**2 * spread / len(rest) + own / len(right))

    weights = np.linspace(0, 1, 20_001)
    best = weights[np.argmin([variance(weight) for weight in weights])]
    assert found.weight == pytest.approx(best, abs=1e-4)
    assert found.value == pytest.approx(value(found.weight))
    classical = right.var() / len(right)
    used = found.weight**2 * rest.var() / len(rest)
    used += (right - found.weight * sure).var() / len(right)
    interval = wilson_interval(found.value, len(right) * classical / used)
    assert (found.low, found.high) == pytest.approx(interval)


@pytest.mark.parametrize(("population", "labels"), [(250, 100), (2000, 30)])
def test_intervals_cover_the_accuracy_of_the_population(population: int, labels: int) -> None:
    rng = np.random.default_rng(population + labels)
    covered, errors, widths = [], [], []
    for _ in range(1000):
        truth, (right, sure, rest) = _drawn(population, labels, rng)
        plain = sample_accuracy(right, population)
        found = sample_accuracy(right, population, sure, rest)
        covered.append(found.low <= truth <= found.high)
        errors.append(found.value - truth)
        widths.append((found.high - found.low) / (plain.high - plain.low))
    assert 0.93 < np.mean(covered) < 0.98
    assert abs(np.mean(errors)) < 4 * np.std(errors) / math.sqrt(1000)
    assert np.mean(widths) < 0.95  # the confidence of this model says much


def test_confidence_that_says_nothing_gets_no_weight() -> None:
    rng = np.random.default_rng(0)
    right = rng.random(400) < 0.7
    found = sample_accuracy(right, None, 1 - right * 0.2, rng.random(5000))
    assert found == sample_accuracy(right)


def test_few_labels_do_not_trust_the_confidence() -> None:
    right = np.array([True] * 20 + [False] * 9)
    assert sample_accuracy(right, None, right * 0.9, np.ones(50)).weight == 0


def test_mean_confidence() -> None:
    assert mean_confidence([0.5, 1.0]) == 0.75
    assert mean_confidence([]) is None


def test_accuracies_get_an_interval_where_their_images_are_counted() -> None:
    metrics = {
        "accuracy": 0.75,
        "confusion_matrix": [[5, 1], [2, 4]],
        "test_loss": 1.0,
        "test_accuracy": 0.0,
        "test_confusion_matrix": [],
        "training_accuracy": 0.9,
        "test_top_5_accuracy": 1.0,
    }
    found = with_intervals(metrics)
    low, high = found.pop("accuracy_low"), found.pop("accuracy_high")
    assert (low, high) == wilson_interval(0.75, 12)
    assert found.pop("images") == 12
    assert found == metrics, "no images, no matrix, or another measure: no interval"
    assert list(with_intervals(metrics))[:2] == ["accuracy", "accuracy_low"]
