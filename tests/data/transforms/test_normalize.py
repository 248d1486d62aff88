"""The transforms `normalize` and `bgr_normalize`."""

from __future__ import annotations

import albumentations
import numpy as np
import pytest
from fixtures.normalized_batches import batch_of, channels_last, pictures

from allencv_al.data.instance import Sample
from allencv_al.data.transforms import ImageTransform
from allencv_al.data.transforms.normalize import BgrNormalize, Normalize

SETTINGS = [
    ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 255.0),
    ((0.5, 0.4, 0.3), (0.1, 0.9, 1.0), 255.0),
    ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 1.0),
]


@pytest.mark.parametrize(("mean", "std", "white"), SETTINGS)
def test_one_picture_is_normalized_as_albumentations_does(
    mean: tuple[float, float, float], std: tuple[float, float, float], white: float
) -> None:
    image = pictures()[0]
    result = Normalize(mean, std, white)(image)
    assert result.dtype == np.float32
    expected = albumentations.Normalize(mean=mean, std=std, max_pixel_value=white)(image=image)
    assert np.allclose(result, expected["image"], rtol=1e-6, atol=1e-6)


def test_bgr_normalize_reverses_the_channels_and_keeps_0_to_255() -> None:
    image = np.array([[[10, 20, 30]]], np.uint8)
    expected = [30 - 102.98, 20 - 115.95, 10 - 122.77]
    assert np.allclose(BgrNormalize()(image)[0, 0], expected, atol=1e-4)
    in_unit = image.astype(np.float32) / 255
    assert np.allclose(BgrNormalize()(in_unit)[0, 0], expected, atol=1e-4)
    deferred = BgrNormalize().as_normalization()(batch_of(image[None]))
    assert np.allclose(channels_last(deferred)[0, 0, 0], expected, atol=1e-4)


@pytest.mark.parametrize("name", ["normalize", "bgr_normalize"])
def test_masks_are_not_touched(name: str) -> None:
    sample = Sample(pictures()[0], mask=np.arange(600, dtype=np.uint8).reshape(20, 30))
    result = ImageTransform.from_params(name).apply(sample, np.random.default_rng(0))
    assert result.mask is sample.mask
