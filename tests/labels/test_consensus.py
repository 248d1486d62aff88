"""Labels of several people: the consensus, and whom to ask about again."""

from __future__ import annotations

import warnings
from itertools import product

import numpy as np
import pytest

from allencv_al.labels.consensus import (
    NONE,
    active_lab_scores,
    at_temperature,
    crowdlab,
    dawid_skene,
    fitted_temperature,
    majority_labels,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    oracle = pytest.importorskip("cleanlab.multiannotator", reason="cleanlab is not installed")


def drawn(
    seed: int, count: int = 120, people: int = 5, classes: int = 4, share: float = 0.5
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return true classes, noisy labels with gaps, and probabilities of a model."""
    generator = np.random.default_rng(seed)
    true = generator.integers(classes, size=count)
    given = np.tile(true[:, None], (1, people))
    wrong = generator.random(given.shape) < np.linspace(0.1, 0.5, people)
    given[wrong] = generator.integers(classes, size=int(wrong.sum()))
    is_absent = generator.random(given.shape) > share
    is_absent[np.arange(count), generator.integers(people, size=count)] = False
    given[is_absent] = NONE
    logits = generator.normal(size=(count, classes)) + 1.5 * np.eye(classes)[true]
    return true, given, at_temperature(np.exp(logits) / np.exp(logits).sum(1, keepdims=True), 1)


def as_floats(given: np.ndarray) -> np.ndarray:
    return np.where(given == NONE, np.nan, given.astype(float))


@pytest.mark.parametrize("seed", range(5))
def test_the_consensus_is_that_of_cleanlab(seed: int) -> None:
    _, given, probabilities = drawn(seed)
    expected = oracle.get_label_quality_multiannotator(
        as_floats(given), probabilities, verbose=False, return_weights=True
    )
    found = crowdlab(given, probabilities)
    quality = expected["label_quality"]
    assert found.labels.tolist() == quality["consensus_label"].tolist()
    assert found.quality == pytest.approx(quality["consensus_quality_score"], abs=1e-9)
    assert found.annotator_weights == pytest.approx(expected["annotator_weight"], abs=1e-9)
    assert found.model_weight == pytest.approx(expected["model_weight"], abs=1e-9)


@pytest.mark.parametrize("share", [0.0, 0.5], ids=["single labels", "several labels"])
def test_the_order_of_asking_is_that_of_cleanlab(share: float) -> None:
    _, given, probabilities = drawn(7, share=share)
    others = drawn(8)[2]
    expected = oracle.get_active_learning_scores(as_floats(given), probabilities, others)
    temperature = (
        oracle.find_best_temp_scaler(as_floats(given), probabilities) if share > 0 else None
    )
    found = active_lab_scores(given, probabilities, others, temperature)
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, abs=1e-6)


def test_the_temperature_is_that_of_the_votes() -> None:
    # Not cleanlab's: 2.9.0 counts the votes of an image as those of the first classes
    true, given, probabilities = drawn(5, count=4000)
    sharp = at_temperature(probabilities, 0.3)
    assert fitted_temperature(given, sharp) == pytest.approx(
        fitted_temperature(given, probabilities) / 0.3, rel=0.06
    )
    exact = np.where(np.arange(4) == true[:, None], 0.7, 0.1)
    votes = np.random.default_rng(0).random((4000, 1)) < 0.7
    noisy = np.where(votes, true[:, None], (true[:, None] + 1) % 4)
    assert fitted_temperature(noisy, exact) == pytest.approx(1, rel=0.06)


def test_without_a_label_the_unsure_ones_are_asked_first() -> None:
    others = drawn(3)[2]
    known, found = active_lab_scores(np.zeros((0, 2), np.int64), np.zeros((0, 4)), others)
    assert len(known) == 0
    assert found == pytest.approx(
        oracle.get_active_learning_scores(None, None, others)[1], abs=1e-6
    )


def test_of_a_tie_the_model_decides_then_the_rarer_class() -> None:
    given = np.array([[0, 1], [0, 0], [2, 1], [NONE, 2]])
    assert majority_labels(given, 3).tolist() == [1, 0, 1, 2]  # 0: three times, 1 and 2: twice
    likely = np.array([[0.6, 0.3, 0.1]] * 4)
    assert majority_labels(given, 3, likely).tolist() == [0, 0, 1, 2]


def test_people_without_a_common_image_get_the_mean_weight() -> None:
    given = np.array([[0, 0, NONE], [1, 1, NONE], [0, 1, NONE], [NONE, NONE, 1]])
    probabilities = np.full((4, 2), 0.5)
    weights = crowdlab(given, probabilities).annotator_weights
    assert weights[2] == pytest.approx(weights[:2].mean())


def by_enumeration(given: np.ndarray, prior: np.ndarray, confusions: np.ndarray) -> np.ndarray:
    """Return Dawid and Skene's posterior of each image, class by class."""
    found = np.ones((len(given), len(prior))) * prior
    for row, person in product(range(given.shape[0]), range(given.shape[1])):
        if given[row, person] != NONE:
            found[row] *= confusions[person, :, given[row, person]]
    return found / found.sum(axis=1, keepdims=True)


def test_the_posterior_is_a_fixed_point_of_dawid_and_skenes_equations() -> None:
    _, given, _ = drawn(1, count=300, share=0.8)
    found, confusions = dawid_skene(given, 4)
    prior = found.probabilities.mean(axis=0)
    expected = by_enumeration(given, prior, confusions)
    assert found.probabilities == pytest.approx(expected, abs=1e-5)
    assert confusions.sum(axis=2) == pytest.approx(1)


def test_dawid_and_skene_trust_those_who_are_right() -> None:
    true, given, _ = drawn(2, count=1000, share=0.7)
    found, _ = dawid_skene(given, 4)
    votes = majority_labels(given, 4)
    assert (found.labels == true).mean() > (votes == true).mean()
    assert (np.diff(found.annotator_weights) < 0).all()  # the noise grows from person to person


def test_one_class_is_a_consensus_too() -> None:
    given = np.array([[0, NONE], [0, 0]])
    assert crowdlab(given, np.ones((2, 1))).labels.tolist() == [0, 0]
    assert dawid_skene(given, 1)[0].labels.tolist() == [0, 0]
