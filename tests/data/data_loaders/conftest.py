"""Small datasets for the loaders, with what tests need to look into them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from overrides import overrides
from PIL import Image

from allencv_al.data.dataset_readers.base import Dataset, DatasetReader
from allencv_al.data.instance import Instance, Sample
from allencv_al.data.transforms import ImageTransform

MakeDataset = Callable[..., Dataset]


class ListedReader(DatasetReader):
    """Reads nothing: its instances are given."""

    @overrides
    def _read(self, path: Path) -> Iterable[Instance]:
        return []


class Speckle(ImageTransform):
    """Adds random brightness to every pixel: any change of seed or order is seen."""

    @overrides
    def apply(self, sample: Sample, generator: np.random.Generator) -> Sample:
        noise = generator.integers(0, 256, sample.image.shape, dtype=np.uint8)
        return Sample(sample.image + noise, sample.mask)


def pixels(index: int, side: int = 4) -> NDArray[np.uint8]:
    return np.random.default_rng(index).integers(0, 256, (side, side, 3), dtype=np.uint8)


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
