"""Choosing by chance."""

from __future__ import annotations

from scipy.stats import chisquare, kstest

from allencv_al.selection.pool.unlabeled_pool import Pool
from allencv_al.selection.strategies.random import RandomStrategy

IDS = [f"{number}" for number in range(12)]


def test_each_item_is_picked_equally_often() -> None:
    counts = dict.fromkeys(IDS, 0)
    for seed in range(1200):
        for id in RandomStrategy().select(Pool(IDS), 3, seed).ids:
            counts[id] += 1
    assert chisquare(list(counts.values())).pvalue > 0.001


def test_an_items_luck_does_not_depend_on_the_others() -> None:
    """So that a pool that grows or shrinks between runs leaves paired runs comparable."""
    whole = RandomStrategy().select(Pool(IDS), 12, 5).ids
    half = RandomStrategy().select(Pool(IDS[:6]), 6, 5).ids
    assert [id for id in whole if id in half] == list(half)


def test_scores_are_uniform() -> None:
    ids = [f"{number}" for number in range(3000)]
    selection = RandomStrategy().select(Pool(ids), 3000, 1)
    assert kstest(selection.scores, "uniform").pvalue > 0.001
