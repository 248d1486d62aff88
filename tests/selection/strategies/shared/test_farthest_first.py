"""The farthest item, as a plain loop over all distances finds it."""

from __future__ import annotations

import numpy as np
import pytest

from allencv_al.selection.strategies.shared.farthest_first import Centers, FarthestFirst


@pytest.mark.parametrize("count", [30, 6000])
@pytest.mark.parametrize("step", [7, 5000])
def test_each_pick_is_the_farthest_from_all_centers(count: int, step: int) -> None:
    generator = np.random.default_rng(count)
    rows = generator.normal(size=(count, 3)).astype(np.float32)
    labeled = generator.normal(size=(4, 3)).astype(np.float32)
    search = FarthestFirst(Centers(rows, labeled, np.zeros(3), capacity=20), step)
    wide = rows.astype(np.float64)
    nearest = np.min([((wide - center) ** 2).sum(axis=1) for center in labeled], axis=0)
    for _ in range(20):
        items, distance = search.farthest()
        assert items.tolist() == [int(nearest.argmax())]
        assert distance == pytest.approx(nearest.max(), rel=1e-5)
        search.pick(int(items[0]))
        nearest = np.minimum(nearest, ((wide - wide[items[0]]) ** 2).sum(axis=1))


def test_ties_are_returned_together() -> None:
    corners = np.array([[0, 0], [1, 0], [-1, 0], [0, 0.5]], np.float32)
    search = FarthestFirst(Centers(corners, corners[:1], np.zeros(2), capacity=2), 10)
    items, distance = search.farthest()
    assert items.tolist() == [1, 2] and distance == 1.0


def test_the_nearest_center_of_a_duplicate_has_the_distance_0() -> None:
    rows = np.array([[1, 2], [3, 4], [5, 7]], np.float32)
    centers = Centers(rows, rows[:0], np.zeros(2), capacity=2)
    centers.add(1)
    centers.add(2)
    distances, where = centers.nearest(rows.astype(np.float64), 0, np.array([2, 2, 2]))
    assert distances.tolist() == [8.0, 0.0, 0.0] and where.tolist() == [0, 0, 1]
