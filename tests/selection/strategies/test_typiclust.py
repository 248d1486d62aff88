"""TypiClust and typicality against dense twins and hand-made truth."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from allencv_al.active_learning import Pool
from allencv_al.selection.strategies import typiclust
from allencv_al.selection.strategies.typiclust import ClusterTypicality, TypiClust


def blobs(sizes: list[int], labeled: list[int] | None = None) -> Pool:
    """Far apart Gaussian clusters, their ids `cluster/item`, some of each labeled besides."""
    generator = np.random.default_rng(0)
    centers = 100 * np.eye(len(sizes))

    def rows(counts: list[int]) -> NDArray[np.float32]:
        drawn = [generator.normal(centers[c], 1, (n, len(sizes))) for c, n in enumerate(counts)]
        return np.concatenate(drawn).astype(np.float32)

    return Pool(
        [f"{c}/{i}" for c, size in enumerate(sizes) for i in range(size)],
        embeddings=rows(sizes),
        labeled_embeddings=None if labeled is None else rows(labeled),
    )


def dense_typicality(rows: NDArray, neighbors: int) -> NDArray[np.float64]:
    wide = rows.astype(np.float64)
    distances = np.sqrt(((wide[:, None] - wide[None]) ** 2).sum(axis=2))
    count = max(1, min(neighbors, len(rows) // 2))
    return 1 / (np.sort(distances, axis=1)[:, 1 : count + 1].mean(axis=1) + 1e-5)


@pytest.mark.parametrize("neighbors", [1, 5, 20])
def test_the_most_typical_of_the_remaining_items_comes_first(neighbors: int) -> None:
    rows = np.random.default_rng(0).normal(50, 1, (90, 6)).astype(np.float32)
    cluster = ClusterTypicality(len(rows), rows.__getitem__, neighbors)
    remaining = list(range(90))
    while len(remaining) > 1:
        expected = dense_typicality(rows[remaining], neighbors)
        place, score = cluster.pop()
        assert score == pytest.approx(expected.max(), rel=1e-5)
        assert expected[remaining.index(place)] == pytest.approx(expected.max(), rel=1e-5)
        remaining.remove(place)
        assert len(cluster) == len(remaining)
    assert cluster.pop() == (remaining[0], 0.0)


def test_identical_items_are_as_typical_as_the_paper_lets_them_be() -> None:
    assert ClusterTypicality(9, np.ones((9, 3), np.float32).__getitem__, 20).pop()[
        1
    ] == pytest.approx(1e5)


def test_each_cluster_gives_its_most_typical_item_the_largest_first() -> None:
    pool = blobs([20, 50, 30, 40])
    selection = TypiClust(scaling="none").select(pool, 4)
    assert [id.split("/")[0] for id in selection.ids] == ["1", "3", "2", "0"]
    for id, score, reason in zip(selection.ids, selection.scores, selection.reasons, strict=True):
        members = [i for i, other in enumerate(pool.ids) if other.split("/")[0] == id.split("/")[0]]
        expected = dense_typicality(pool.embeddings[members], 20)
        assert pool.ids[members[int(expected.argmax())]] == id
        assert score == pytest.approx(expected.max(), rel=1e-4)
        assert reason["cluster_size"] == len(members)
        assert reason["labeled_in_cluster"] == 0


def test_clusters_with_fewer_labeled_items_come_first() -> None:
    pool = blobs([20, 50, 30, 40], labeled=[0, 2, 1, 0])
    selection = TypiClust(max_clusters=4).select(pool, 5)
    assert [id.split("/")[0] for id in selection.ids] == ["3", "0", "2", "1", "3"]
    assert [r["labeled_in_cluster"] for r in selection.reasons] == [0, 0, 1, 2, 0]
    assert [r["cluster_size"] for r in selection.reasons] == [40, 20, 31, 52, 40]


def test_small_clusters_come_after_all_others_are_used_up() -> None:
    selection = TypiClust(max_clusters=3, min_cluster_size=5).select(blobs([6, 5, 8]), 19)
    clusters = [id.split("/")[0] for id in selection.ids]
    assert clusters == ["2", "0"] * 6 + ["2"] * 2 + ["1"] * 5


def test_there_are_no_more_clusters_than_the_cap() -> None:
    selection = TypiClust(max_clusters=7).select(blobs([200, 100]), 40)
    assert {reason["cluster"] for reason in selection.reasons} <= set(range(7))


def test_of_a_huge_cluster_a_sample_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typiclust, "_LARGEST_LOOKED_AT", 16)
    selection = TypiClust(max_clusters=2).select(blobs([60, 50]), 110)
    assert len(set(selection.ids)) == 110


def test_clusters_with_the_fewest_labels_come_first_also_where_all_are_small() -> None:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(80, 6)).astype(np.float32)
    pool = Pool(
        [f"{index}.png" for index in range(60)], embeddings=rows[:60], labeled_embeddings=rows[60:]
    )

    def labels(strategy: TypiClust) -> list[int]:
        reasons = strategy.select(pool, 8, 0).reasons
        return [reason["labeled_in_cluster"] for reason in reasons]

    assert labels(TypiClust()) == [0] * 8
    assert labels(TypiClust(min_cluster_size=5)) != [0] * 8, "the paper's limit leaves them out"
