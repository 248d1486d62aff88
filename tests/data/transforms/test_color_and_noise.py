from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from allencv_al.data.sample import Sample
from allencv_al.data.transforms import ImageTransform


def built(name: str, **arguments: Any) -> ImageTransform:
    return ImageTransform.from_params({"type": name, "p": 1, **arguments})


def flat(*color: int, size: int = 64) -> np.ndarray:
    return np.full((size, size, 3), color, np.uint8)


def test_channel_shuffle_gives_each_order_as_often() -> None:
    shuffle = built("channel_shuffle")
    seen = [tuple(shuffle(flat(1, 2, 3, size=2), seed)[0, 0]) for seed in range(600)]
    orders = set(itertools.permutations((1, 2, 3)))
    assert set(seen) == orders
    assert all(60 <= seen.count(order) <= 140 for order in orders)  # 100 expected, deviation 9.1


def test_channel_shuffle_takes_normalized_pictures_as_the_tutorial_does() -> None:
    image = np.random.default_rng(0).normal(size=(5, 6, 3)).astype(np.float32)
    result = built("channel_shuffle")(image, 1)
    assert result.dtype == np.float32
    assert np.array_equal(np.sort(result, axis=2), np.sort(image, axis=2))


def test_to_gray_weighs_the_channels_as_eyes_do() -> None:
    result = built("to_gray")(flat(200, 100, 50))
    expected = round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)
    assert np.abs(result.astype(int) - expected).max() <= 1


def test_brightness_and_contrast_follow_their_formula() -> None:
    brighter = built("random_brightness_contrast", brightness_limit=[0.1, 0.1], contrast_limit=0)
    assert np.abs(brighter(flat(100, 50, 0)).astype(int)[0, 0] - [125.5, 75.5, 25.5]).max() <= 1
    stronger = built("random_brightness_contrast", brightness_limit=0, contrast_limit=[0.5, 0.5])
    assert np.abs(stronger(flat(100, 50, 200)).astype(int)[0, 0] - [150, 75, 255]).max() <= 1


def test_color_jitter_of_nothing_changes_nothing_and_of_brightness_scales() -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    still = built("color_jitter", brightness=0, contrast=0, saturation=0, hue=0)
    assert np.abs(still(image).astype(int) - image).max() <= 1
    darker = built("color_jitter", brightness=[0.5, 0.5], contrast=0, saturation=0, hue=0)
    assert np.abs(darker(image).astype(int) - image / 2).max() <= 1


def test_hue_saturation_value_shifts_value() -> None:
    shift = built(
        "hue_saturation_value", hue_shift_limit=0, sat_shift_limit=0, val_shift_limit=[20, 20]
    )
    assert np.abs(shift(flat(100, 100, 100)).astype(int) - 120).max() <= 1


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
