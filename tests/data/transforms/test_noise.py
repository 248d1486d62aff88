"""Blur, noise and dropout."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from allencv_al.data.instance import Sample
from allencv_al.data.transforms import ImageTransform


def built(name: str, **arguments: Any) -> ImageTransform:
    return ImageTransform.from_params({"type": name, "p": 1, **arguments})


def flat(*color: int, size: int = 64) -> np.ndarray:
    return np.full((size, size, 3), color, np.uint8)


def test_gaussian_blur_is_opencvs_with_its_own_sigma() -> None:
    import cv2

    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    blur = built("gaussian_blur", blur_limit=[5, 5])
    # OpenCV takes 1.1 for 5 pixels, and approximates it with whole numbers for bytes: hence floats.
    expected = cv2.GaussianBlur(image.astype(np.float32), (5, 5), 1.1)
    assert np.abs(blur(image, 0) - expected).max() <= 1


def test_gaussian_blur_draws_each_odd_width() -> None:
    dot = np.zeros((21, 21, 3), np.uint8)
    dot[10, 10] = 255
    blur = built("gaussian_blur", blur_limit=7, sigma_limit=[3, 3])
    widths = {int((blur(dot, seed)[10, :, 0] > 0).sum()) for seed in range(40)}
    assert widths == {3, 5, 7}


def test_gaussian_blur_does_not_clip_normalized_pictures() -> None:
    image = np.full((9, 9, 3), -1.5, np.float32)
    image[4, 4] = 2.5
    result = built("gaussian_blur")(image, 0)
    assert result.dtype == np.float32
    assert result[0, 0, 0] == pytest.approx(-1.5)
    assert result.mean() == pytest.approx(image.mean(), abs=1e-4)


@pytest.mark.parametrize(("variance", "mean"), [(25.0, 0.0), (100.0, 12.0)])
def test_gauss_noise_has_its_variance_and_mean(variance: float, mean: float) -> None:
    noise = built("gauss_noise", var_limit=[variance, variance], mean=mean)
    difference = noise(flat(128, 128, 128, size=200), 0).astype(float) - 128
    assert difference.mean() == pytest.approx(mean, abs=0.6)
    assert difference.std() == pytest.approx(variance**0.5, rel=0.05)
    assert np.corrcoef(difference[..., 0].ravel(), difference[..., 1].ravel())[0, 1] < 0.05


def test_coarse_dropout_blots_out_rectangles_of_the_size_asked_for() -> None:
    one = built("coarse_dropout", max_holes=1, max_height=5, max_width=9, fill_value=[7, 8, 9])
    result = one(flat(200, 200, 200), 3)
    rows, columns = np.nonzero(result[:, :, 0] == 7)
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1, len(rows)) == (5, 9, 45)
    assert result[rows[0], columns[0]].tolist() == [7, 8, 9]
    assert (np.delete(result.reshape(-1, 3), rows * 64 + columns, axis=0) == 200).all()


def test_coarse_dropout_draws_number_and_size_between_their_limits() -> None:
    holes = built(
        "coarse_dropout", max_holes=1, min_height=2, max_height=6, min_width=3, max_width=4
    )
    heights, widths = set(), set()
    for seed in range(80):
        rows, columns = np.nonzero(holes(flat(200, 200, 200), seed)[:, :, 0] == 0)
        heights.add(int(np.ptp(rows)) + 1)
        widths.add(int(np.ptp(columns)) + 1)
    assert heights == {2, 3, 4, 5, 6}
    assert widths == {3, 4}


def test_coarse_dropout_can_fill_with_chance_and_leaves_labels() -> None:
    given = Sample(
        flat(200, 200, 200),
        mask=np.ones((64, 64), np.uint8),
        boxes=np.array([[0, 0, 2, 2]], np.float32),
        box_labels=["a"],
        keypoints=np.array([[1, 1]], np.float32),
    )
    everywhere = built("coarse_dropout", max_holes=3, max_height=64, max_width=64)
    result = everywhere.apply(given, np.random.default_rng(0))
    assert not result.image.any()
    assert result.mask is given.mask
    assert result.boxes is given.boxes
    assert result.keypoints is given.keypoints
    noise = built("coarse_dropout", max_height=30, max_width=30, fill_value="random")
    assert len(np.unique(noise(flat(200, 200, 200), 0))) > 50
