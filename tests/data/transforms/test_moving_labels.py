"""Painted blocks, their masks, boxes, names and keypoints stay together under all transforms."""

from __future__ import annotations

import numpy as np
import pytest
from fixtures.transform_samples import MOVING as ALL_MOVING
from fixtures.transform_samples import built

from allencv_al.data.instance import Sample
from allencv_al.data.transforms import ImageTransform
from allencv_al.data.transforms.albumentations_adapter import AlbumentationsTransform
from allencv_al.data.transforms.augment_policies import apply_operation
from allencv_al.data.transforms.cropping import CenterCrop

LABELS = ["one", "two", "three"]
DOT = 10  # added to the mask of a block in the 3x3 pixels around its keypoint
MOVING = [name for name in ALL_MOVING if not name.endswith("augment")]  # those change colors, too
# A box that they turn is bound by the corners, or by the pixels, of what it was
BENDING = {"rotate", "affine", "elastic_transform", "grid_distortion"}


def blocks(generator: np.random.Generator) -> Sample:
    """Return an image with three blocks side by side, and all labels that mark them."""
    height, width = (int(side) for side in generator.integers(50, 110, 2))
    image, mask = np.full((height, width, 3), 20, np.uint8), np.zeros((height, width), np.uint8)
    boxes, points = [], []
    for number in range(len(LABELS)):
        left = number * width // 3 + int(generator.integers(0, 4))
        top = int(generator.integers(0, height - 25))
        right = min(left + int(generator.integers(9, 15)), (number + 1) * width // 3)
        bottom = top + int(generator.integers(9, 24))
        image[top:bottom, left:right] = 220
        mask[top:bottom, left:right] = number + 1
        x, y = (left + right) // 2, (top + bottom) // 2
        mask[y - 1 : y + 2, x - 1 : x + 2] = number + 1 + DOT
        boxes.append((left, top, right, bottom))
        points.append([(x, y, 2)])
    return Sample(
        image, mask, np.array(boxes, np.float32), list(LABELS), np.array(points, np.float32)
    )


def transform(name: str) -> ImageTransform:
    padded = {"pad_if_needed": True} if name in ("center_crop", "random_crop") else {}
    return built(name, p=1, **padded)


def growth(before: Sample, after: Sample) -> float:
    """Return how many pixels a pixel becomes at most."""
    sides = zip(after.image.shape[:2], before.image.shape[:2], strict=True)
    return max(1.3, *(new / old for new, old in sides))


def check_together(sample: Sample, slack: float, is_tight: bool) -> None:
    """Compare labels with pixels; the mask is the witness for boxes and points.

    Args:
        sample: What came out.
        slack: Pixels that the edges may differ by.
        is_tight: Whether a box is no larger than its block.
    """
    image, mask, boxes, points = sample.image, sample.mask, sample.boxes, sample.keypoints
    assert mask is not None and boxes is not None and points is not None
    assert mask.shape == image.shape[:2] and len(boxes) == len(points)
    assert sample.box_labels is not None and len(sample.box_labels) == len(boxes)
    assert set(np.unique(mask)) <= {0, 1, 2, 3, 11, 12, 13}
    assert (boxes >= 0).all() and (boxes <= [*mask.shape[::-1], *mask.shape[::-1]]).all()
    found = dict(zip(sample.box_labels, zip(boxes, points, strict=True), strict=True))
    outline = 0.0
    for number, name in enumerate(LABELS, start=1):
        rows, columns = np.nonzero((mask == number) | (mask == number + DOT))
        outline += 4 * np.sqrt(len(rows))
        if name not in found or not len(rows):
            continue
        box, ((x, y, visibility),) = found[name]
        bounds = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        outwards = (bounds - box) * [-1, -1, 1, 1]  # how far the block sticks out of its box
        assert outwards.max() <= slack, (name, box, bounds)
        if is_tight:
            assert -outwards.min() <= slack, (name, box, bounds)
        rows, columns = np.nonzero(mask == number + DOT)
        on_border = set(rows) & {0, mask.shape[0] - 1} or set(columns) & {0, mask.shape[1] - 1}
        if len(rows) and not on_border:
            assert visibility == 2
            assert abs(x - columns.mean()) <= slack and abs(y - rows.mean()) <= slack
    differing = np.count_nonzero((image[:, :, 0] > 120) != (mask > 0))
    assert differing <= slack * outline


@pytest.mark.parametrize("name", MOVING)
def test_each_transform_keeps_them_together(name: str) -> None:
    moving = transform(name)
    for seed in range(20):
        sample = blocks(np.random.default_rng(seed))
        result = moving.apply(sample, np.random.default_rng(seed))
        # Half a pixel is what rounding to pixels costs
        scaled = isinstance(moving, AlbumentationsTransform) and moving.scales_pixels
        slack = 0.51 if scaled else 1.5 if name in BENDING else 0.01
        check_together(result, slack, is_tight=name not in BENDING)


@pytest.mark.parametrize("name", ["shear_x", "shear_y", "translate_x", "translate_y", "rotate"])
def test_the_moves_of_the_policies_keep_them_together(name: str) -> None:
    for seed in range(20):
        generator = np.random.default_rng(seed)
        limit = {"shear_x": 0.5, "shear_y": 0.5, "rotate": 100}.get(name, 30)
        result = apply_operation(name, generator.uniform(-limit, limit), blocks(generator))
        check_together(result, 0.01 if name.startswith("tr") else 1.5, name.startswith("tr"))


@pytest.mark.parametrize("seed", range(40))
def test_chains_of_transforms_keep_them_together(seed: int) -> None:
    generator = np.random.default_rng(seed)
    sample, slack, names = blocks(generator), 0.01, []
    for name in generator.choice(MOVING, size=generator.integers(2, 5)):
        moved = transform(name).apply(sample, generator)
        # What an earlier step rounded, a later one enlarges
        slack = slack * growth(sample, moved) + (1.5 if name in BENDING else 0.51)
        sample = moved
        names.append(name)
    check_together(sample, slack, is_tight=not BENDING & set(names))


def two_blocks(share_inside: float) -> Sample:
    """Return an image of 40x20, whose middle is 20x20, with a box in it and one at its edge."""
    left = 30 - 10 * share_inside
    return Sample(
        image=np.zeros((20, 40, 3), np.uint8),
        boxes=np.array([[12, 4, 18, 10], [left, 5, left + 10, 15]], np.float32),
        box_labels=["in", "cut"],
        keypoints=np.array([[[15, 7, 1]], [[34, 9, 2]]], np.float32),
    )


def test_a_box_is_cut_at_the_border_and_a_point_outside_is_absent() -> None:
    result = CenterCrop(20, 20).apply(two_blocks(0.11), np.random.default_rng(0))
    assert result.boxes is not None and result.keypoints is not None
    assert result.boxes == pytest.approx(np.array([[2, 4, 8, 10], [18.9, 5, 20, 15]]))
    assert result.box_labels == ["in", "cut"]
    assert result.keypoints.tolist() == [[[5, 7, 1]], [[0, 0, 0]]]


def test_a_box_with_less_than_a_tenth_inside_goes_with_its_name_and_points() -> None:
    result = CenterCrop(20, 20).apply(two_blocks(0.09), np.random.default_rng(0))
    assert result.boxes is not None and result.keypoints is not None
    assert result.boxes == pytest.approx(np.array([[2, 4, 8, 10]]))
    assert result.box_labels == ["in"]
    assert result.keypoints.tolist() == [[[5, 7, 1]]]


def test_points_without_visibility_are_kept_outside() -> None:
    sample = two_blocks(0.09)
    sample.boxes = sample.box_labels = None
    sample.keypoints = np.array([[15, 7], [34, 9]], np.float32)
    result = CenterCrop(20, 20).apply(sample, np.random.default_rng(0))
    assert result.keypoints is not None
    assert result.keypoints.tolist() == [[5, 7], [24, 9]]


def test_a_small_box_survives_shrinking() -> None:
    """Only the border takes boxes away: else a resize would change what a test counts."""
    sample = two_blocks(0.5)
    sample.boxes = np.array([[3, 3, 4, 4], [20, 10, 21, 12]], np.float32)
    result = built("resize", height=5, width=10, p=1).apply(sample, np.random.default_rng(0))
    assert result.boxes is not None and result.box_labels == ["in", "cut"]
    assert result.boxes.tolist() == [[0.75, 0.75, 1, 1], [5, 2.5, 5.25, 3]]


def test_the_mark_of_an_ignored_box_goes_with_it() -> None:
    boxes = np.array([[0, 0, 4, 4], [10, 10, 30, 30], [12, 10, 28, 30]], np.float32)
    sample = Sample(
        np.zeros((40, 40, 3), np.uint8),
        boxes=boxes,
        box_labels=["a", "b", "c"],
        ignored=np.array([0, 2, 1], np.uint8),
    )
    result = CenterCrop(20, 20).apply(sample, np.random.default_rng(0))
    assert result.box_labels == ["b", "c"]
    assert result.ignored is not None and result.ignored.tolist() == [2, 1]
