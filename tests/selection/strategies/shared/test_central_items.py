"""The items nearest to the centroids of k-means, as a plain search finds them."""

from __future__ import annotations

import numpy as np
import pytest

from allencv_al.selection.pool.unlabeled_pool import Pool
from allencv_al.selection.strategies.shared.canonical_rows import (
    CanonicalRows,
    assign_all,
    fit_centroids,
)
from allencv_al.selection.strategies.shared.central_items import central_items


def rows_of(points: np.ndarray) -> CanonicalRows:
    ids = [str(place) for place in range(len(points))]
    return CanonicalRows(Pool(ids, embeddings=points.astype(np.float32)), seed=0)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("weighted", [False, True])
def test_each_item_is_the_nearest_free_one_of_its_centroid(seed: int, weighted: bool) -> None:
    generator = np.random.default_rng(seed)
    rows = rows_of(generator.normal(size=(200, 3)))
    weights = generator.uniform(0.1, 9, 200).astype(np.float32) if weighted else None
    found = central_items(rows, 12, seed, weights)
    centroids = fit_centroids(rows, 12, seed, weights)
    clusters, _ = assign_all(rows, centroids)
    totals = np.bincount(clusters, np.ones(200) if weights is None else weights, 12)
    np.testing.assert_allclose(found.weights, np.sort(totals)[::-1], rtol=1e-5)
    assert found.sizes.tolist() == np.bincount(clusters)[found.clusters].tolist()
    points = rows.take(slice(None)).astype(np.float64)
    taken: set[int] = set()
    for position, cluster, distance in zip(
        found.positions.tolist(), found.clusters, found.distances, strict=True
    ):
        distances = np.linalg.norm(points - centroids[cluster], axis=1)
        distances[[*taken]] = np.inf
        assert position == distances.argmin()
        assert distance == pytest.approx(distances.min())
        taken.add(position)


def test_items_are_distinct_where_centroids_coincide() -> None:
    """30 items at one place: more than are kept for each centroid."""
    rows = rows_of(np.concatenate([np.zeros((30, 2)), np.full((3, 2), 9.0)]))
    found = central_items(rows, 25, seed=0)
    assert len(set(found.positions.tolist())) == 25


def test_a_reason_is_the_cluster() -> None:
    points = np.array([[0.0, 0], [0, 1], [0, 2], [50, 0]])
    found = central_items(rows_of(points), 2, seed=0)
    large, small = found.reasons()
    assert (large["cluster_size"], small["cluster_size"]) == (3, 1)
    assert large["distance_to_centroid"] == pytest.approx(0, abs=1e-6)
    assert {large["cluster"], small["cluster"]} == {0, 1}
