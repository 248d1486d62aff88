"""Scores of labels, against cleanlab 2.9.0."""

from __future__ import annotations

import numpy as np
import pytest

from allencv_al.data_audit import label_quality as quality

cleanlab_rank = pytest.importorskip("cleanlab.rank", reason="cleanlab is not installed")


def noisy(seed: int, count: int = 400, classes: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Return labels of which a fifth is wrong, and probabilities that mostly know the truth."""
    generator = np.random.default_rng(seed)
    truth = generator.choice(classes, count, p=generator.dirichlet(np.full(classes, 3.0)))
    labels = truth.copy()
    wrong = generator.choice(count, count // 5, replace=False)
    labels[wrong] = (labels[wrong] + generator.integers(1, classes, len(wrong))) % classes
    logits = generator.normal(size=(count, classes)) * 1.5
    logits[np.arange(count), truth] += 3.0
    probabilities = np.exp(logits)
    return labels, probabilities / probabilities.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("seed", range(5))
def test_the_scores_are_those_of_cleanlab(seed: int) -> None:
    labels, probabilities = noisy(seed)
    for name in ("self_confidence", "normalized_margin", "confidence_weighted_entropy"):
        found = getattr(quality, name)(labels, probabilities)
        expected = cleanlab_rank.get_label_quality_scores(labels, probabilities, method=name)
        assert found == pytest.approx(expected, abs=1e-6)


def test_a_prediction_without_doubt_has_scores() -> None:
    labels, probabilities = np.array([0, 1]), np.array([[1.0, 0.0], [1.0, 0.0]])
    for name in ("self_confidence", "normalized_margin", "confidence_weighted_entropy"):
        found = getattr(quality, name)(labels, probabilities)
        expected = cleanlab_rank.get_label_quality_scores(labels, probabilities, method=name)
        assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_the_joint_and_its_thresholds_are_those_of_cleanlab(seed: int) -> None:
    from cleanlab import count

    labels, probabilities = noisy(seed)
    thresholds = quality.confident_thresholds(labels, probabilities)
    expected = count.get_confident_thresholds(labels, probabilities)
    assert thresholds == pytest.approx(expected, abs=1e-9)
    joint = quality.confident_joint(labels, probabilities)
    assert joint.tolist() == count.compute_confident_joint(labels, probabilities).tolist()


@pytest.mark.parametrize("seed", range(5))
def test_the_likely_errors_are_those_of_cleanlab(seed: int) -> None:
    from cleanlab.filter import find_label_issues

    labels, probabilities = noisy(seed)
    found = quality.likely_errors(labels, probabilities)
    expected = find_label_issues(labels, probabilities, n_jobs=1)
    assert found.sum() > 20
    assert found.tolist() == expected.tolist()


@pytest.mark.parametrize("seed", range(3))
def test_the_likely_errors_of_several_classes_are_those_of_cleanlab(seed: int) -> None:
    from cleanlab.multilabel_classification.filter import find_multilabel_issues_per_class

    generator = np.random.default_rng(seed)
    truth = generator.random((300, 4)) < [0.5, 0.3, 0.1, 0.7]
    shown = truth ^ (generator.random(truth.shape) < 0.1)
    logits = np.where(truth, 2.0, -2.0) + generator.normal(size=truth.shape)
    probabilities = 1 / (1 + np.exp(-logits))
    labels = [np.flatnonzero(row).tolist() for row in shown]
    expected = find_multilabel_issues_per_class(labels, probabilities, n_jobs=1)
    found = quality.likely_errors_of_classes(shown, probabilities)
    assert found.sum() > 30
    np.testing.assert_array_equal(found, expected)


def test_a_class_without_labels_is_never_confident_and_never_suggested() -> None:
    labels, probabilities = noisy(0)
    wider = np.hstack([probabilities * 0.9, np.full((len(labels), 1), 0.1)])
    assert quality.confident_thresholds(labels, wider)[-1] == np.inf
    assert (quality.confident_joint(labels, wider)[:, -1] == 0).all()


def test_swapped_labels_come_first() -> None:
    generator = np.random.default_rng(0)
    truth = np.repeat(np.arange(4), 50)
    labels = truth.copy()
    wrong = generator.choice(200, 20, replace=False)
    labels[wrong] = (labels[wrong] + 1) % 4
    probabilities = np.full((200, 4), 0.05)
    probabilities[np.arange(200), truth] = 0.85
    assert set(np.flatnonzero(quality.likely_errors(labels, probabilities))) == set(wrong)
