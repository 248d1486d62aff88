"""Samples to tensors, and tensors to the device."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torchvision.transforms.v2.functional import to_dtype, to_image

from allencv_al.common.errors import DataError
from allencv_al.data.batch import Batch, UnreadableImage, collate, label_indices, to_device
from allencv_al.data.instance import Instance, Sample
from allencv_al.data.vocabulary import Vocabulary

CPU = torch.device("cpu")
VOCAB = Vocabulary({"labels": {"cat": 1, "dog": 1}})


def picture(height: int = 4, width: int = 5, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def item(id: str = "a", label: str | None = "cat") -> Instance:
    return Instance(id=id, image="absent.jpg", label=label)


# -- Collation --------------------------------------------------------------------------------


def test_pixels_stay_uint8_with_the_channels_first() -> None:
    pictures = [picture(seed=0), picture(seed=1)]
    batch = collate(
        [item("a", "dog"), item("b", "cat")], [Sample(image) for image in pictures], VOCAB, index=7
    )
    image = batch.tensors["image"]
    assert image.dtype == torch.uint8
    assert image.shape == (2, 3, 4, 5)
    for row, original in zip(image, pictures, strict=True):
        for channel in range(3):
            assert np.array_equal(row[channel].numpy(), original[:, :, channel])
    assert batch.tensors["label"].tolist() == [1, 0]
    assert batch.tensors["label"].dtype == torch.int64
    assert (batch.ids, batch.index, len(batch)) == (["a", "b"], 7, 2)


def test_there_are_labels_only_if_every_item_has_one_and_there_is_a_vocabulary() -> None:
    samples = [Sample(picture()), Sample(picture())]
    assert "label" not in collate([item("a"), item("b", None)], samples, VOCAB).tensors
    assert "label" not in collate([item("a"), item("b")], samples).tensors
    assert label_indices([item("a"), item("b", None)], VOCAB) == [0, -1]


def test_an_unknown_label_names_the_item_and_the_known_labels() -> None:
    with pytest.raises(DataError, match=r'x/1\.jpg.*"dgo".*\(cat, dog\).*did you mean "dog"'):
        collate([item("x/1.jpg", "dgo")], [Sample(picture())], VOCAB)


def test_masks_boxes_and_keypoints() -> None:
    first = Sample(
        picture(),
        mask=np.array([[0, 1, 2, 3, 255]] * 4, dtype=np.uint8),
        boxes=np.array([[0, 1, 2, 3], [1, 1, 2, 2]], dtype=np.float32),
        box_labels=["dog", "cat"],
        keypoints=np.array([[1.5, 2.5]], dtype=np.float32),
    )
    second = Sample(
        picture(),
        mask=np.zeros((4, 5), dtype=np.uint8),
        boxes=np.zeros((0, 4), dtype=np.float32),
        box_labels=[],
        keypoints=np.zeros((0, 2), dtype=np.float32),
    )
    tensors = collate([item("a"), item("b")], [first, second], VOCAB).tensors
    assert tensors["mask"].dtype == torch.int64
    assert tensors["mask"][0, 0].tolist() == [0, 1, 2, 3, 255]
    assert [boxes.shape for boxes in tensors["boxes"]] == [(2, 4), (0, 4)]
    assert tensors["boxes"][0].dtype == torch.float32
    assert [labels.tolist() for labels in tensors["box_labels"]] == [[1, 0], []]
    assert tensors["keypoints"][0].tolist() == [[1.5, 2.5]]
    assert tensors["keypoints"][1].shape == (0, 2)

    bare = Sample(picture())
    assert set(collate([item("a"), item("b")], [first, bare], VOCAB).tensors) == {"image", "label"}


def test_an_unknown_box_label_names_the_item() -> None:
    sample = Sample(picture(), boxes=np.ones((1, 4), dtype=np.float32), box_labels=["cow"])
    with pytest.raises(DataError, match=r'a: the label "cow" is not in namespace'):
        collate([item("a")], [sample], VOCAB)


def test_different_sizes_name_both_items_and_the_cure() -> None:
    samples = [Sample(picture(4, 5)), Sample(picture(4, 5)), Sample(picture(6, 7))]
    with pytest.raises(DataError, match=r"a is 5x4, c is 7x6 pixels.*add a resize or a crop"):
        collate([item("a"), item("b"), item("c")], samples)


def test_different_types_name_both_items() -> None:
    samples = [Sample(picture()), Sample(picture().astype(np.float32))]
    with pytest.raises(DataError, match=r"a is uint8, b is float32.*p: 1"):
        collate([item("a"), item("b")], samples)


def test_a_batch_without_readable_items_is_empty() -> None:
    broken = UnreadableImage("a", "data/a", "it is empty")
    batch = collate([], [], VOCAB, [broken])
    assert (len(batch), batch.tensors, batch.unreadable) == (0, {}, [broken])
    assert str(broken) == "data/a: it is empty"
    assert str(UnreadableImage("a", "<12 bytes>", "it is empty")) == "a (<12 bytes>): it is empty"


# -- Transport --------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [4, 200], ids=["through the pipe", "in shared memory"])
def test_a_batch_survives_pickling(side: int) -> None:
    sample = Sample(
        picture(side, side),
        boxes=np.ones((2, 4), dtype=np.float32),
        mask=np.ones((side, side), dtype=np.uint8),
    )
    batch = collate([item("a")], [sample], VOCAB, [UnreadableImage("b", "b", "why")], index=3)
    back: Batch = pickle.loads(pickle.dumps(batch))
    assert (back.ids, back.index, back.unreadable) == (batch.ids, 3, batch.unreadable)
    assert set(back.tensors) == set(batch.tensors)
    for name in ("image", "mask", "label"):
        assert torch.equal(back.tensors[name], batch.tensors[name])
        assert back.tensors[name].dtype == batch.tensors[name].dtype
    assert torch.equal(back.tensors["boxes"][0], batch.tensors["boxes"][0])
    back.tensors["label"].zero_()  # and it can be written to


# -- To the device ----------------------------------------------------------------------------


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_without_normalization_pixels_become_0_to_1_as_in_torchvision(
    memory_format: torch.memory_format,
) -> None:
    pictures = [picture(seed=0), picture(seed=1)]
    batch = collate([item("a"), item("b")], [Sample(image) for image in pictures], VOCAB)
    tensors = to_device(batch, CPU, memory_format=memory_format)
    expected = torch.stack([to_dtype(to_image(p), torch.float32, scale=True) for p in pictures])
    assert torch.equal(tensors["image"], expected)
    assert tensors["image"].is_contiguous(memory_format=memory_format)
    assert tensors["label"].tolist() == [0, 0]
    assert batch.tensors["image"].dtype == torch.uint8


def test_the_deferred_normalization_takes_the_place_of_the_scaling() -> None:
    batch = collate([item()], [Sample(picture())])
    tensors = to_device(batch, CPU, deferred=lambda image: image.float() - 7)
    assert torch.equal(tensors["image"], batch.tensors["image"].float() - 7)


def test_float_images_are_left_as_they_are() -> None:
    image = picture().astype(np.float32) / 3
    tensors = to_device(collate([item()], [Sample(image)]), CPU)
    assert torch.equal(tensors["image"][0], torch.from_numpy(image).permute(2, 0, 1))


def test_lists_are_moved_item_by_item() -> None:
    sample = Sample(picture(), boxes=np.ones((2, 4), dtype=np.float32))
    tensors = to_device(collate([item()], [sample]), CPU)
    assert [boxes.shape for boxes in tensors["boxes"]] == [(2, 4)]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_pinned_batches_reach_the_gpu_unchanged() -> None:
    batch = collate([item()], [Sample(picture())], VOCAB).pin_memory()
    assert batch.tensors["image"].is_pinned()
    tensors = to_device(batch, torch.device("cuda"))
    assert torch.equal(tensors["image"].cpu(), to_device(batch, CPU)["image"])


def test_keypoints_with_and_without_visibility_keep_their_numbers() -> None:
    places = [np.array([[1, 2], [3, 4], [5, 6]], np.float32), np.array([[7, 8, 0]], np.float32)]
    samples = [Sample(np.zeros((4, 4, 3), np.uint8), keypoints=points) for points in places]
    instances = [Instance(str(i), np.zeros((4, 4, 3), np.uint8)) for i in range(2)]
    first, second = collate(instances, samples, None, [], 0).tensors["keypoints"]
    assert first.tolist() == [[1, 2, 2], [3, 4, 2], [5, 6, 2]]
    assert second.tolist() == [[7, 8, 0]]


def test_ignored_boxes_are_apart_from_those_to_learn() -> None:
    boxes = np.array([[0, 0, 2, 2], [1, 1, 3, 3], [0, 0, 4, 4], [2, 2, 4, 4]], np.float32)
    marked = Sample(
        picture(),
        boxes=boxes,
        box_labels=["cat", "dog", "dog", "emu"],
        keypoints=np.arange(8, dtype=np.float32).reshape(4, 1, 2),
        ignored=np.array([0, 1, 2, 1], np.uint8),
    )
    none = Sample(picture(), boxes=boxes[:1], box_labels=["dog"], keypoints=np.ones((1, 1, 2)))
    vocab = Vocabulary({"labels": {"cat": 1, "dog": 1}})
    found = collate([item("a"), item("b")], [marked, none], vocab).tensors
    assert [one.tolist() for one in found["boxes"]] == [boxes[:1].tolist()] * 2
    assert [one.tolist() for one in found["box_labels"]] == [[0], [1]]
    assert [one.tolist() for one in found["keypoints"]] == [[[[0, 1]]], [[[1, 1]]]]
    ignored, others = found["ignored_boxes"]
    assert ignored.tolist() == [[1, 1, 3, 3, 1, 0], [0, 0, 4, 4, 1, 1]], "emu is no class here"
    assert others.shape == (0, 6)
    assert "ignored_boxes" not in collate([item("b")], [none], vocab).tensors


def test_a_transform_that_drops_boxes_without_their_marks_is_named_by_the_item() -> None:
    sample = Sample(picture(), boxes=np.ones((1, 4)), ignored=np.zeros(2, np.uint8))
    with pytest.raises(DataError, match="a: a transform left 1 boxes and the marks of 2"):
        collate([item("a")], [sample])
