"""Bent images and labels."""

from __future__ import annotations

import numpy as np

from allencv_al.data.instance import Sample
from allencv_al.data.transforms import ImageTransform


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
