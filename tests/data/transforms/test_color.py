"""Changes of color."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

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
