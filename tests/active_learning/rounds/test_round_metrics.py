"""The figures of a round against scikit-learn, and against what is too simple to be wrong."""

from __future__ import annotations

import json
import math
import warnings

import numpy as np
import pytest
from numpy.typing import NDArray

from allencv_al.active_learning.learners.base import TestOutputs
from allencv_al.active_learning.rounds.round_metrics import (
    class_entropy,
    measure_test,
    predicted_classes,
    redundancy,
    top_probabilities,
)


def outputs(seed: int, items: int, classes: int, missing: int = 0) -> TestOutputs:
    """Return random logits that are right more often than not; some classes may not occur."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes - missing, items)
    logits = generator.normal(0, 1.5, (items, classes)).astype(np.float32)
    logits[np.arange(items), labels] += 1.5
    return TestOutputs(logits, labels, {})


@pytest.mark.parametrize(
    ("items", "classes", "missing"), [(200, 3, 0), (57, 10, 2), (5, 4, 1), (1, 2, 0)]
)
def test_the_metrics_of_a_test_are_those_of_scikit_learn(
    items: int, classes: int, missing: int
) -> None:
    from sklearn.metrics import (
        accuracy_score,
        balanced_accuracy_score,
        confusion_matrix,
        f1_score,
        log_loss,
    )

    found = outputs(items, items, classes, missing)
    metrics, confusion = measure_test(found)
    predicted = found.logits.argmax(axis=1)
    names = list(range(classes))
    probabilities = np.exp(found.logits.astype(np.float64))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    with warnings.catch_warnings():  # a class that is predicted and does not occur
        warnings.simplefilter("ignore", UserWarning)
        balanced = balanced_accuracy_score(found.labels, predicted)
    assert metrics["accuracy"] == accuracy_score(found.labels, predicted)
    assert metrics["balanced_accuracy"] == pytest.approx(balanced, abs=1e-12)
    assert metrics["macro_f1"] == pytest.approx(
        f1_score(found.labels, predicted, average="macro"), abs=1e-6
    )
    assert metrics["negative_log_likelihood"] == pytest.approx(
        log_loss(found.labels, probabilities, labels=names), rel=1e-6
    )
    assert confusion == confusion_matrix(found.labels, predicted, labels=names).tolist()
    assert json.loads(json.dumps(metrics)) == metrics


def test_areas_under_curves_are_means_of_scikit_learns_over_the_classes_that_have_one() -> None:
    from sklearn.metrics import average_precision_score, roc_auc_score

    found = outputs(3, 9000, 4, missing=True)  # more than are counted at once
    metrics, _ = measure_test(found)
    logits = found.logits.astype(np.float64)
    odds = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True) - np.exp(logits))
    occurring = np.unique(found.labels)
    assert len(occurring) < 4
    own = found.labels[:, None] == occurring
    for name, score in (("roc_auc", roc_auc_score), ("average_precision", average_precision_score)):
        expected = score(own, odds[:, occurring], average="macro")
        assert metrics[name] == pytest.approx(expected, abs=1e-3)


def test_the_calibration_error_has_fifteen_bins() -> None:
    found = outputs(1, 500, 4)
    logits = found.logits.astype(np.float64)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    confidence = probabilities.max(axis=1)
    right = found.logits.argmax(axis=1) == found.labels
    bins = np.minimum((confidence * 15).astype(int), 14)
    expected = sum(
        abs(right[bins == place].mean() - confidence[bins == place].mean()) * (bins == place).mean()
        for place in range(15)
        if (bins == place).any()
    )
    metrics, _ = measure_test(found)
    assert metrics["expected_calibration_error"] == pytest.approx(expected, abs=1e-6)


def test_the_entropy_of_a_batch_is_in_nats() -> None:
    assert class_entropy({"a": 5, "b": 5}) == pytest.approx(math.log(2))
    assert class_entropy({"a": 3}) == 0.0
    assert str(class_entropy({"a": 3})) == "0.0"
    assert class_entropy({"a": 2, "b": 0}) == 0.0
    assert class_entropy({}) is None


def test_the_probability_of_the_likeliest_class() -> None:
    logits = np.array([[0.0, 0.0], [math.log(3.0), 0.0], [900.0, -900.0]], np.float32)
    assert top_probabilities(logits) == pytest.approx([0.5, 0.75, 1.0])
    assert predicted_classes(logits[1:], ["a", "b"]) == ["a", "a"]


# --- where the items lie --------------------------------------------------------------------------


def distances(rows: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float64]:
    differences = rows.astype(np.float64)[:, None] - others.astype(np.float64)[None]
    return np.sqrt((differences**2).sum(axis=2))


@pytest.mark.parametrize("count", [2, 3, 40])
def test_redundancy_is_the_mean_distance_to_the_nearest_other(count: int) -> None:
    rows = np.random.default_rng(count).normal(size=(count, 5)).astype(np.float32)
    table = distances(rows, rows)
    np.fill_diagonal(table, np.inf)
    assert redundancy(rows) == pytest.approx(table.min(axis=1).mean(), rel=1e-12)


def test_redundancy_of_twins_is_exactly_zero_and_of_one_item_unknown() -> None:
    rows = np.full((3, 4), 1e4 / 3, np.float32)
    assert redundancy(rows) == 0.0
    assert redundancy(rows[:1]) is None
    assert redundancy(rows[:0]) is None
