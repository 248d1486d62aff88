"""Turned and shifted images and labels, against truth written by hand."""

from __future__ import annotations

import numpy as np
import pytest
from fixtures.numbered_samples import NUMBERS, applied, check, sample, square


@pytest.mark.parametrize(
    ("degrees", "boxes", "points"),
    [
        (90, [[0, 2, 3, 3]], [[0, 3], [1, 0]]),
        (-90, [[1, 1, 4, 2]], [[3, 0], [2, 3]]),
        (180, [[2, 1, 3, 4]], [[3, 3], [0, 2]]),
    ],
)
def test_rotate_by_quarters(
    degrees: int, boxes: list[list[float]], points: list[list[float]]
) -> None:
    result = applied(square(), "rotate", limit=[degrees, degrees], interpolation="nearest")
    turned = np.rot90(np.arange(16, dtype=np.uint8).reshape(4, 4), degrees // 90)
    check(result, turned, boxes, points)


def test_affine_by_whole_pixels() -> None:
    result = applied(
        sample([[4, 0, 6, 2], [1, 0, 3, 2]], [[0, 0], [5, 3]]), "affine", translate_px=[2, 2]
    )
    shifted = np.zeros_like(NUMBERS)
    shifted[2:, 2:] = NUMBERS[:2, :4]
    # The first box leaves the picture on the right, the second point is kept outside of it.
    check(result, shifted, [[3, 2, 5, 4]], [[2, 2], [7, 5]], ["box 1"])


def test_affine_to_twice_the_size_about_the_middle() -> None:
    result = applied(square(), "affine", scale=2.0, interpolation="nearest")
    assert result.boxes is not None
    assert np.allclose(result.boxes, [[0, 0, 2, 4]], atol=1e-4)
    assert result.keypoints is not None
    assert np.allclose(result.keypoints, [[-1.5, -1.5], [4.5, 0.5]], atol=1e-4)
