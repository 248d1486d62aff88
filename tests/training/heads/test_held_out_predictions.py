"""Predictions for labels that the heads did not learn from."""

from __future__ import annotations

import numpy as np

from allencv_al.data_audit.label_quality import self_confidence
from allencv_al.training.heads.held_out_predictions import held_out_probabilities


def clusters(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(3), 40)
    centers = generator.normal(size=(3, 12)) * 3
    return (centers[labels] + generator.normal(size=(120, 12))).astype(np.float32), labels


def test_swapped_labels_have_the_smallest_probability() -> None:
    features, truth = clusters()
    labels = truth.copy()
    swapped = [3, 50, 99]
    labels[swapped] = (labels[swapped] + 1) % 3
    probabilities = held_out_probabilities(features, labels, [str(n) for n in range(120)])
    assert np.allclose(probabilities.sum(axis=1), 1)
    assert set(np.argsort(self_confidence(labels, probabilities))[:3]) == set(swapped)
    assert (probabilities.argmax(axis=1) == truth).mean() > 0.95


def test_copies_do_not_vouch_for_each_other() -> None:
    """Two copies with one wrong label: apart, each would confirm the other."""
    generator = np.random.default_rng(0)
    features = generator.normal(size=(60, 400)).astype(np.float32)  # nothing but copies to learn
    features[30:] = features[:30]
    labels = generator.permutation(np.arange(30) % 2)
    labels = np.concatenate([labels, labels])
    alone = [str(n) for n in range(60)]
    together = [str(n % 30) for n in range(60)]
    apart = self_confidence(labels, held_out_probabilities(features, labels, alone)).mean()
    joined = self_confidence(labels, held_out_probabilities(features, labels, together)).mean()
    assert joined < 0.55 < apart


def test_a_class_of_two_images() -> None:
    features, labels = clusters()
    labels = np.where(np.arange(120) < 118, labels % 2, 2)
    probabilities = held_out_probabilities(features, labels, [str(n) for n in range(120)])
    assert probabilities.shape == (120, 3)
    assert np.isfinite(probabilities).all()
