"""The temperature that is estimated from few labels, beside the one that all labels give."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from allencv_al.selection.pool.unlabeled_pool import Pool
from allencv_al.selection.strategies.shared.calibration import (
    _ridge,
    fitted_temperature,
    steady_temperature,
)
from allencv_al.selection.strategies.shared.canonical_rows import CanonicalRows

CLASSES, WIDTH, COUNT = 4, 20, 3000


def pool_and_truth(labeled: int, sharpness: float = 1.0) -> tuple[Pool, np.ndarray]:
    """Return overlapping classes with a logistic regression's logits times `sharpness`."""
    generator = np.random.default_rng(labeled)
    centers = generator.normal(size=(CLASSES, WIDTH))
    truth = generator.integers(0, CLASSES, COUNT + labeled)
    rows = centers[truth] * 0.9 + generator.normal(size=(len(truth), WIDTH))
    known, rest = slice(0, labeled), slice(labeled, None)
    model = LogisticRegression(C=0.05).fit(rows[known], truth[known])
    logits = sharpness * model.decision_function(rows)
    pool = Pool(
        [str(index) for index in range(COUNT)],
        logits=logits[rest].astype(np.float32),
        embeddings=rows[rest].astype(np.float32),
        labeled_embeddings=rows[known].astype(np.float32),
        labeled_labels=truth[known],
    )
    return pool, truth[rest]


def fitted(pool: Pool) -> float:
    return fitted_temperature(pool, CanonicalRows(pool, 0, "standardize_l2"))


def confidence(pool: Pool, temperature: float) -> float:
    assert pool.logits is not None
    logits = pool.logits.astype(np.float64) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return float((powers.max(axis=1) / powers.sum(axis=1)).mean())


@pytest.mark.parametrize("labeled", [40, 200])
@pytest.mark.parametrize("sharpness", [0.3, 3.0])
def test_the_confidence_becomes_the_accuracy(labeled: int, sharpness: float) -> None:
    pool, truth = pool_and_truth(labeled, sharpness)
    assert pool.logits is not None
    accuracy = float((pool.logits.argmax(axis=1) == truth).mean())
    before = abs(confidence(pool, 1.0) - accuracy)
    after = abs(confidence(pool, fitted(pool)) - accuracy)
    assert after < 0.08 and after < before


def test_sharper_logits_give_a_temperature_as_many_times_higher() -> None:
    pool, _ = pool_and_truth(100)
    assert pool.logits is not None
    sharper = replace(pool, logits=4 * pool.logits)
    assert fitted(sharper) == pytest.approx(4 * fitted(pool), rel=1e-3)


def test_labels_that_mean_nothing_make_probabilities_equal() -> None:
    pool, _ = pool_and_truth(40)
    noise = replace(pool, labeled_labels=np.random.default_rng(0).integers(0, CLASSES, 40))
    assert confidence(noise, fitted(noise)) < 0.45 < confidence(pool, fitted(pool))


@pytest.mark.parametrize("labels", [None, np.array([1]), np.full(40, -1)])
def test_without_labels_logits_stay_as_they_are(labels: np.ndarray | None) -> None:
    pool, _ = pool_and_truth(40)
    assert fitted(replace(pool, labeled_labels=labels)) == 1.0


def steady(pool: Pool) -> float:
    return steady_temperature(pool, CanonicalRows(pool, 0, "standardize_l2"))


def test_a_steady_temperature_makes_sharper_logits_as_sure_as_others() -> None:
    pool, _ = pool_and_truth(100)
    assert pool.logits is not None
    sharper = replace(pool, logits=4 * pool.logits)
    assert steady(sharper) == pytest.approx(4 * steady(pool), rel=1e-3)


def test_a_steady_temperature_grows_less_than_the_accuracy_falls_on_hard_labels() -> None:
    """Labels of the hardest items: calibrated on them, the model would seem to know little."""
    pool, truth = pool_and_truth(200)
    assert pool.logits is not None and pool.embeddings is not None
    ordered = np.sort(pool.logits, axis=1)
    hard = np.argsort(ordered[:, -1] - ordered[:, -2])[:200]
    asked = replace(pool, labeled_embeddings=pool.embeddings[hard], labeled_labels=truth[hard])
    assert fitted(asked) / fitted(pool) > 1.5 * steady(asked) / steady(pool)


def test_a_steady_temperature_makes_the_model_surer_with_more_labels() -> None:
    few, many = (pool_and_truth(count)[0] for count in (8, 200))
    assert confidence(few, steady(few)) < confidence(many, steady(many))


@pytest.mark.parametrize("labels", [None, np.array([1]), np.full(40, -1)])
def test_without_labels_a_steady_temperature_changes_nothing(labels: np.ndarray | None) -> None:
    pool, _ = pool_and_truth(40)
    assert steady(replace(pool, labeled_labels=labels)) == 1.0


def test_predictions_without_an_item_are_those_of_a_refit() -> None:
    generator = np.random.default_rng(0)
    rows, labels = generator.normal(size=(12, 5)), generator.integers(0, 3, 12)
    left_out, _ = _ridge(rows, labels, rows[:2], 3)
    length = (rows**2).sum(axis=1).mean()
    # The bias is a constant feature, penalized as the others are
    wide = np.hstack([rows, np.full((12, 1), np.sqrt(length))])
    targets = 2 * np.eye(3)[labels] - 1
    for item in range(12):
        others = np.arange(12) != item
        refit = Ridge(alpha=0.5 * length, fit_intercept=False).fit(wide[others], targets[others])
        np.testing.assert_allclose(left_out[item], refit.predict(wide[item : item + 1])[0])
