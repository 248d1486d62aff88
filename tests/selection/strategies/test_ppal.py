"""`ppal`, against loops over objects."""

from __future__ import annotations

import math

import numpy as np
import pytest

from allencv_al.selection.pool.unlabeled_pool import Pool
from allencv_al.selection.strategies.ppal import PlugAndPlay, _likeness, _medoids


def scene(seed: int, images: int = 12, most: int = 4, width: int = 3) -> np.ndarray:
    """Return objects of images, of which some have none."""
    generator = np.random.default_rng(seed)
    objects = np.zeros((images, most, 3 + width), np.float32)
    objects[:, :, 0] = -1
    for row in objects:
        for one in row[: generator.integers(0, most + 1)]:
            vector = generator.standard_normal(width)
            score, entropy = generator.uniform(0.05, 1), generator.uniform(0, 2)
            one[:] = [generator.integers(0, 3), score, entropy, *(vector / np.linalg.norm(vector))]
    return objects


def pool_of(objects: np.ndarray) -> Pool:
    return Pool([f"{number}.png" for number in range(len(objects))], objects=objects)


def listed(objects: np.ndarray) -> list[list[np.ndarray]]:
    return [[one.astype(float) for one in row if one[0] >= 0] for row in objects]


def looped_uncertainty(objects: np.ndarray, alpha: float, beta: float) -> list[float]:
    images = listed(objects)
    every = [one for image in images for one in image]
    weight = {}
    for label in {one[0] for one in every}:
        difficulty = 1 - np.mean([one[1] for one in every if one[0] == label])
        gamma = math.exp(1 / alpha) - 1
        weight[label] = 1 + alpha * beta * math.log(gamma * difficulty + 1)
    return [sum(one[2] * weight[one[0]] for one in image) for image in images]


def looped_likeness(objects: np.ndarray) -> np.ndarray:
    images = listed(objects)

    def towards(first: list[np.ndarray], second: list[np.ndarray]) -> float:
        if not first:
            return float(not second)
        found = [
            one[1]
            * max([0.0, *(float(one[3:] @ other[3:]) for other in second if other[0] == one[0])])
            for one in first
        ]
        return sum(found) / sum(one[1] for one in first)

    return np.array([[(towards(a, b) + towards(b, a)) / 2 for b in images] for a in images])


@pytest.mark.parametrize("seed", range(3))
def test_uncertainty_and_likeness_are_those_of_loops(seed: int) -> None:
    objects = scene(seed)
    strategy = PlugAndPlay(alpha=0.4, beta=0.3, memory_budget_mb=1e-6)
    expected = looped_uncertainty(objects, 0.4, 0.3)
    assert strategy._uncertainty(pool_of(objects)) == pytest.approx(expected, abs=1e-5)
    assert _likeness(objects) == pytest.approx(looped_likeness(objects), abs=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_no_medoid_can_be_moved_within_its_cluster(seed: int) -> None:
    likeness = _likeness(scene(seed, images=20))
    medoids, sizes = _medoids(likeness, 4)
    assert len(set(medoids.tolist())) == 4 and sum(sizes) == 20
    owners = [
        int(np.flatnonzero(medoids == place)[0]) if place in medoids else int(row[medoids].argmax())
        for place, row in enumerate(likeness)
    ]
    for number, medoid in enumerate(medoids):
        members = [place for place, owner in enumerate(owners) if owner == number]
        costs = {
            one: sum(1 - likeness[one][other] for other in members if other != one)
            for one in members
        }
        assert costs[int(medoid)] == pytest.approx(min(costs.values()), abs=1e-5)


def test_of_images_that_show_the_same_one_is_taken() -> None:
    """Two groups of copies: the second most uncertain image shows what the first does."""
    first, second = np.array([1.0, 0, 0]), np.array([0, 1.0, 0])
    rows = [[0, 0.5, entropy, *vector] for vector, entropy in
            ((first, 2.0), (first, 1.9), (first, 1.8), (second, 1.0))]  # fmt: skip
    pool = pool_of(np.array(rows, np.float32)[:, None])
    chosen = PlugAndPlay().select(pool, 2)
    assert chosen.ids == ("0.png", "3.png")
    assert [reason["stands_for"] for reason in chosen.reasons] == [3, 1]
    assert PlugAndPlay(candidates_per_pick=1).select(pool, 2).ids == ("0.png", "1.png")


def test_objects_of_a_hard_class_count_more() -> None:
    easy, hard = [[0, 0.95, 1.0, 1, 0]], [[1, 0.10, 1.0, 1, 0]]
    pool = pool_of(np.array([easy, hard], np.float32))
    scores = PlugAndPlay(alpha=0.3, beta=0.2)._uncertainty(pool)
    assert 1 < scores[0] < scores[1] <= 1.2, "the largest growth is beta"


def test_images_without_objects_are_alike_and_come_last() -> None:
    objects = np.full((4, 2, 5), 0, np.float32)
    objects[:, :, 0] = -1
    assert (_likeness(objects) == 1).all()
    objects[2, 0] = [0, 0.5, 0.1, 1, 0]
    chosen = PlugAndPlay().select(pool_of(objects), 2)
    assert chosen.ids[0] == "2.png" and chosen.scores[1] == 0
