"""Cut and extended images and labels, against truth written by hand."""

from __future__ import annotations

import numpy as np
import pytest
from fixtures.numbered_samples import NUMBERS, applied, check, sample

from allencv_al.common.errors import ConfigurationError, DataError
from allencv_al.data.instance import Sample
from allencv_al.data.transforms import ImageTransform


def test_center_crop() -> None:
    check(
        applied(
            sample([[0, 0, 2, 1], [0, 0, 3, 2], [5, 0, 6, 4]], [[2, 1], [0, 0]]),
            "center_crop",
            height=2,
            width=2,
        ),
        NUMBERS[1:3, 2:4],
        [[0, 0, 1, 1]],  # clipped; the other two lie wholly outside
        [[0, 0], [-2, -1]],  # points keep their count
        ["box 1"],
    )


def test_random_crop_keeps_what_it_cuts_out_together() -> None:
    crop = ImageTransform.from_params({"type": "random_crop", "height": 2, "width": 3})
    places = set()
    for seed in range(40):
        result = crop.apply(sample([[0, 0, 6, 4]], [[2, 1]]), np.random.default_rng(seed))
        assert result.mask is not None
        top, left = divmod(int(result.mask[0, 0]), 6)
        places.add((top, left))
        check(
            result,
            NUMBERS[top : top + 2, left : left + 3],
            [[0, 0, 3, 2]],
            [[2 - left, 1 - top]],
        )
    assert len(places) == 3 * 4  # every place there is


def test_a_crop_can_pad() -> None:
    result = applied(
        sample([[0, 0, 2, 2]], [[0, 0]]),
        "center_crop",
        height=6,
        width=2,
        pad_if_needed=True,
        value=70,
        mask_value=7,
    )
    expected = np.full((6, 2), 7, np.uint8)
    expected[1:5] = NUMBERS[:, 2:4]
    check(result, expected, [], [[-2, 1]], [])


def test_a_crop_larger_than_the_picture_says_what_to_do() -> None:
    with pytest.raises(DataError, match=r"crop of 5x2 .* image of 4x6: set pad_if_needed"):
        applied(sample([], []), "center_crop", height=5, width=2)
    crop = ImageTransform.from_params({"type": "random_crop", "height": 5, "width": 2})
    with pytest.raises(ConfigurationError, match=r"crop of 5x2 .* image of 4x\?"):
        crop.output_size(4, None)


def test_pad_if_needed() -> None:
    result = applied(
        sample([[1, 0, 3, 2]], [[0, 0]]),
        "pad_if_needed",
        min_height=6,
        min_width=8,
        border_mode="constant",
        value=90,
        mask_value=9,
    )
    expected = np.full((6, 8), 9, np.uint8)
    expected[1:5, 1:7] = NUMBERS
    check(result, expected, [[2, 1, 4, 3]], [[1, 1]])
    unchanged = applied(sample([], []), "pad_if_needed", min_height=2, min_width=3)
    check(unchanged, NUMBERS, [], [], [])


def test_random_resized_crop_has_the_areas_and_ratios_asked_for() -> None:
    height, width = 100, 120
    y, x = np.mgrid[0:height, 0:width].astype(np.uint8)
    given = Sample(np.stack([x, y, y], axis=2))
    crop = ImageTransform.from_params(
        {
            "type": "random_resized_crop",
            "height": 50,
            "width": 50,
            "scale": [0.2, 0.5],
            "ratio": [0.5, 2.0],
        }
    )
    areas, ratios = [], []
    for seed in range(200):
        image = crop.apply(given, np.random.default_rng(seed)).image.astype(float)
        # the corners tell which part was cut out
        cut_width = (image[0, -1, 0] - image[0, 0, 0]) * 50 / 49
        cut_height = (image[-1, 0, 1] - image[0, 0, 1]) * 50 / 49
        areas.append(cut_width * cut_height / (height * width))
        ratios.append(cut_width / cut_height)
    assert 0.17 < min(areas) < 0.23
    assert 0.45 < max(areas) < 0.53
    assert 0.45 < min(ratios) < 0.6
    assert 1.7 < max(ratios) < 2.2


@pytest.mark.parametrize("seed", range(30))
def test_a_bbox_safe_crop_loses_no_part_of_any_box(seed: int) -> None:
    generator = np.random.default_rng(seed)
    corners = np.sort(generator.uniform(0, 1, (3, 2, 2)), axis=1) * [80, 60]
    given = Sample(
        image=np.zeros((60, 80, 3), np.uint8),
        mask=np.zeros((60, 80), np.uint8),
        boxes=corners.reshape(3, 4).astype(np.float32),
        box_labels=["a", "b", "c"],
    )
    assert given.mask is not None
    for x_min, y_min, x_max, y_max in corners.reshape(3, 4):
        given.mask[int(y_min) : int(np.ceil(y_max)), int(x_min) : int(np.ceil(x_max))] += 1
    crop = ImageTransform.from_params(
        {"type": "random_bbox_safe_crop", "height": 240, "width": 320}
    )
    result = crop.apply(given, generator)
    assert result.box_labels == ["a", "b", "c"]
    assert result.boxes is not None
    before = given.boxes[:, 2:] - given.boxes[:, :2]  # type: ignore[index]
    after = result.boxes[:, 2:] - result.boxes[:, :2]
    factors = after / before  # the same for all, unless one of them was clipped
    assert np.allclose(factors, factors[0], rtol=1e-3)


def test_a_bbox_safe_crop_with_a_box_at_the_corner_is_no_empty_picture() -> None:
    given = sample([[5.9, 3.9, 6, 4]], [])
    for seed in range(20):
        crop = ImageTransform.from_params(
            {"type": "random_bbox_safe_crop", "height": 5, "width": 5}
        )
        result = crop.apply(given, np.random.default_rng(seed))
        assert result.image.shape == (5, 5, 3)
        assert result.boxes is not None
        assert len(result.boxes) == 1
