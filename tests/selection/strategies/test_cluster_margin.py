"""Cluster-Margin against hand-made truth."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from allencv_al.active_learning import Pool
from allencv_al.selection.strategies.cluster_margin import ClusterMargin

SIZES = (10, 40, 25)


def make_pool() -> Pool:
    """Far apart clusters of 10, 40 and 25 unsure items, and as many sure ones in each."""
    generator = np.random.default_rng(0)
    cluster = np.repeat(np.arange(3), np.array(SIZES) * 2)
    unsure = np.concatenate([np.arange(2 * size) < size for size in SIZES])
    gap = np.where(unsure, generator.uniform(0, 1, 150), generator.uniform(2, 3, 150))
    return Pool(
        [
            f"{c}/{'unsure' if u else 'sure'}/{i}"
            for i, (c, u) in enumerate(zip(cluster, unsure, strict=True))
        ],
        embeddings=(100 * np.eye(3)[cluster] + generator.normal(size=(150, 3))).astype(np.float32),
        logits=np.stack([gap, np.zeros(150)], axis=1).astype(np.float32),
    )


def clusters_of(ids: tuple[str, ...]) -> list[str]:
    return [id[0] for id in ids]


def test_clusters_take_turns_the_one_with_fewest_candidates_first() -> None:
    strategy = ClusterMargin(candidates_per_pick=5, num_clusters=3)
    selection = strategy.select(make_pool(), 15)  # 75 candidates: all unsure items
    assert clusters_of(selection.ids) == ["0", "2", "1"] * 5
    assert all("/unsure/" in id for id in selection.ids)
    assert [r["candidates_in_cluster"] for r in selection.reasons] == [10, 25, 40] * 5


def test_a_cluster_that_is_used_up_is_passed_over() -> None:
    selection = ClusterMargin(candidates_per_pick=1, num_clusters=3).select(make_pool(), 75)
    expected = ["0", "2", "1"] * 10 + ["2", "1"] * 15 + ["1"] * 15
    assert clusters_of(selection.ids) == expected


def test_candidates_are_the_items_of_smallest_margin() -> None:
    pool = make_pool()
    strategy = ClusterMargin(candidates_per_pick=2, num_clusters=3)
    selection = strategy.select(pool, 10)
    smallest = np.argsort(pool.logits[:, 0])[:20]
    assert set(selection.ids) <= {pool.ids[i] for i in smallest}
    for id, score, reason in zip(selection.ids, selection.scores, selection.reasons, strict=True):
        index = pool.ids.index(id)
        assert pool.ids[smallest[reason["margin_rank"]]] == id
        assert score == pytest.approx(1 - np.tanh(pool.logits[index, 0] / 2), rel=1e-5)


def test_within_a_cluster_chance_decides() -> None:
    strategy = ClusterMargin(candidates_per_pick=75, num_clusters=1)
    drawn = Counter(strategy.select(make_pool(), 1, seed).ids[0] for seed in range(40))
    assert len(drawn) > 15


def test_by_default_clusters_are_many_but_capped() -> None:
    selection = ClusterMargin().select(make_pool(), 10)
    assert len({reason["cluster"] for reason in selection.reasons}) == 10
