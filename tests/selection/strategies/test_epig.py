"""EPIG against the joint of every pair of labels, and baal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import softmax
from scipy.stats import entropy

from allencv_al.common.errors import ConfigurationError
from allencv_al.selection.pool.unlabeled_pool import Pool
from allencv_al.selection.strategies import epig as module
from allencv_al.selection.strategies.ensemble import Bald
from allencv_al.selection.strategies.epig import Epig


def pool_of(mc_logits: Any, target_mc_logits: Any) -> Pool:
    ids = [f"i{number}" for number in range(len(mc_logits))]
    return Pool(ids, mc_logits=np.asarray(mc_logits), target_mc_logits=np.asarray(target_mc_logits))


def scores_of(strategy: Epig, pool: Pool) -> NDArray[np.float32]:
    scores = strategy.score(pool)
    assert scores is not None
    return scores


def random_logits(seed: int, count: int, classes: int = 4, members: int = 6) -> Any:
    generator = np.random.default_rng(seed)
    return (2 * generator.standard_normal((count, members, classes))).astype(np.float32)


def by_formula(logits: Any, targets: Any, temperature: float = 1) -> NDArray[np.float64]:
    p = softmax(np.asarray(logits, np.float64) / temperature, axis=2)
    q = softmax(np.asarray(targets, np.float64) / temperature, axis=2)
    joint = np.einsum("nsc,msd->nmcd", p, q) / p.shape[1]
    of_joint = entropy(joint.reshape(len(p), len(q), -1), axis=2)
    of_item, of_target = entropy(p.mean(axis=1), axis=1), entropy(q.mean(axis=1), axis=1)
    information: NDArray[np.float64] = of_item + of_target.mean() - of_joint.mean(axis=1)
    return information


@pytest.mark.parametrize("temperature", [1.0, 0.4, 2.0])
@pytest.mark.parametrize("classes", [2, 4, 30])
def test_scores_follow_their_formula(classes: int, temperature: float) -> None:
    logits, targets = random_logits(0, 60, classes), random_logits(1, 25, classes)
    found = scores_of(Epig(temperature=temperature), pool_of(logits, targets))
    np.testing.assert_allclose(found, by_formula(logits, targets, temperature), atol=2e-6)


def test_targets_may_come_in_many_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, targets = random_logits(0, 30), random_logits(1, 25)
    monkeypatch.setattr(module, "_JOINT_CELLS", 64)
    monkeypatch.setattr(module, "_TARGET_CELLS", 6 * 4 * 7)
    found = scores_of(Epig(), pool_of(logits, targets))
    np.testing.assert_allclose(found, by_formula(logits, targets), atol=2e-6)


def test_scores_are_those_of_baal() -> None:
    """As `record_baal_scores.py` has recorded them."""
    file = Path(__file__).with_name("baal_scores.json")
    recorded = json.loads(file.read_text(encoding="utf-8"))
    pool = pool_of(recorded["mc_logits"], recorded["target_mc_logits"])
    np.testing.assert_allclose(scores_of(Epig(), pool), recorded["epig"], rtol=2e-5, atol=1e-6)


def test_the_least_information_is_still_told_apart() -> None:
    """Members that nearly agree: a difference of entropies in float32 would be noise."""
    steps = np.linspace(0.001, 0.01, 10)[:, None, None]
    logits = steps * random_logits(0, 1) + random_logits(2, 1, members=1)
    targets = 0.02 * random_logits(1, 8)
    expected = by_formula(logits, targets)
    assert expected.max() < 1e-8
    found = scores_of(Epig(), pool_of(logits, targets))
    np.testing.assert_allclose(found, expected, rtol=0.02, atol=1e-12)


def test_what_does_not_bear_on_the_targets_tells_nothing() -> None:
    """Two things members disagree on; the targets depend on the second only."""
    first = [[9.0, 0], [9.0, 0], [0, 9.0], [0, 9.0]]
    second = [[7.0, 0], [0, 7.0], [7.0, 0], [0, 7.0]]
    pool = pool_of([first, second], [second])
    assert Bald().select(pool, 1).ids == ("i0",)
    assert Epig().select(pool, 1).ids == ("i1",)
    np.testing.assert_allclose(
        scores_of(Epig(), pool), by_formula([first, second], [second]), atol=1e-6
    )


def test_certainty_of_a_class_is_no_trouble() -> None:
    logits = np.array([[[1e30, -1e30, 0], [1e30, 0, -1e30]]], np.float32)
    np.testing.assert_allclose(scores_of(Epig(), pool_of(logits, logits)), [0], atol=1e-7)


@pytest.mark.parametrize("shape", [(0, 6, 4), (5, 6, 3), (5, 2, 4), (6, 4)])
def test_targets_must_be_like_the_pool(shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigurationError, match="with 6 members and 4 classes") as caught:
        Epig().select(pool_of(random_logits(0, 3), np.zeros(shape)), 1)
    assert str(shape) in str(caught.value)
