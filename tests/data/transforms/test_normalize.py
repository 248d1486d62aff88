"""Normalization: the transform, and its arithmetic on batches."""

from __future__ import annotations

import pickle

import albumentations
import numpy as np
import pytest
import torch
from fixtures.normalized_batches import batch_of, channels_last, pictures

from allencv_al.data.instance import Sample
from allencv_al.data.transforms import ImageTransform, Normalization
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


def exactly(images: np.ndarray, mean: tuple, std: tuple, white: float) -> np.ndarray:
    return (images.astype(np.float64) - np.array(mean) * white) / (np.array(std) * white)


@pytest.mark.parametrize(("mean", "std", "white"), SETTINGS)
def test_a_batch_is_normalized_as_albumentations_does_each_picture(
    mean: tuple[float, float, float], std: tuple[float, float, float], white: float
) -> None:
    images = pictures()
    reference = albumentations.Normalize(mean=mean, std=std, max_pixel_value=white)
    result = Normalization(mean, std, white)(batch_of(images))
    assert result.dtype == torch.float32
    expected = np.stack([reference(image=image)["image"] for image in images])
    assert np.allclose(channels_last(result), expected, rtol=1e-6, atol=1e-6)
    assert np.allclose(channels_last(result), exactly(images, mean, std, white), 1e-6, 1e-6)


def test_the_defaults_are_those_of_imagenet() -> None:
    normalize = ImageTransform.from_params("normalize")
    white = normalize(np.full((2, 2, 3), 255, np.uint8))
    assert np.allclose(white[0, 0], [2.2489, 2.4286, 2.64], atol=1e-4)


def test_a_buffer_is_written_into_and_the_batch_is_left_alone() -> None:
    batch = batch_of(pictures())
    before = batch.clone()
    buffer = torch.empty(batch.shape)
    result = Normalization()(batch, out=buffer)
    assert result is buffer
    assert torch.equal(batch, before)
    assert torch.equal(result, Normalization()(batch))
    floats = batch.float()
    Normalization()(floats)
    assert torch.equal(floats, before.float())


def test_the_memory_format_is_kept() -> None:
    batch = batch_of(pictures()).to(memory_format=torch.channels_last)
    result = Normalization()(batch)
    assert result.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(result, Normalization()(batch.contiguous()))


def test_it_goes_to_a_worker_after_use() -> None:
    normalization = Normalization()
    expected = normalization(batch_of(pictures()))
    sent = pickle.loads(pickle.dumps(normalization))
    assert torch.equal(sent(batch_of(pictures())), expected)
