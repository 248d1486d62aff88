"""Radius and bandwidth of kernels."""

from __future__ import annotations

import numpy as np
import pytest
from fixtures.coverage_pools import SEED, blobs, distances, make_pool

from allencv_al.selection.strategies.shared.canonical_rows import CanonicalRows
from allencv_al.selection.strategies.shared.kernel_coverage import neighbor_distance, pure_radius


def test_the_radius_keeps_clusters_apart() -> None:
    pool = blobs([100, 100, 100])
    radius = pure_radius(CanonicalRows(pool, SEED), 3, 0.95, SEED)
    apart = distances(pool.embeddings[:100], pool.embeddings[100:]).min(axis=1)
    assert apart.min() <= radius <= apart.max()
    pure = np.array(
        [
            (distances(pool.embeddings[i : i + 1], pool.embeddings)[0] < radius).sum() <= 100
            for i in range(300)
        ]
    )
    assert pure.mean() >= 0.95
    wider = [
        (distances(pool.embeddings[i : i + 1], pool.embeddings)[0] < radius * 1.001).sum() <= 100
        for i in range(300)
    ]
    assert np.mean(wider) < 0.95


def test_more_purity_asks_for_a_smaller_radius() -> None:
    rows = CanonicalRows(make_pool(), SEED)
    radii = [pure_radius(rows, 3, purity, SEED) for purity in (0.5, 0.9, 1.0)]
    assert radii == sorted(radii, reverse=True)
    assert radii[0] > radii[2] > 0


def test_the_bandwidth_is_the_median_distance_to_a_neighbor() -> None:
    pool = make_pool(301)
    expected = np.median(np.sort(distances(pool.embeddings, pool.embeddings), axis=1)[:, 7])
    assert neighbor_distance(CanonicalRows(pool, SEED), 7) == pytest.approx(expected, rel=1e-4)
