"""Scaled images and labels, against truth written by hand."""

from __future__ import annotations

import numpy as np
import pytest
from fixtures.numbered_samples import NUMBERS, applied, check, sample
from fixtures.transform_samples import built, picture

from allencv_al.data.instance import Sample


def test_resize_by_whole_factors() -> None:
    result = applied(
        sample([[1, 0, 3, 2]], [[0, 0], [5, 3]]),
        "resize",
        height=8,
        width=18,
        interpolation="nearest",
    )
    check(
        result,
        NUMBERS.repeat(2, axis=0).repeat(3, axis=1),
        [[3, 0, 9, 4]],
        [[1, 0.5], [16, 6.5]],  # the middles of what the pixels became
    )


def test_resize_mixes_pixels_but_never_classes() -> None:
    result = applied(sample([], []), "resize", height=3, width=4)
    assert result.mask is not None
    assert set(result.mask.ravel()) <= set(range(24))
    assert not set(result.image.ravel()) <= set(range(0, 240, 10))


def test_interpolations_differ_and_area_averages() -> None:
    board = np.indices((8, 8)).sum(0) % 2 * 255
    given = Sample(np.stack([board.astype(np.uint8)] * 3, axis=2))
    results = {
        name: applied(given, "resize", height=2, width=2, interpolation=name).image.tobytes()
        for name in ("nearest", "area", "cubic")
    }
    assert set(results["nearest"]) <= {0, 255}
    assert set(results["area"]) <= {127, 128}


@pytest.mark.parametrize("longer", range(1, 60))
def test_sizes_by_one_side_are_never_a_pixel_short(longer: int) -> None:
    given = Sample(np.zeros((7, 7 + longer, 3), np.uint8))
    shortest = applied(given, "smallest_max_size", max_size=32)
    assert shortest.image.shape[0] == 32
    assert abs(shortest.image.shape[1] - 32 * (7 + longer) / 7) <= 0.5
    longest = applied(given, "longest_max_size", max_size=32)
    assert longest.image.shape[1] == 32
    assert abs(longest.image.shape[0] - max(1, 32 * 7 / (7 + longer))) <= 0.5


def test_smallest_max_size_moves_labels() -> None:
    result = applied(
        sample([[1, 0, 3, 2]], [[5, 3]]),
        "smallest_max_size",
        max_size=8,
        interpolation="nearest",
    )
    check(result, NUMBERS.repeat(2, axis=0).repeat(2, axis=1), [[2, 0, 6, 4]], [[10.5, 6.5]])


@pytest.mark.parametrize(("side", "as_if"), [(20, "area"), (200, "linear")])
@pytest.mark.parametrize("name", ["resize", "smallest_max_size", "longest_max_size"])
def test_smooth_is_area_to_shrink_and_linear_to_enlarge(name: str, side: int, as_if: str) -> None:
    sizes = {"height": side, "width": side} if name == "resize" else {"max_size": side}
    smooth = built(name, **sizes, interpolation="smooth")
    for seed in range(2):  # an image of the other direction in between changes nothing
        plain = built(name, **sizes, interpolation=as_if)
        assert np.array_equal(smooth(picture(), seed), plain(picture(), seed))
        smooth(picture(10, 10) if side == 20 else picture(300, 300), seed)
