"""IDX files: the layout of MNIST, Fashion-MNIST, KMNIST and EMNIST."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import MinLen
from numpy.typing import NDArray
from overrides import overrides

from allencv_al.common.errors import DataError
from allencv_al.common.files.paths import split_path
from allencv_al.data.dataset_readers.base import DatasetReader
from allencv_al.data.dataset_readers.cifar_files import SPLITS
from allencv_al.data.dataset_readers.unpacked_files import file_content, plain_name
from allencv_al.data.instance import Instance
from allencv_al.data.transforms import ImageTransform

logger = logging.getLogger(__name__)

# `train-images-idx3-ubyte`; some copies have a point before idx. EMNIST's begin with its name.
_IMAGES = re.compile(r"(?P<set>.*(?P<part>train|t10k|test))-images(?P<point>[-.])idx3-ubyte")
_PARTS = {"train": "train", "t10k": "test", "test": "test"}
_UBYTE = 0x08  # the third byte of the magic number: the type of the values
_RGB = 3


@DatasetReader.register("idx")
class IdxReader(DatasetReader):
    """Read images and labels from IDX files (http://yann.lecun.com/exdb/mnist), packed or not.

    The path is a folder with `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`,
    `t10k-images-idx3-ubyte` and `t10k-labels-idx1-ubyte`, each plain, .gz or .xz, or one file of
    images. Which part of a folder is meant stands behind two colons: `data/mnist::train`,
    `data/mnist::test`, `data/mnist::all`. Ids are `t10k-images-idx3-ubyte:17`: the file of the
    images, however it is compressed, and the number from 0. Gray values become three equal
    channels. Images without a file of labels beside them have none.

    Args:
        augmentation: Transforms, applied to each image in the order given. Default: none.
        split: Part of a folder to read if the path does not name it: "train", "test" or "all".
            Default: the training images, or the test images if there are no others.
        label_names: The names of the labels 0, 1 ...; by default their numbers.
        kwargs: The parameters that all readers have.
    """

    layout: ClassVar[str] = (
        "train-images-idx3-ubyte and t10k-images-idx3-ubyte, plain, .gz or .xz, with "
        "train-labels-idx1-ubyte and t10k-labels-idx1-ubyte beside them"
    )

    def __init__(
        self,
        augmentation: list[ImageTransform] | None = None,
        split: Literal["train", "test", "all"] | None = None,
        label_names: Annotated[list[str], MinLen(1)] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(augmentation, **kwargs)
        self.split = split
        self.label_names = label_names

    @overrides
    def _read(self, path: Path) -> Iterable[Instance]:
        location, part = split_path(path)
        if location.is_file():
            if part is not None:
                raise DataError(f"{location}: it is one file, so nothing can stand behind ::")
            return self._instances(location)
        if part is not None and part not in SPLITS:
            raise DataError(f"{path}: expected train, test or all behind ::, found {part}")
        return [item for file in self._files(location, part) for item in self._instances(file)]

    def _files(self, folder: Path, part: str | None) -> list[Path]:
        """Return the files of images of a part of a folder; one of each, however compressed."""
        found: dict[str, dict[str, Path]] = {"train": {}, "test": {}}
        for file in sorted(folder.iterdir()):
            name = plain_name(file.name)
            if file.is_file() and (match := _IMAGES.fullmatch(name)):
                # Sorted, the plain file comes before its .gz: reading it needs no unpacking
                found[_PARTS[match["part"]]].setdefault(name, file)
        choice = part or self.split or ("train" if found["train"] else "test")
        files = [*found["train"].values()] if choice != "test" else []
        if choice != "train":
            files += found["test"].values()
        if not files:
            there = ", ".join(sorted(file.name for file in folder.iterdir())[:8]) or "nothing"
            raise DataError(
                f"{folder}: no such images; IdxReader looks for {self.layout}; found {there}"
            )
        return files

    def _instances(self, file: Path) -> Iterator[Instance]:
        images = _values(file, dimensions=3)
        labels = self._labels(file, len(images))
        # Three equal channels as a view: the bytes are there once
        colored = np.broadcast_to(images[..., None], (*images.shape, _RGB))
        name = plain_name(file.name)
        for index, label in enumerate(labels):
            yield Instance(f"{name}:{index}", colored[index], label)

    def _labels(self, file: Path, count: int) -> list[str | None]:
        beside = _labels_beside(file)
        if beside is None:
            logger.info("%s: no file of labels beside it, so its images have none", file)
            return [None] * count
        numbers = _values(beside, dimensions=1)
        if len(numbers) != count:
            raise DataError(
                f"{beside}: expected a label for each of the {count} images in {file.name}, found "
                f"{len(numbers)}"
            )
        names = self.label_names
        if names is None:
            return [str(number) for number in numbers.tolist()]
        if count and numbers.max() >= len(names):
            raise DataError(
                f"{beside}: has the label {numbers.max()}, and label_names of the dataset reader "
                f"only 0 to {len(names) - 1}"
            )
        return [names[number] for number in numbers.tolist()]


def _labels_beside(file: Path) -> Path | None:
    """Return the file of labels that belongs to one of images, whatever each is packed with."""
    match = _IMAGES.fullmatch(plain_name(file.name))
    if match is None:
        return None
    # Copies rename one of the two files, so the other spelling is looked for, too
    for point in (match["point"], "-", "."):
        for extension in ("", ".gz", ".xz"):
            candidate = file.with_name(f"{match['set']}-labels{point}idx1-ubyte{extension}")
            if candidate.is_file():
                return candidate
    return None


def _values(file: Path, dimensions: int) -> NDArray[np.uint8]:
    """Return the array in a file: a magic number, the sizes as big-endian int32, the bytes."""
    data = file_content(file)
    head = 4 * (1 + dimensions)
    magic = data[:4].tolist()
    if len(data) < head or magic != [0, 0, _UBYTE, dimensions]:
        raise DataError(
            f"{file}: expected an IDX file of unsigned bytes in {dimensions} dimensions (it begins "
            f"with 0 0 {_UBYTE} {dimensions}), found {' '.join(map(str, magic)) or 'nothing'}"
        )
    # As Python's numbers: a product of sizes from a damaged file must not overflow
    shape = [int(size) for size in data[4:head].view(">u4")]
    if len(data) - head != math.prod(shape):
        sizes = " x ".join(map(str, shape))
        raise DataError(
            f"{file}: expected {sizes} bytes behind its head, found {len(data) - head}; the file "
            "is damaged or cut short"
        )
    # No images at all (0 x 28 x 28) are fine: an empty part of a set
    if 0 in shape[1:]:
        raise DataError(f"{file}: expected images with pixels, found {' x '.join(map(str, shape))}")
    return data[head:].reshape(shape)
