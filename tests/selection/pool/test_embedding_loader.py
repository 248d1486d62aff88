"""Batches of embeddings come in the order of the images' batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from allencv_al.common.errors import DataError
from allencv_al.data.batch import Batch, TargetTable
from allencv_al.data.data_loaders import DataLoader
from allencv_al.data.data_loaders.multiprocess import MultiprocessDataLoader
from allencv_al.data.dataset_readers.base import Dataset
from allencv_al.data.dataset_readers.image_classification_directory import (
    ImageClassificationDirectory,
)
from allencv_al.data.instance import Instance
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.models.model import Model
from allencv_al.predictors import Predictor
from allencv_al.selection.pool.embedding_loader import EmbeddingLoader, stored_loader
from allencv_al.selection.pool.embedding_store import EmbeddingStore


@pytest.fixture(scope="module")
def dataset(digits: Path) -> Dataset:
    return ImageClassificationDirectory().read(digits)[:23]


def numbered(dataset: Dataset, *unlabeled: int) -> TargetTable:
    """Return targets in which the label of an item is its number."""
    places = {item.id: place for place, item in enumerate(dataset)}

    def target(item: Instance, _: Vocabulary) -> dict[str, int]:
        place = places[item.id]
        return {} if place in unlabeled else {"label": place}

    return TargetTable(dataset, Vocabulary(), target)


def of_numbers(loader: DataLoader, dataset: Dataset) -> EmbeddingLoader:
    """Return a loader in which the embedding and the label of an item is its number."""
    numbers = torch.arange(len(dataset))
    return EmbeddingLoader(loader, numbers[:, None].float(), numbered(dataset))


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 4},
        {"batch_size": 4, "shuffle": False},
        {"batch_size": 5, "drop_last": True},
        {"batch_size": 3, "batches_per_epoch": 5},
        {"batch_size": 3, "evaluating": True, "drop_last": True},
        {"batch_size": 6, "seed": 1},
        {"batch_size": 30},
    ],
    ids=str,
)
def test_the_order_is_that_of_the_configured_loader(
    dataset: Dataset, options: dict[str, Any]
) -> None:
    vocab = Vocabulary({"labels": {"one": 1, "two": 1, "zero": 1}})
    loader = MultiprocessDataLoader(dataset, vocab, **options)
    ours = of_numbers(loader, dataset)
    places = {item.id: place for place, item in enumerate(dataset)}
    assert len(ours) == len(loader)
    for epoch, start in ((0, 0), (1, 0), (2, 2)):
        if start > len(loader):
            continue
        expected = list(loader.batches(epoch, start))
        found = list(ours.batches(epoch, start))
        assert [batch.ids for batch in found] == [batch.ids for batch in expected]
        assert [batch.index for batch in found] == [batch.index for batch in expected]
        for batch in found:
            numbers = torch.tensor([places[id] for id in batch.ids])
            assert torch.equal(batch.tensors["label"], numbers)
            assert torch.equal(batch.tensors["embedding"][:, 0], numbers.float())


def test_a_trainer_may_forbid_the_shuffling(dataset: Dataset) -> None:
    """AllenNLP 0.9 has `trainer.shuffle`."""
    ours = of_numbers(MultiprocessDataLoader(dataset, batch_size=4), dataset)
    assert ours.shuffle is True
    ours.shuffle = False
    found = torch.cat([batch.tensors["label"] for batch in ours.batches(0)])
    assert torch.equal(found, torch.arange(len(dataset)))


class Plain(DataLoader):
    """A loader of a user's own, which says nothing of its order."""

    def __len__(self) -> int:
        return 1

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        yield Batch({}, [])


def test_a_loader_without_an_order_gets_one(dataset: Dataset) -> None:
    ours = of_numbers(Plain(dataset), dataset)
    found = torch.cat([batch.tensors["label"] for batch in ours.batches(0)])
    assert sorted(found.tolist()) == list(range(len(dataset)))


def test_what_the_model_gets_is_on_its_device_and_nothing_is_decoded(dataset: Dataset) -> None:
    ours = of_numbers(MultiprocessDataLoader(dataset, batch_size=4), dataset)
    (batch, *_) = ours.batches(0)
    tensors = ours.to_device(batch, torch.device("meta"))
    assert {name: tensor.device.type for name, tensor in tensors.items()} == {
        "embedding": "meta",
        "label": "meta",
    }


def test_images_stay_where_embeddings_cannot_take_their_place(
    make: Callable[..., Predictor], pictures: Path, tmp_path: Path
) -> None:
    store = EmbeddingStore(tmp_path / "store")
    predictor = make()
    model, reader = predictor.model, predictor.dataset_reader

    def replaced(dataset: Dataset, of: Model = model, kept: EmbeddingStore | None = store) -> bool:
        loader = MultiprocessDataLoader(dataset, of.vocab, batch_size=3, evaluating=True)
        return stored_loader(loader, of, kept, "fp32") is not loader

    whole = reader.read(pictures)
    assert replaced(whole)
    assert not replaced(whole, kept=None)
    assert not replaced(Dataset(reader, []))
    masked = replace(whole[0], mask=np.zeros((10, 12), np.uint8))
    assert not replaced(Dataset(reader, [masked, *whole[1:]]))
    flipping = make({"validation_dataset_reader.augmentation.1": {"type": "flip", "p": 0.5}})
    assert not replaced(flipping.dataset_reader.read(pictures))
    model.takes_embeddings = False  # type: ignore[misc]
    assert not replaced(whole)


@pytest.fixture
def broken(make: Callable[..., Predictor], pictures: Path) -> Dataset:
    """Seven pictures, two of which cannot be read."""
    for path in sorted(pictures.rglob("*.png"))[1:3]:
        path.write_bytes(b"no image")
    reader = make().dataset_reader
    reader.max_unreadable = 0.5
    return reader.read(pictures)


def test_images_that_cannot_be_read_are_left_out_of_their_batches(
    make: Callable[..., Predictor], broken: Dataset, tmp_path: Path
) -> None:
    model, store = make().model, EmbeddingStore(tmp_path / "store")
    plain, other = (
        MultiprocessDataLoader(broken, model.vocab, batch_size=1, seed=3) for _ in range(2)
    )
    loader = stored_loader(other, model, store, "fp32")
    assert isinstance(loader, EmbeddingLoader)
    expected, found = list(plain.batches(1)), list(loader.batches(1))
    assert [(batch.index, batch.ids) for batch in found] == [
        (batch.index, batch.ids) for batch in expected
    ]
    for one, two in zip(found, expected, strict=True):
        assert torch.equal(one.tensors["label"], two.tensors["label"])
        image = plain.to_device(two, torch.device("cpu"))["image"]
        with torch.no_grad():
            rows = model.eval().embed(image)
        torch.testing.assert_close(one.tensors["embedding"], rows, rtol=1e-5, atol=1e-6)
    assert {id: bad.path for id, bad in other.unreadable.items()} == {
        id: bad.path for id, bad in plain.unreadable.items()
    }
    assert loader.unreadable is other.unreadable


def test_too_many_unreadable_images_are_an_error_and_one_where_the_reader_says_so(
    make: Callable[..., Predictor], broken: Dataset, tmp_path: Path
) -> None:
    model, store = make().model, EmbeddingStore(tmp_path / "store")
    loader = MultiprocessDataLoader(broken, model.vocab, batch_size=2)
    broken.reader.on_error = "raise"
    assert stored_loader(loader, model, store, "fp32") is loader
    broken.reader.on_error = "skip"
    broken.reader.max_unreadable = 0.1
    with pytest.raises(DataError, match="2 of 7 images cannot be read"):
        stored_loader(loader, model, store, "fp32")


def test_a_batch_with_an_unlabeled_item_has_no_labels(dataset: Dataset) -> None:
    loader = MultiprocessDataLoader(dataset, batch_size=4, evaluating=True)
    ours = EmbeddingLoader(loader, torch.zeros(len(dataset), 2), numbered(dataset, 5))
    found = ["label" in batch.tensors for batch in ours.batches(0)]
    assert found == [True, False, True, True, True, True]
