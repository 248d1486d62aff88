"""Strategies of several classes per image, beside what their papers say, item by item."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import entropy, rankdata

from allencv_al.selection.pool.unlabeled_pool import Pool
from allencv_al.selection.strategies.base import QueryStrategy
from allencv_al.selection.strategies.several_classes import entropy_distances
from allencv_al.tasks import label_task

N, C = 23, 4


def pool_of(seed: int) -> Pool:
    generator = np.random.default_rng(seed)
    # Rounded: margins tie
    logits = generator.normal(size=(N, C)).round(1).astype(np.float32)
    counts = (generator.random((9, C)) < 0.4).astype(np.int64)
    return Pool([str(n) for n in range(N)], label_logits=logits, labeled_counts=counts)


def rows(pool: Pool) -> list[list[float]]:
    assert pool.label_logits is not None
    return [[1 / (1 + math.exp(-x)) for x in row] for row in pool.label_logits.tolist()]


def mmc(pool: Pool) -> list[float]:
    scores = []
    for p in rows(pool):
        size = round(sum(p))
        chosen = sorted(range(C), key=lambda c: (-p[c], c))[:size]
        signs = [1 if c in chosen else -1 for c in range(C)]
        scores.append(sum((1 - y * (2 * x - 1)) / 2 for y, x in zip(signs, p, strict=True)))
    return scores


def label_cardinality(pool: Pool) -> list[float]:
    assert pool.labeled_counts is not None
    usual = sum(map(sum, pool.labeled_counts.tolist())) / len(pool.labeled_counts)
    scores = []
    for p in rows(pool):
        shown, others = [x for x in p if x >= 0.5], [x for x in p if x < 0.5]
        margin = min(shown, default=1.0) - max(others, default=0.0)
        scores.append(margin**-0.5 * abs(len(shown) - usual) ** 0.5)
    return scores


def cvirs(pool: Pool) -> list[float]:
    assert pool.labeled_counts is not None
    p = np.array(rows(pool))
    ranks = rankdata(np.abs(2 * p - 1).round(12), method="min", axis=0)
    uncertain = ((N - ranks) / (N - 1)).mean(axis=1)
    unlike = [
        np.mean([distance(row >= 0.5, label > 0) for label in pool.labeled_counts]) for row in p
    ]
    return (uncertain * np.array(unlike)).tolist()


def distance(one: np.ndarray, other: np.ndarray) -> float:
    if (one != other).all():
        return 1.0
    joint = entropy(np.bincount(2 * one + other, minlength=4))
    if joint == 0:
        return 0.0
    own = entropy(np.bincount(one.astype(int))) + entropy(np.bincount(other.astype(int)))
    return float((2 * joint - own) / joint)


TWINS = {"mmc": mmc, "label_cardinality": label_cardinality, "cvirs": cvirs}


@pytest.mark.parametrize("name", TWINS)
@pytest.mark.parametrize("seed", range(4))
def test_scores_are_those_of_the_paper(name: str, seed: int) -> None:
    pool = pool_of(seed)
    strategy = QueryStrategy.from_params(name).for_task(label_task("multi_label"))
    scores = strategy.score(pool)
    assert scores is not None and scores.dtype == np.float32
    assert scores == pytest.approx(TWINS[name](pool), rel=1e-5)
    backwards = pool.take(np.arange(N)[::-1].copy())
    assert strategy.score(backwards) == pytest.approx(scores[::-1])


@pytest.mark.parametrize("name", TWINS)
def test_without_labels_scores_are_finite(name: str) -> None:
    strategy = QueryStrategy.from_params(name)
    logits = np.zeros((3, C), np.float32)
    for pool in (Pool(["a"], label_logits=logits[:1]), Pool(["a", "b", "c"], label_logits=logits)):
        assert np.isfinite(strategy.score(pool)).all()
        assert len(strategy.select(pool, 1).ids) == 1


def test_equal_vectors_have_no_distance_and_opposite_ones_all() -> None:
    some = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0]], bool)
    found = entropy_distances(some, some)
    assert found.diagonal() == pytest.approx(0, abs=1e-12)
    assert np.diag(entropy_distances(some, ~some)) == pytest.approx(1)


def test_they_are_refused_for_one_class_per_image() -> None:
    from allencv_al.common.errors import ConfigurationError

    with pytest.raises(ConfigurationError, match='"mmc" reads label_logits'):
        QueryStrategy.from_params("mmc").for_task(label_task())
