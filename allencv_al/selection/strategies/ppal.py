"""PPAL: uncertain images of detectors whose objects are unlike each other."""

from __future__ import annotations

import math
from typing import Annotated, Any

import numpy as np
from annotated_types import Gt
from numpy.typing import NDArray
from overrides import overrides

from allencv_al.selection.pool.unlabeled_pool import Pool
from allencv_al.selection.selection import Picks
from allencv_al.selection.strategies.base import (
    PositiveFloat,
    PositiveInt,
    QueryStrategy,
    highest,
)
from allencv_al.tasks.score_axes import OBJECT_NUMBERS

_CLASS, _SCORE, _ENTROPY = range(len(OBJECT_NUMBERS))
_MOST_ROUNDS = 100  # of moving the medoids; they settle within ten
# Sums in another order differ in their last digits, and must not change a pick
_DIGITS = 6

_Floats = NDArray[np.float64]


@QueryStrategy.register("ppal")
class PlugAndPlay(QueryStrategy):
    """Takes uncertain images, classes that are hard count more, and of these the most diverse.

    The uncertainty of an image is the sum of the entropies of its objects, each times
    1 + alpha * beta * ln(gamma * d + 1), with gamma = e^(1 / alpha) - 1 and d the difficulty of its
    class. Of the most uncertain images k-medoids picks those that stand for the others. The
    likeness of two images is the mean, weighted by score, of the cosine of each object with the
    object of its class in the other image that is most like it, 0 where there is none; the mean of
    both directions.
    Yang, Huang & Crowley, "Plug and play active learning for object detection", CVPR 2024. There
    the difficulty comes from scores and overlaps during the training; here it is 1 minus the mean
    score of the class in the pool, so that any trained detector will do.

    Args:
        candidates_per_pick: Number of the most uncertain images for each pick; the paper's delta.
        alpha: Curvature: a small one lets the weight of a class grow early with its difficulty.
        beta: Largest growth of the weight, as a share of it.
        memory_budget_mb: Memory for a block of intermediate results, in MiB; the result is the same
            for every value.
    """

    needs = frozenset({"objects"})

    def __init__(
        self,
        candidates_per_pick: PositiveInt = 4,
        alpha: Annotated[float, Gt(0.01)] = 0.3,
        beta: PositiveFloat = 0.2,
        memory_budget_mb: PositiveFloat = 512.0,
    ) -> None:
        super().__init__(memory_budget_mb)
        self.candidates_per_pick = candidates_per_pick
        self.alpha = alpha
        self.beta = beta

    @overrides
    def _pick(self, pool: Pool, count: int, seed: int) -> Picks:
        scores = self._uncertainty(pool)
        # The most uncertain first, ties by their ids: from here no order of the pool is left
        candidates = highest(scores, min(count * self.candidates_per_pick, len(pool)), pool, seed)
        assert pool.objects is not None
        medoids, sizes = _medoids(_likeness(np.asarray(pool.objects[candidates])), count)
        picks = candidates[medoids]
        reasons = tuple({"stands_for": size} for size in sizes)
        return Picks(picks, scores[picks], reasons)

    def _uncertainty(self, pool: Pool) -> NDArray[np.float32]:
        objects = pool.objects
        assert objects is not None
        weights = self._weights(pool)
        scores = np.zeros(len(objects), np.float32)
        for rows in self._blocks(pool):
            block = np.asarray(objects[rows, :, : len(OBJECT_NUMBERS)], np.float64)
            classes = block[:, :, _CLASS].astype(np.int64)
            of_objects = np.where(classes >= 0, block[:, :, _ENTROPY] * weights[classes], 0.0)
            scores[rows] = of_objects.sum(axis=1).round(_DIGITS)
        return scores

    def _weights(self, pool: Pool) -> _Floats:
        """Return the weight of each class; the last, of no object, is not read."""
        objects = pool.objects
        assert objects is not None
        totals, counts = np.zeros(1), np.zeros(1)
        for rows in self._blocks(pool):
            block = np.asarray(objects[rows, :, : len(OBJECT_NUMBERS)], np.float64)
            classes = block[:, :, _CLASS].astype(np.int64).ravel()
            of_objects = classes >= 0
            size = max(len(totals), int(classes.max(initial=0)) + 1)
            totals, counts = (np.pad(one, (0, size - len(one))) for one in (totals, counts))
            found = classes[of_objects]
            values = block[:, :, _SCORE].ravel()[of_objects]
            totals += np.bincount(found, values, size)
            counts += np.bincount(found, minlength=size)
        means = (totals / np.maximum(counts, 1)).round(_DIGITS)
        difficulty = np.clip(1 - means, 0, 1)
        growth = np.log1p(math.expm1(1 / self.alpha) * difficulty)
        weights: _Floats = 1 + self.alpha * self.beta * growth
        return np.append(weights, 1.0)

    def _blocks(self, pool: Pool) -> Any:
        assert pool.objects is not None
        return self.blocks(len(pool), pool.objects.shape[1] * len(OBJECT_NUMBERS) * 32)


def _likeness(objects: NDArray[np.floating[Any]]) -> _Floats:
    """Return how alike the objects of images are, `[K, K]`, 1 for an image with itself.

    Args:
        objects: The objects of K images, `[K, M, 3 + D]`.
    """
    objects = objects.astype(np.float64)
    count, most = objects.shape[:2]
    classes, scores = objects[:, :, _CLASS], objects[:, :, _SCORE]
    is_object = classes >= 0
    features = objects[:, :, len(OBJECT_NUMBERS) :].reshape(count * most, -1)
    one_way = np.zeros((count, count))
    # An image at a time: products are then the same however much memory there is
    for place in range(count):
        own = np.flatnonzero(is_object[place])
        if not len(own):
            one_way[place] = ~is_object.any(axis=1)
            continue
        cosines = (objects[place, own, len(OBJECT_NUMBERS) :] @ features.T).reshape(-1, count, most)
        same = classes[place, own][:, None, None] == classes[None]
        # At most 1, also by rounding: a distance is never negative
        nearest = np.where(same & is_object, cosines, 0.0).max(axis=2).clip(max=1)
        shares = scores[place, own]
        one_way[place] = shares @ nearest / shares.sum()
    return ((one_way + one_way.T) / 2).round(_DIGITS)


def _medoids(likeness: _Floats, count: int) -> tuple[NDArray[np.int64], list[int]]:
    """Return the positions of `count` medoids, in rising order, and the size of each cluster.

    Args:
        likeness: Of all pairs, `[K, K]`, K at least `count`.
        count: Number of medoids.
    """
    distances = 1 - likeness
    np.fill_diagonal(distances, 0.0)
    # Farthest first from the most uncertain image; ties go to the more uncertain one
    chosen = [0]
    nearest = distances[0].copy()
    while len(chosen) < count:
        nearest[chosen] = -np.inf
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, distances[chosen[-1]])
    medoids = np.array(chosen, np.int64)
    for _ in range(_MOST_ROUNDS):
        owners = _owners(distances, medoids)
        moved = medoids.copy()
        for number in range(count):
            members = np.flatnonzero(owners == number)
            costs = distances[np.ix_(members, members)].sum(axis=1).round(_DIGITS)
            moved[number] = members[costs.argmin()]
        if (moved == medoids).all():
            break
        medoids = moved
    owners = _owners(distances, medoids)
    order = np.argsort(medoids)
    sizes = np.bincount(owners, minlength=count)[order]
    return medoids[order], sizes.tolist()


def _owners(distances: _Floats, medoids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number of the nearest medoid of each image; a medoid owns itself."""
    owners: NDArray[np.int64] = distances[:, medoids].argmin(axis=1)
    owners[medoids] = np.arange(len(medoids))
    return owners
