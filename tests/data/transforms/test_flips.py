"""Mirrored images and labels, against truth written by hand."""

from __future__ import annotations

import collections

import numpy as np
from fixtures.numbered_samples import NUMBERS, applied, check, sample

from allencv_al.data.transforms import ImageTransform
from allencv_al.data.transforms.flips import HorizontalFlip


def test_horizontal_flip() -> None:
    check(
        applied(sample([[1, 0, 3, 2]], [[0, 0], [4, 3]]), "horizontal_flip"),
        NUMBERS[:, ::-1],
        [[3, 0, 5, 2]],
        [[5, 0], [1, 3]],
    )


def test_vertical_flip() -> None:
    check(
        applied(sample([[1, 0, 3, 2]], [[0, 0], [4, 3]]), "vertical_flip"),
        NUMBERS[::-1],
        [[1, 2, 3, 4]],
        [[0, 3], [4, 0]],
    )


def test_flip_is_one_of_three_a_third_of_the_time_each_and_never_nothing() -> None:
    flip = ImageTransform.from_params({"type": "flip", "p": 1})
    ways = {
        NUMBERS[:, ::-1].tobytes(): ("horizontal", [[3, 0, 5, 2]], [[5, 0]]),
        NUMBERS[::-1].tobytes(): ("vertical", [[1, 2, 3, 4]], [[0, 3]]),
        NUMBERS[::-1, ::-1].tobytes(): ("both", [[3, 2, 5, 4]], [[5, 3]]),
    }
    generator = np.random.default_rng(0)
    counts: collections.Counter[str] = collections.Counter()
    for _ in range(600):
        result = flip.apply(sample([[1, 0, 3, 2]], [[0, 0]]), generator)
        assert result.mask is not None
        way, boxes, points = ways[result.mask.tobytes()]
        check(result, result.mask, boxes, points)  # type: ignore[arg-type]
        counts[way] += 1
    assert all(150 <= count <= 250 for count in counts.values()), counts  # 200, deviation 11.5


def test_flip_fires_half_the_time_by_default() -> None:
    flip = ImageTransform.from_params("flip")
    given = sample([], [])
    generator = np.random.default_rng(1)
    fired = sum(flip.apply(given, generator) is not given for _ in range(600))
    assert 250 <= fired <= 350


def test_the_probability_may_be_given_by_its_place() -> None:
    assert HorizontalFlip(0.25).p == 0.25
