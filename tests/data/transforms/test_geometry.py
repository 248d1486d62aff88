"""Pictures and labels against truth written by hand."""

from __future__ import annotations

import collections
from typing import Any

import numpy as np
import pytest

from allencv_al.common.errors import ConfigurationError, DataError
from allencv_al.data.sample import Sample
from allencv_al.data.transforms import ImageTransform

# 4 rows of 6 pixels, each one of a kind.
NUMBERS = np.arange(24, dtype=np.uint8).reshape(4, 6)


def sample(boxes: list[list[float]], points: list[list[float]]) -> Sample:
    return Sample(
        image=np.stack([NUMBERS * 10] * 3, axis=2),
        mask=NUMBERS.copy(),
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        box_labels=[f"box {index}" for index in range(len(boxes))],
        keypoints=np.array(points, np.float32).reshape(-1, 2),
    )


def applied(given: Sample, name: str, **arguments: Any) -> Sample:
    transform = ImageTransform.from_params({"type": name, "p": 1, **arguments})
    return transform.apply(given, np.random.default_rng(0))


def check(
    result: Sample,
    numbers: np.ndarray,
    boxes: list[list[float]],
    points: list[list[float]],
    labels: list[str] | None = None,
) -> None:
    assert result.mask is not None
    assert result.boxes is not None
    assert result.keypoints is not None
    assert result.mask.tolist() == numbers.tolist()
    assert np.array_equal(result.image, np.stack([numbers * 10] * 3, axis=2))
    assert np.allclose(result.boxes, np.reshape(boxes, (-1, 4)), atol=1e-4)
    assert np.allclose(result.keypoints, np.reshape(points, (-1, 2)), atol=1e-4)
    assert result.box_labels == (labels or [f"box {index}" for index in range(len(boxes))])


# A box's coordinates run along the edges of pixels (0 to 6 is the whole width); a point's are
# columns and rows of pixels (0 is the first, 5 the last).


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


def square() -> Sample:
    numbers = np.arange(16, dtype=np.uint8).reshape(4, 4)
    return Sample(
        image=np.stack([numbers * 10] * 3, axis=2),
        mask=numbers,
        boxes=np.array([[1, 0, 2, 3]], np.float32),
        box_labels=["box 0"],
        keypoints=np.array([[0, 0], [3, 1]], np.float32),
    )


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
        [[0, 0], [15, 6]],
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
    check(result, NUMBERS.repeat(2, axis=0).repeat(2, axis=1), [[2, 0, 6, 4]], [[10, 6]])


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


def test_elastic_transform_maps_three_points_by_at_most_alpha_affine() -> None:
    import cv2

    y, x = np.mgrid[0:60, 0:80]
    image = np.stack([3 * x, 4 * y, x + y], axis=2).astype(np.uint8)
    transform = ImageTransform.from_params(
        {
            "type": "elastic_transform",
            "alpha": 0,
            "alpha_affine": 6,
            "border_mode": "constant",
            "p": 1,
        }
    )
    # As in 2019: three points about the middle, a third of the shorter side away from it.
    three = np.array([[60, 50], [60, 10], [20, 10]], np.float32)
    moves = []
    for seed in range(40):
        given = Sample(image, keypoints=three)
        result = transform.apply(given, np.random.default_rng(seed))
        assert result.keypoints is not None
        moves.append(result.keypoints - three)
        matrix = cv2.getAffineTransform(three, result.keypoints)
        expected = cv2.warpAffine(image, matrix, (80, 60)).astype(int)
        assert np.abs(expected - result.image).mean() < 3
    assert 5 < np.abs(moves).max() < 6.5
    assert np.abs(np.mean(moves)) < 1


def test_a_point_that_a_distortion_moves_is_found_to_a_pixel() -> None:
    transform = ImageTransform.from_params(
        {
            "type": "elastic_transform",
            "alpha": 60,
            "sigma": 8,
            "alpha_affine": 5,
            "border_mode": "constant",
            "p": 1,
        }
    )
    points = np.array([[20, 20], [50, 45], [70, 10]], np.float32)
    for seed in range(10):
        image = np.zeros((60, 80, 3), np.uint8)
        for index, (x, y) in enumerate(points.astype(int)):
            image[y - 2 : y + 3, x - 2 : x + 3, index] = 255
        result = transform.apply(Sample(image, keypoints=points), np.random.default_rng(seed))
        assert result.keypoints is not None
        for index, (x, y) in enumerate(result.keypoints):
            weights = result.image[:, :, index].astype(float)
            if weights[0].any() or weights[-1].any() or weights[:, [0, -1]].any():
                continue  # at the border a part of the mark is missing, or mirrored
            if not weights.any():
                assert not (0 <= x < 80 and 0 <= y < 60)
                continue
            rows, columns = np.indices(weights.shape)
            assert abs((columns * weights).sum() / weights.sum() - x) < 1
            assert abs((rows * weights).sum() / weights.sum() - y) < 1
