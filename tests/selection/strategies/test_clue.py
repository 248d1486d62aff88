"""CLUE against hand-made truth."""

from __future__ import annotations

import numpy as np
import pytest

from allencv_al.active_learning import Pool
from allencv_al.selection.strategies.clue import Clue


def blobs(sizes: list[int], logits: list[list[float]]) -> Pool:
    """Far apart Gaussian clusters, their ids `cluster/item`; all of a cluster have its logits."""
    generator = np.random.default_rng(0)
    centers = 100 * np.eye(len(sizes))
    drawn = [generator.normal(centers[c], 1, (n, len(sizes))) for c, n in enumerate(sizes)]
    return Pool(
        [f"{c}/{i}" for c, size in enumerate(sizes) for i in range(size)],
        embeddings=np.concatenate(drawn).astype(np.float32),
        logits=np.repeat(np.array(logits, np.float32), sizes, axis=0),
    )


def test_the_item_nearest_to_the_mean_of_each_cluster_is_picked_the_heaviest_first() -> None:
    pool = blobs([20, 50, 30], [[0, 0, 0], [0, 0, 0], [0, 0, 0]])
    selection = Clue().select(pool, 3)
    assert [id.split("/")[0] for id in selection.ids] == ["1", "2", "0"]
    assert selection.scores == pytest.approx(np.log(3) * np.array([50, 30, 20]), rel=1e-5)
    for id, reason in zip(selection.ids, selection.reasons, strict=True):
        members = [i for i, other in enumerate(pool.ids) if other[0] == id[0]]
        rows = pool.embeddings[members].astype(np.float64)
        distances = np.linalg.norm(rows - rows.mean(axis=0), axis=1)
        assert pool.ids[members[int(distances.argmin())]] == id
        assert reason["distance_to_centroid"] == pytest.approx(distances.min(), rel=1e-3)
        assert reason["cluster_size"] == len(members)


def test_sure_items_hardly_move_a_centroid() -> None:
    """One cluster, half of it sure: the centroid is the mean of the other half."""
    generator = np.random.default_rng(0)
    embeddings = generator.normal(0, 1, (200, 2)).astype(np.float32)
    embeddings[:100, 0] += 4
    logits = np.zeros((200, 3), np.float32)
    logits[:100, 0] = 30
    ids = [str(i) for i in range(200)]
    selection = Clue().select(Pool(ids, embeddings=embeddings, logits=logits), 1)
    distances = np.linalg.norm(embeddings - embeddings[100:].mean(axis=0), axis=1)
    assert selection.ids == (ids[int(distances.argmin())],)


def test_a_lower_temperature_takes_weight_from_sure_items() -> None:
    pool = blobs([60, 10], [[2, 0], [0, 0]])
    assert [id[0] for id in Clue(temperature=1.0).select(pool, 2).ids] == ["0", "1"]
    assert [id[0] for id in Clue(temperature=0.5).select(pool, 2).ids] == ["1", "0"]


def test_centroids_that_coincide_give_distinct_items() -> None:
    """Three distinct places, forty clusters: the nearest items are soon taken."""
    pool = Pool(
        [str(i) for i in range(90)],
        embeddings=np.repeat(np.eye(3, dtype=np.float32), 30, axis=0),
        logits=np.zeros((90, 2), np.float32),
    )
    assert len(set(Clue().select(pool, 40).ids)) == 40


def test_a_model_that_is_sure_of_everything_gives_plain_k_means() -> None:
    pool = blobs([20, 30], [[1000, 0], [1000, 0]])
    assert sorted(id[0] for id in Clue().select(pool, 2).ids) == ["0", "1"]
