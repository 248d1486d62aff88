"""DropQuery and ALFA-Mix beside their definitions, with the weights of the last layer known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fixtures.linear_pools import CLASSES, WIDTH, make_linear_pool
from numpy.typing import NDArray
from scipy.special import softmax

from allencv_al.selection.pool.unlabeled_pool import Pool
from allencv_al.selection.strategies.feature_changes import AlfaMix, DropQuery
from allencv_al.selection.strategies.shared.canonical_rows import CanonicalRows
from allencv_al.selection.strategies.shared.last_layer import recovered_last_layer


def mixes(pool: Pool, weights: NDArray, biases: NDArray, share: float) -> NDArray:
    """Whether a mix of each item with any class mean is predicted otherwise: the authors' rule."""
    rows, labeled = pool.embeddings.astype(np.float64), pool.labeled_embeddings.astype(np.float64)
    predicted = (rows @ weights.T + biases).argmax(axis=1)
    errors = softmax(rows @ weights.T + biases, axis=1) - np.eye(CLASSES)[predicted]
    gradients = errors @ weights
    gradients /= np.linalg.norm(gradients, axis=1, keepdims=True)
    epsilon = share / np.sqrt(WIDTH)
    changed = np.zeros(len(rows), bool)
    for label in np.unique(pool.labeled_labels):
        mean = labeled[pool.labeled_labels == label].mean(axis=0)
        way = mean - rows
        alpha = epsilon * np.linalg.norm(way, axis=1, keepdims=True) * gradients / way
        mixed = alpha * mean + (1 - alpha) * rows
        changed |= (mixed @ weights.T + biases).argmax(axis=1) != predicted
    return changed


@pytest.mark.parametrize("share", [0.2, 0.7])
@pytest.mark.parametrize("seed", range(3))
def test_candidates_of_alfa_mix_are_those_of_the_mixes(share: float, seed: int) -> None:
    pool, weights, biases = make_linear_pool(400, seed)
    rows = CanonicalRows(pool, 0)
    strategy = AlfaMix(share=share, min_candidates=1)
    found, *_ = strategy._candidates(pool, rows, recovered_last_layer(pool, rows), 1, 0)
    expected = np.flatnonzero(mixes(pool, weights, biases, share)[rows.order])
    assert 10 < len(expected) < 390
    assert np.array_equal(found, expected)


def test_alfa_mix_adds_those_that_change_most_easily() -> None:
    pool, *_ = make_linear_pool()
    selection = AlfaMix(share=1e-6).select(pool, 10, 0)
    changes = [reason["change"] for reason in selection.reasons]
    assert len(changes) == 10 and max(changes) < 0.5


def test_dropout_changes_the_prediction_as_often_as_it_does_by_definition() -> None:
    pool, weights, biases = make_linear_pool()
    rows = CanonicalRows(pool, 0)
    layer = recovered_last_layer(pool, rows)
    places, _, reason = DropQuery(passes=200)._candidates(pool, rows, layer, 1, 0)
    found = np.zeros(len(pool))
    found[rows.order[places]] = [reason(n)["changed_passes"] for n in range(len(places))]
    generator = np.random.default_rng(1)
    expected = np.zeros(len(pool))
    for _ in range(200):
        kept = generator.random(pool.embeddings.shape) >= 0.75
        dropped = (4 * kept * pool.embeddings) @ weights.T + biases
        expected += dropped.argmax(axis=1) != pool.logits.argmax(axis=1)
    # Two draws of 200: a difference has a deviation of at most 10; 5 % are beyond 2 of them
    counted = places.size
    assert np.mean(np.abs(found - expected)[rows.order[places]] > 20) < 0.1 and counted > 100


class SetMasks(np.random.RandomState):
    """Draws given masks, so that scikit-activeml drops the same values."""

    def __init__(self, masks: list[NDArray]) -> None:
        super().__init__(0)
        self._masks = masks

    def choice(self, values: list[bool], size: tuple[int, ...], p: list[float]) -> NDArray:
        assert values == [True, False] and p == [0.75, 0.25]
        return self._masks.pop(0)


@pytest.mark.parametrize("seed", range(3))
def test_drop_query_has_the_candidates_of_scikit_activeml(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from skactiveml import base
    from skactiveml.classifier import SklearnClassifier
    from skactiveml.pool import DropQuery as Theirs
    from sklearn.linear_model import LogisticRegression

    known, count, passes, width = 40, 5, 5, 48  # so many that no row is dropped whole
    generator = np.random.default_rng(seed)
    centers = np.abs(generator.normal(size=(CLASSES, width)))
    truth = generator.integers(0, CLASSES, 700)
    rows = centers[truth] + 1.2 * generator.normal(size=(700, width))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)  # both cluster rows of length 1
    rows = rows.astype(np.float32)
    labels = np.where(np.arange(700) < known, truth, np.nan)
    # Theirs does not scale up what is kept, which only biases would show
    linear = LogisticRegression(C=5, fit_intercept=False)
    model = SklearnClassifier(linear, classes=range(CLASSES)).fit(rows, labels)
    logits = model.estimator_.decision_function(rows)
    pool = Pool(
        [f"{index}.png" for index in range(known, 700)],
        logits=logits[known:].astype(np.float32),
        embeddings=rows[known:],
        labeled_embeddings=rows[:known],
        labeled_logits=logits[:known].astype(np.float32),
        labeled_labels=truth[:known],
    )
    canonical = CanonicalRows(pool, seed)
    masks = []
    ours = np.random.default_rng(seed)
    for _ in range(passes):
        mask = np.empty((len(pool), width), bool)
        mask[canonical.order] = ours.random(mask.shape, np.float32) < 0.75
        masks.append(mask)
    # It takes no generator as it is, but seeds its own from it
    monkeypatch.setattr(base, "check_random_state", lambda *_: SetMasks(masks))
    picks, utilities = Theirs(n_dropout_samples=passes).query(
        rows, labels, model, fit_clf=False, batch_size=count, return_utilities=True
    )
    expected = np.flatnonzero(np.isfinite(utilities[0, known:]))
    strategy = DropQuery(passes=passes)
    layer = recovered_last_layer(pool, canonical)
    found, *_ = strategy._candidates(pool, canonical, layer, count, seed)
    assert 25 * count < len(expected) < 600, "the majority decides, not the rule for few"
    assert set(canonical.order[found]) == set(expected)

    def distance_to(chosen: NDArray) -> float:
        gaps = np.linalg.norm(rows[known:][expected][:, None] - rows[chosen], axis=2)
        return float(gaps.min(axis=1).mean())

    selection = strategy.select(pool, count, seed)
    own = np.array([int(name.removesuffix(".png")) for name in selection.ids])
    assert distance_to(own) < 1.05 * distance_to(picks)


def test_drop_query_prefers_items_that_most_passes_change() -> None:
    pool, *_ = make_linear_pool(600)
    selection = DropQuery(passes=9).select(pool, 2, 0)
    assert all(reason["changed_passes"] >= 5 for reason in selection.reasons)


def test_too_few_candidates_are_filled_up_at_random() -> None:
    pool, *_ = make_linear_pool(30)
    certain = replace(pool, logits=np.eye(CLASSES, dtype=np.float32)[np.zeros(30, int)] * 50)
    labeled = np.eye(CLASSES, dtype=np.float32)[np.zeros(9, int)] * 50
    selection = DropQuery().select(replace(certain, labeled_logits=labeled), 12, 0)
    assert [reason.get("filled") for reason in selection.reasons] == [True] * 12
