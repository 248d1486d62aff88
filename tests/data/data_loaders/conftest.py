"""Small datasets for the loaders, with what tests need to look into them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from overrides import overrides
from PIL import Image

from allencv_al.data.batch import Batch
from allencv_al.data.data_loaders import DataLoader, MultiprocessDataLoader
from allencv_al.data.dataset_readers.base import Dataset, DatasetReader
from allencv_al.data.instance import Instance, Sample
from allencv_al.data.transforms import ImageTransform
from allencv_al.data.vocabulary import Vocabulary

MakeDataset = Callable[..., Dataset]
MakeLoader = Callable[..., MultiprocessDataLoader]

VOCAB = Vocabulary({"labels": {"cat": 1, "dog": 1}})


class ListedReader(DatasetReader):
    """Reads nothing: its instances are given."""

    @overrides
    def _read(self, path: Path) -> Iterable[Instance]:
        return []


class CountingReader(DatasetReader):
    """Remembers what was loaded."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.loaded: list[str] = []

    @overrides
    def _read(self, path: Any) -> list[Instance]:
        return []

    @overrides
    def load(self, instance: Instance, seed: int) -> Sample:
        self.loaded.append(instance.id)
        return super().load(instance, seed)


class Speckle(ImageTransform):
    """Adds random brightness to every pixel: any change of seed or order is seen."""

    @overrides
    def apply(self, sample: Sample, generator: np.random.Generator) -> Sample:
        noise = generator.integers(0, 256, sample.image.shape, dtype=np.uint8)
        return Sample(sample.image + noise, sample.mask)


def pixels(index: int, side: int = 4) -> NDArray[np.uint8]:
    return np.random.default_rng(index).integers(0, 256, (side, side, 3), dtype=np.uint8)


def content(batch: Batch) -> tuple[Any, ...]:
    """Return all of a batch in a form that compares bit for bit."""
    tensors = {name: (t.dtype, t.tolist()) for name, t in batch.tensors.items()}
    return batch.index, batch.ids, tensors


def contents(loader: DataLoader, epoch: int = 0, start: int = 0) -> list[tuple[Any, ...]]:
    return [content(batch) for batch in loader.batches(epoch, start)]


@pytest.fixture
def in_memory() -> MakeDataset:
    """Give datasets of random pixels whose first half is cats and second half dogs."""

    def make(size: int = 11, reader: DatasetReader | None = None, labeled: bool = True) -> Dataset:
        instances = [
            Instance(
                id=f"{index:03d}",
                image=pixels(index),
                label=("cat" if index < size // 2 else "dog") if labeled else None,
            )
            for index in range(size)
        ]
        return Dataset(reader or ListedReader([Speckle()]), instances)

    return make


@pytest.fixture
def on_disk(tmp_path: Path) -> MakeDataset:
    """Give datasets of PNG files; those at the positions `broken` cannot be read."""

    def make(
        size: int = 11, reader: DatasetReader | None = None, broken: Iterable[int] = ()
    ) -> Dataset:
        instances = []
        for index in range(size):
            path = tmp_path / f"{index:03d}.png"
            Image.fromarray(pixels(index)).save(path)
            if index in set(broken):
                path.write_text("not an image")
            label = "cat" if index < size // 2 else "dog"
            instances.append(Instance(id=path.name, image=path, label=label))
        return Dataset(reader or ListedReader([Speckle()]), instances)

    return make


@pytest.fixture
def make_loader() -> Iterator[Callable[..., MultiprocessDataLoader]]:
    """Give loaders that are closed after the test."""
    made: list[MultiprocessDataLoader] = []

    def make(dataset: Dataset, **options: Any) -> MultiprocessDataLoader:
        made.append(MultiprocessDataLoader(dataset, VOCAB, **{"batch_size": 3, **options}))
        return made[-1]

    yield make
    for loader in made:
        loader.close()
