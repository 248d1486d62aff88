"""Batches from their slots, here and in threads ahead."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from allencv_al.data.data_loaders.fetch import ItemFetcher, ResidentFetcher
from allencv_al.data.dataset_readers.base import Dataset
from allencv_al.data.instance import Instance
from allencv_al.data.transforms import ImageTransform
from tests.data.data_loaders.conftest import (
    CountingReader,
    MakeLoader,
    contents,
)

MakeDataset = Callable[..., Dataset]


CPU = torch.device("cpu")


@pytest.mark.parametrize("augmentation", [[], [{"type": "normalize"}]])
@pytest.mark.parametrize("labels", ["all", "some", "none"])
def test_untouched_pixels_in_memory_are_taken_out_of_one_array(
    in_memory: MakeDataset, make_loader: MakeLoader, augmentation: list[Any], labels: str
) -> None:
    reader = CountingReader(augmentation=[ImageTransform.from_params(a) for a in augmentation])
    dataset = in_memory(11, reader, labeled=labels == "all")
    if labels == "some":
        dataset = Dataset(reader, [*in_memory(11)[:5], *in_memory(11, labeled=False)[5:]])
    slow = make_loader(dataset)
    assert isinstance(slow._fetch, ItemFetcher)  # its `load` is not the base's: it may do anything

    plain = type(in_memory(1).reader)(reader.augmentation)
    fast = make_loader(Dataset(plain, dataset.instances), num_workers=2)
    assert isinstance(fast._fetch, ResidentFetcher)
    assert contents(fast, 1) == contents(slow, 1)
    assert ("label" in next(fast.batches(0)).tensors) or labels != "all"
    for one, other in zip(fast.batches(0), slow.batches(0), strict=True):
        assert torch.equal(fast.to_device(one, CPU)["image"], slow.to_device(other, CPU)["image"])


@pytest.mark.parametrize("odd", ["size", "gray", "mask", "boxes", "file", "transform"])
def test_anything_else_is_decoded_item_by_item(
    in_memory: MakeDataset, make_loader: MakeLoader, odd: str
) -> None:
    square = np.zeros((4, 4, 3), dtype=np.uint8)
    different = {
        "size": Instance("x", np.zeros((5, 4, 3), dtype=np.uint8)),
        "gray": Instance("x", np.zeros((4, 4), dtype=np.uint8)),
        "mask": Instance("x", square, mask=np.zeros((4, 4), dtype=np.uint8)),
        "boxes": Instance("x", square, boxes=((0, 0, 1, 1),)),
        "file": Instance("x", "x.png"),
        "transform": Instance("x", square),
    }
    augmentation = [{"type": "horizontal_flip"}] if odd == "transform" else []
    reader = type(in_memory(1).reader)([ImageTransform.from_params(a) for a in augmentation])
    loader = make_loader(Dataset(reader, [*in_memory(3), different[odd]]))
    assert isinstance(loader._fetch, ItemFetcher)


def test_the_readers_normalization_is_done_on_the_way_to_the_device(
    on_disk: MakeDataset, make_loader: MakeLoader
) -> None:
    transforms = [{"type": "resize", "height": 3, "width": 2}, {"type": "normalize"}]
    reader = type(on_disk(1).reader)([ImageTransform.from_params(t) for t in transforms])
    batch = next(make_loader(on_disk(3, reader), shuffle=False).batches(0))
    assert batch.tensors["image"].dtype == torch.uint8
    image = make_loader(on_disk(3, reader)).to_device(batch, CPU)["image"]
    assert image.dtype == torch.float32
    assert image.shape == (3, 3, 3, 2)
    mean = torch.tensor([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1)
    torch.testing.assert_close(image, (batch.tensors["image"] / 255 - mean) / std)


def test_no_more_is_decoded_ahead_than_was_asked_for(
    in_memory: MakeDataset, make_loader: MakeLoader
) -> None:
    """Memory stays bounded, however slow the model is."""
    reader = CountingReader()
    loader = make_loader(in_memory(300, reader), prefetch_factor=2)
    batches = loader.batches(0)
    for used in range(1, 4):
        next(batches)
        assert len(reader.loaded) <= 3 * (used + 2)
    batches.close()  # type: ignore[attr-defined]
    assert len(reader.loaded) <= 3 * 5


@pytest.mark.parametrize("source", ["in_memory", "on_disk"])
def test_threads_end_with_the_iteration(
    source: str, request: pytest.FixtureRequest, make_loader: MakeLoader
) -> None:
    before = threading.active_count()
    loader = make_loader(request.getfixturevalue(source)(50))
    batches = loader.batches(0)
    next(batches)
    assert threading.active_count() > before
    del batches
    assert threading.active_count() == before
    list(loader.batches(0))
    assert threading.active_count() == before
