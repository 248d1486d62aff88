"""CIFAR-10 and CIFAR-100 in their binary layout, read where they are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from overrides import overrides

from allencv_al.common.errors import DataError
from allencv_al.common.files.text_files import decode_text
from allencv_al.data.dataset_readers.base import DatasetReader
from allencv_al.data.dataset_readers.cifar_files import (
    LEVELS,
    PIXEL_BYTES,
    CifarFiles,
    CifarReader,
    LabelLevel,
    images_of,
    label_names,
)
from allencv_al.data.instance import Instance
from allencv_al.data.transforms import ImageTransform

_META_OF = {
    10: {"fine": "batches.meta.txt"},
    100: {"coarse": "coarse_label_names.txt", "fine": "fine_label_names.txt"},
}


def _labels_of_classes(classes: int | None, labels: str) -> Iterator[tuple[str, str]]:
    if labels == "coarse" and classes == 10:
        yield "labels", 'expected "fine", as CIFAR-10 has no coarse labels, found "coarse"'


@DatasetReader.register("cifar_binary")
class CifarBinary(CifarReader):
    """Read CIFAR-10 or CIFAR-100 in the binary layout (https://www.cs.toronto.edu/~kriz/cifar.html).

    The path is one batch file (`test_batch.bin`), a folder of them, or the published archive
    (`cifar-10-binary.tar.gz`), which is read in place. Batch files may be plain, .gz or .xz, and
    `FOLDER/test_batch.bin` also finds `test_batch.bin.xz`. Which part of a folder or archive is
    meant stands behind two colons, so that one reader serves all paths of a config:

        train_data_path: "data/cifar-10-binary.tar.gz::train"
        test_data_path:  "data/cifar-10-binary.tar.gz::test"

    Behind the colons stands `train`, `test`, `all` or names of batch files with commas between
    (`::data_batch_1.bin,data_batch_2.bin`). Ids are
    `test_batch.bin:17`: the file, however it is compressed, and the record's number from 0.
    Label names come from the meta file beside the batches (`batches.meta.txt`,
    `fine_label_names.txt`, `coarse_label_names.txt`); without one, the names of CIFAR-10 are the
    documented ones and those of CIFAR-100 the numbers `00`, `01` ...

    Args:
        augmentation: Transforms, applied to each image in the order given. Default: none.
        split: Batches of a folder or archive to read if the path does not name them: "train",
            "test" or "all". Default: the training batches, or the test batch if there are no
            others. A path that is one batch file is read whatever this says.
        classes: 10 or 100, which decides the record layout; by default known from the file sizes,
            or from the file names where the sizes fit both.
        labels: The label of CIFAR-100 that is the class: "fine" (100) or "coarse" (20). CIFAR-10
            has only one.
        kwargs: The parameters that all readers have.
    """

    joint_rules = (_labels_of_classes,)
    layout: ClassVar[str] = (
        "data_batch_1.bin ... and test_batch.bin (CIFAR-10), or train.bin and test.bin "
        "(CIFAR-100), plain, .gz or .xz, in a folder or a tar archive"
    )
    batch_names: ClassVar[Mapping[str, re.Pattern[str]]] = {
        "train": re.compile(r"(data_batch_\d+|train)\.bin"),
        "test": re.compile(r"test(_batch)?\.bin"),
    }
    meta_names = ("batches.meta.txt", "fine_label_names.txt", "coarse_label_names.txt")
    published = (
        *("cifar-10-batches-bin", "cifar-100-binary"),
        *("cifar-10-binary.tar.gz", "cifar-100-binary.tar.gz"),
    )

    def __init__(
        self,
        augmentation: list[ImageTransform] | None = None,
        split: Literal["train", "test", "all"] | None = None,
        classes: Literal[10, 100] | None = None,
        labels: Literal["fine", "coarse"] = "fine",
        **kwargs: Any,
    ) -> None:
        super().__init__(augmentation, split, labels, **kwargs)
        self.classes = classes

    @overrides
    def _instances(
        self, source: Path, files: CifarFiles, names: Sequence[str]
    ) -> Iterator[Instance]:
        count = self._class_count(source, files)
        for name in names:
            yield from self._batch(name, files, count)

    def _class_count(self, source: Path, files: CifarFiles) -> int:
        count = self.classes or _count_by_sizes(files)
        if count is None:
            raise DataError(
                f"{source}: cannot tell CIFAR-10 from CIFAR-100 by the file names or sizes; set "
                "classes of the dataset reader to 10 or 100"
            )
        if self.labels not in LEVELS[count]:
            raise DataError(f'{source}: CIFAR-{count} has no "{self.labels}" labels, only "fine"')
        return count

    def _batch(self, name: str, files: CifarFiles, count: int) -> Iterator[Instance]:
        levels = LEVELS[count]
        records = _records(name, files.batches[name], count)
        labels = {
            key: _labels(name, records[:, place], level, _META_OF[count][key], files)
            for place, (key, level) in enumerate(levels.items())
        }
        pixels = images_of(records[:, len(levels) :])
        # The other level is kept as metadata; CIFAR-10 has none
        both = zip(*labels.values(), strict=True) if len(labels) > 1 else repeat(())
        for index, (image, found) in enumerate(zip(pixels, both, strict=False)):
            metadata = dict(zip(labels, found, strict=False))
            yield Instance(f"{name}:{index}", image, labels[self.labels][index], metadata=metadata)

    @overrides
    def _found_instead(self, files: CifarFiles) -> str:
        found = super()._found_instead(files)
        if {"data_batch_1", "test_batch", "batches.meta"} & set(files.others):
            found += (
                "; this is the Python version of CIFAR, which the dataset reader cifar_python reads"
            )
        return found


def _count_by_sizes(files: CifarFiles) -> int | None:
    """Return 10 or 100 by the sizes of the files, or by their names where the sizes fit both."""
    fits = [
        count
        for count in LEVELS
        if all(data.size % _record_bytes(count) == 0 for data in files.batches.values())
    ]
    # Records of both sizes fill a file of 3073 x 3074 bytes, so sizes may fit both
    if len(fits) == 1:
        return fits[0]
    names = {*files.batches, *files.others, *files.meta}
    if any(re.fullmatch(r"(data_batch_\d+|test_batch)\.bin|batches\.meta\.txt", n) for n in names):
        return 10
    return 100 if names & {"train.bin", "test.bin", "fine_label_names.txt"} else None


def _record_bytes(count: int) -> int:
    return len(LEVELS[count]) + PIXEL_BYTES  # one byte for each label, then the pixels


def _records(name: str, data: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    length = _record_bytes(count)
    whole, rest = divmod(data.size, length)
    if rest or not whole:
        raise DataError(
            f"{name}: expected a whole number of records of {length} bytes (CIFAR-{count}), found "
            f"{data.size} bytes, {whole} records and {rest} bytes; the file is cut short or has "
            "another layout (classes of the dataset reader)"
        )
    return data.reshape(-1, length)


def _labels(
    name: str, numbers: NDArray[np.uint8], level: LabelLevel, meta_name: str, files: CifarFiles
) -> list[str]:
    content = files.meta.get(meta_name)
    names = label_names(
        name, level, meta_name, None if content is None else _lines(meta_name, content)
    )
    wrong = np.flatnonzero(numbers >= level.count)
    if wrong.size:
        raise DataError(
            f"{name} record {wrong[0]}: expected a label from 0 to {level.count - 1}, found "
            f"{numbers[wrong[0]]} ({wrong.size} records of {len(numbers)} are so); the file is "
            "damaged or has another layout (classes of the dataset reader)"
        )
    return [names[number] for number in numbers.tolist()]


def _lines(name: str, content: NDArray[np.uint8]) -> list[str]:
    text = decode_text(content.tobytes(), name, "save it as UTF-8, one label name a line")
    return [line.strip() for line in text.splitlines() if line.strip()]
