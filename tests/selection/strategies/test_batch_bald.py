"""BatchBALD against the enumeration of all labels of a batch."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import softmax
from scipy.stats import entropy

from allencv_al.common.errors import ConfigurationError
from allencv_al.selection.pool.unlabeled_pool import Pool
from allencv_al.selection.strategies.batch_bald import BatchBald
from allencv_al.selection.strategies.ensemble import Bald


def pool_of(mc_logits: Any) -> Pool:
    array = np.asarray(mc_logits)
    return Pool([f"i{number}" for number in range(len(array))], mc_logits=array)


def correlated_logits(seed: int, count: int, members: int, classes: int) -> NDArray[np.float32]:
    """Members are linear functions of two features, so that items share what they tell."""
    generator = np.random.default_rng(seed)
    features = generator.standard_normal((count, 2))
    weights = 3 * generator.standard_normal((members, 2, classes))
    return np.einsum("nd,sdc->nsc", features, weights).astype(np.float32)


def joint_information(probabilities: NDArray[np.float64], batch: tuple[int, ...]) -> float:
    """I[y_B; s] from every combination of labels; `probabilities` is `[N, S, C]`."""
    classes = probabilities.shape[2]
    joint = [
        np.prod([probabilities[i, :, y] for i, y in zip(batch, labels, strict=True)], axis=0).mean()
        for labels in itertools.product(range(classes), repeat=len(batch))
    ]
    own = sum(entropy(probabilities[i], axis=1).mean() for i in batch)
    return float(entropy(joint) - own)


def greedy_by_enumeration(logits: Any, size: int) -> tuple[list[int], list[float]]:
    probabilities = softmax(np.asarray(logits, np.float64), axis=2)
    batch: tuple[int, ...] = ()
    gains: list[float] = []
    for _ in range(size):
        before = joint_information(probabilities, batch) if batch else 0.0
        of_each = {
            index: joint_information(probabilities, (*batch, index)) - before
            for index in range(len(logits))
            if index not in batch
        }
        best = max(of_each, key=of_each.__getitem__)
        batch = (*batch, best)
        gains.append(of_each[best])
    return list(batch), gains


@settings(max_examples=30)
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(3, 9),
    members=st.integers(1, 5),
    classes=st.integers(2, 4),
)
def test_the_batch_is_that_of_enumeration(
    seed: int, count: int, members: int, classes: int
) -> None:
    logits = correlated_logits(seed, count, members, classes)
    selection = BatchBald().select(pool_of(logits), 3)
    _, gains = greedy_by_enumeration(logits, 3)
    np.testing.assert_allclose(selection.scores, gains, atol=2e-6)
    found = tuple(int(id[1:]) for id in selection.ids)
    # The sum, not the indices: two items may tell the same
    total = joint_information(softmax(logits.astype(np.float64), axis=2), found)
    assert total == pytest.approx(sum(gains), abs=5e-6)


def test_picks_and_their_order_are_those_of_enumeration() -> None:
    for seed in range(8):
        logits = correlated_logits(seed, count=12, members=6, classes=3)
        expected, _ = greedy_by_enumeration(logits, 4)
        assert BatchBald().select(pool_of(logits), 4).ids == tuple(f"i{i}" for i in expected)


def test_a_batch_of_one_is_that_of_bald() -> None:
    pool = pool_of(correlated_logits(0, 200, 8, 5))
    found, expected = BatchBald().select(pool, 1), Bald().select(pool, 1)
    assert found.ids == expected.ids
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-6)


def test_a_twin_of_a_pick_tells_little_more() -> None:
    """BALD takes both twins; BatchBALD, another that tells less by itself."""
    sure = [[8.0, 0], [0, 8.0], [8.0, 0], [0, 8.0]]
    other = [[4.0, 0], [4.0, 0], [0, 4.0], [0, 4.0]]
    pool = pool_of([sure, sure, other])
    assert set(Bald().select(pool, 2).ids) == {"i0", "i1"}
    selection = BatchBald().select(pool, 3)
    assert selection.ids[1] == "i2"
    assert selection.reasons[1]["shared_with_batch"] == pytest.approx(0, abs=1e-3)
    assert selection.reasons[2]["shared_with_batch"] > 0.6
    assert selection.scores[2] < 0.02


@pytest.mark.parametrize("configurations", [100, 400])
def test_a_sample_of_configurations_comes_near(configurations: int) -> None:
    """The fifth and sixth pick would need 243 and 729 configurations."""
    logits = correlated_logits(3, count=40, members=10, classes=3)
    exact = BatchBald(num_configurations=10_000).select(pool_of(logits), 6)
    sampled = BatchBald(num_configurations=configurations).select(pool_of(logits), 6)
    np.testing.assert_allclose(sampled.scores, exact.scores, atol=0.02)
    assert len(set(sampled.ids) & set(exact.ids)) >= 5


def test_a_batch_never_tells_more_than_there_are_members() -> None:
    logits = correlated_logits(1, count=60, members=4, classes=5)
    scores = BatchBald(num_configurations=500).select(pool_of(logits), 30).scores
    assert scores.sum() <= np.log(4) + 0.01
    assert (scores >= 0).all()


def test_candidates_are_those_of_the_highest_bald() -> None:
    pool = pool_of(correlated_logits(2, 100, 6, 3))
    few = BatchBald(num_candidates=5).select(pool, 5)
    assert set(few.ids) == set(Bald().select(pool, 5).ids)
    assert len(BatchBald(num_candidates=5).select(pool, 9)) == 9


@pytest.mark.parametrize("name", ["num_configurations", "num_candidates"])
def test_numbers_are_positive(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name}: expected int >= 1, found 0"):
        BatchBald(**{name: 0})
