from __future__ import annotations

import pickle

import albumentations
import numpy as np
import pytest
import torch
from fixtures.normalized_batches import batch_of, channels_last, pictures

from allencv_al.data.transforms import ImageTransform, Normalization

SETTINGS = [
    ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 255.0),
    ((0.5, 0.4, 0.3), (0.1, 0.9, 1.0), 255.0),
    ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 1.0),
]


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
