"""Rows in canonical order, their distances and their clusters."""

from __future__ import annotations

import numpy as np

from allencv_al.selection.pool.unlabeled_pool import Pool
from allencv_al.selection.strategies.shared.canonical_rows import (
    CanonicalRows,
    assign,
    assign_all,
    fit_centroids,
    squared_distances,
)


def make_pool(order: np.ndarray, rows: np.ndarray, labeled: np.ndarray | None = None) -> Pool:
    return Pool([str(i) for i in order], embeddings=rows[order], labeled_embeddings=labeled)


def test_rows_do_not_depend_on_the_order_of_the_pool() -> None:
    generator = np.random.default_rng(0)
    rows = generator.normal(100, 1, (1500, 3)).astype(np.float32)
    one = CanonicalRows(make_pool(np.arange(1500), rows), seed=5)
    other = CanonicalRows(make_pool(generator.permutation(1500), rows), seed=5)
    for (start, block), (other_start, other_block) in zip(
        one.blocks(), other.blocks(), strict=True
    ):
        assert start == other_start and np.array_equal(block, other_block)
    assert np.array_equal(one.take(np.array([3, 0])), one.take(slice(None))[[3, 0]])
    assert np.abs(one.take(slice(None)).mean(axis=0)).max() < 1e-4, "centered"


def test_squared_distances_are_those_of_a_plain_loop() -> None:
    generator = np.random.default_rng(1)
    rows, others = generator.normal(size=(5, 3)), generator.normal(size=(4, 3))
    expected = [[((a - b) ** 2).sum() for b in others] for a in rows]
    np.testing.assert_allclose(squared_distances(rows, others), expected, atol=1e-12)
    squares = (others**2).sum(axis=1)
    np.testing.assert_allclose(squared_distances(rows, others, squares), expected, atol=1e-12)


def test_clusters_far_apart_have_their_means_as_centroids() -> None:
    generator = np.random.default_rng(2)
    centers = np.array([[0, 0], [50, 0], [0, 50]], np.float32)
    points = np.repeat(centers, 20, axis=0) + generator.normal(size=(60, 2)).astype(np.float32)
    labeled = centers[[1, 2]]
    rows = CanonicalRows(make_pool(np.arange(60), points, labeled), seed=1)
    centroids = fit_centroids(rows, 3, seed=0)
    in_order = points[rows.order] - points.mean(axis=0)
    clusters, labeled_clusters = assign_all(rows, centroids)
    for cluster in range(3):
        mean = in_order[clusters == cluster].mean(axis=0)
        np.testing.assert_allclose(centroids[cluster], mean, atol=1e-3)
    assert sorted(np.bincount(clusters)) == [20, 20, 20]
    of_points = {
        int(place): int(cluster) for place, cluster in zip(rows.order, clusters, strict=True)
    }
    assert labeled_clusters.tolist() == [of_points[20], of_points[40]]
    nearest, distances = assign(rows.take(slice(0, 5)), centroids)
    assert np.array_equal(nearest, clusters[:5]) and distances.shape == (5, 3)


def test_there_are_no_more_centroids_than_rows() -> None:
    rows = CanonicalRows(make_pool(np.arange(3), np.eye(3, dtype=np.float32)), seed=0)
    assert len(fit_centroids(rows, 10, seed=0)) == 3
