"""CIFAR-10 and CIFAR-100 in their binary layout, read where they are."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from overrides import overrides

from allencv_al.common.config.config_check import ConfigView
from allencv_al.common.errors import ConfigurationError, DataError, Fault
from allencv_al.common.files.paths import split_path
from allencv_al.data.dataset_readers.base import DatasetReader
from allencv_al.data.dataset_readers.cifar_files import (
    BATCH_NAMES,
    CifarFiles,
    is_archive,
    plain_name,
    read_files,
    resolve,
)
from allencv_al.data.instance import Instance
from allencv_al.data.transforms import ImageTransform

logger = logging.getLogger(__name__)

SIDE = 32
PIXEL_BYTES = 3 * SIDE * SIDE
SPLITS = ("train", "test", "all")
CIFAR10_NAMES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)


@dataclass(frozen=True, slots=True)
class LabelByte:
    """One of the label bytes before the pixels of a record."""

    position: int
    count: int
    meta_name: str
    default_names: tuple[str, ...]


# https://www.cs.toronto.edu/~kriz/cifar.html: one label byte, or the coarse and the fine one.
# The names that stand in for a missing meta file sort as the label numbers do.
CIFAR10 = {"fine": LabelByte(0, 10, "batches.meta.txt", CIFAR10_NAMES)}
CIFAR100 = {
    "coarse": LabelByte(0, 20, "coarse_label_names.txt", tuple(f"{i:02d}" for i in range(20))),
    "fine": LabelByte(1, 100, "fine_label_names.txt", tuple(f"{i:02d}" for i in range(100))),
}
LAYOUTS = {10: CIFAR10, 100: CIFAR100}


@DatasetReader.register("cifar_binary")
class CifarBinary(DatasetReader):
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
        split: Which batches of a folder or archive to read where the path does not say: "train",
            "test" or "all". Default: the training batches, or the test batch if there are no
            others. A path that is one batch file is read whatever this says.
        classes: 10 or 100, which decides the record layout; by default known from the file sizes,
            or from the file names where the sizes fit both.
        labels: Which of the two labels of CIFAR-100 is the class: "fine" (100) or "coarse" (20).
            CIFAR-10 has only one.
        kwargs: The parameters that all readers have.
    """

    layout: ClassVar[str] = (
        "data_batch_1.bin ... and test_batch.bin (CIFAR-10), or train.bin and test.bin "
        "(CIFAR-100), plain, .gz or .xz, in a folder or a tar archive"
    )
    source_size: ClassVar[tuple[int | None, int | None]] = (SIDE, SIDE)

    def __init__(
        self,
        augmentation: list[ImageTransform] | None = None,
        split: Literal["train", "test", "all"] | None = None,
        classes: Literal[10, 100] | None = None,
        labels: Literal["fine", "coarse"] = "fine",
        **kwargs: Any,
    ) -> None:
        super().__init__(augmentation, **kwargs)
        for name, message in _option_faults(split, classes, labels):
            raise ConfigurationError(f"{name}: {message}")
        self.split = split
        self.classes = classes
        self.labels = labels

    @classmethod
    @overrides
    def config_faults(cls, config: ConfigView) -> Iterator[Fault]:
        yield from super().config_faults(config)
        names = ("split", "classes", "labels")
        if config.sound(*names):
            for name, message in _option_faults(*(config.get(name) for name in names)):
                yield config.fault(name, message)

    @classmethod
    @overrides
    def path_fault(cls, path: str | Path) -> str | None:
        location, _ = split_path(path)
        if resolve(location) is None:
            return f"expected a folder, a tar archive or a batch file, found none at {path}"
        return None

    @overrides
    def _read(self, path: Path) -> Iterable[Instance]:
        location, part = split_path(path)
        source = resolve(location)
        if source is None:
            raise DataError(f"{location}: nothing is there, nor with .gz or .xz behind its name")
        files = self._files(source, part)
        layout = self._layout(source, files)
        for name in sorted(files.batches, key=lambda name: (len(name), name)):
            yield from self._batch(name, files, layout)

    def _files(self, source: Path, part: str | None) -> CifarFiles:
        single = source.is_file() and not is_archive(source)
        if single and part is not None:
            raise DataError(f"{source}: it is one batch file, so nothing can stand behind ::")
        choice = part or self.split
        if choice is not None or single:
            files = read_files(source, wanted_names(choice or "all", BATCH_NAMES))
            if missing := missing_names(part, files.batches):
                raise DataError(f"{source}: no such batches: {missing}; {_found_instead(files)}")
            return files
        files = read_files(source, wanted_names("train", BATCH_NAMES))
        if files.batches:
            logger.info(
                "%s: reading the training batches (%s); the test batch is %s::test",
                *(source, ", ".join(files.batches), source),
            )
            return files
        return read_files(source, wanted_names("test", BATCH_NAMES))

    def _layout(self, source: Path, files: CifarFiles) -> dict[str, LabelByte]:
        if not files.batches:
            raise DataError(f"{source}: no such batches; {_found_instead(files)}")
        count = self.classes or _class_count(files)
        if count is None:
            raise DataError(
                f"{source}: cannot tell CIFAR-10 from CIFAR-100 by the file names or sizes; set "
                "classes of the dataset reader to 10 or 100"
            )
        if self.labels not in LAYOUTS[count]:
            raise DataError(f'{source}: CIFAR-{count} has no "{self.labels}" labels, only "fine"')
        return LAYOUTS[count]

    def _batch(
        self, name: str, files: CifarFiles, layout: dict[str, LabelByte]
    ) -> Iterator[Instance]:
        records = _records(name, files.batches[name], layout)
        labels = {level: _labels(name, records, byte, files.meta) for level, byte in layout.items()}
        # [n, 3072] planes of red, green and blue to [n, 32, 32, 3]: a view, nothing is copied.
        pixels = records[:, len(layout) :].reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
        chosen = labels[self.labels]
        both = zip(*labels.values(), strict=True) if len(labels) > 1 else repeat(())
        for index, (image, levels) in enumerate(zip(pixels, both, strict=False)):
            metadata = dict(zip(labels, levels, strict=False))
            yield Instance(f"{name}:{index}", image, chosen[index], metadata=metadata)


def _option_faults(split: Any, classes: Any, labels: Any) -> Iterator[tuple[str, str]]:
    if split not in (None, *SPLITS):
        yield "split", f'expected "train", "test" or "all", found "{split}"'
    if classes not in (None, *LAYOUTS):
        yield "classes", f"expected 10 or 100, found {classes}"
    if labels not in CIFAR100:
        yield "labels", f'expected "fine" or "coarse", found "{labels}"'
    if labels == "coarse" and classes == 10:
        yield "labels", 'expected "fine", as CIFAR-10 has no coarse labels, found "coarse"'


def wanted_names(part: str, batches: Mapping[str, re.Pattern[str]]) -> Callable[[str], bool]:
    """Return the test for a file name: a split's batches, or the files that `part` names.

    Args:
        part: "train", "test", "all", or names with commas between.
        batches: How the batches of "train" and "test" are called.
    """
    if part == "all":
        return lambda name: any(pattern.fullmatch(name) for pattern in batches.values())
    if part in batches:
        return lambda name: batches[part].fullmatch(name) is not None
    named = _named(part)
    return lambda name: name in named


def missing_names(part: str | None, found: Container[str]) -> str:
    """Return those of the files that `part` names which are not among the found ones."""
    named = [] if part is None or part in SPLITS else _named(part)
    return ", ".join(name for name in named if name not in found)


def _named(part: str) -> list[str]:
    return [plain_name(name.strip()) for name in part.split(",")]


def _class_count(files: CifarFiles) -> int | None:
    """Return 10 or 100 by the sizes of the files, or by their names where the sizes fit both."""
    fits = [
        count
        for count, layout in LAYOUTS.items()
        if all(data.size % _record_bytes(layout) == 0 for data in files.batches.values())
    ]
    if len(fits) == 1:
        return fits[0]
    names = {*files.batches, *files.others, *files.meta}
    if any(re.fullmatch(r"(data_batch_\d+|test_batch)\.bin|batches\.meta\.txt", n) for n in names):
        return 10
    return 100 if names & {"train.bin", "test.bin", "fine_label_names.txt"} else None


def _found_instead(files: CifarFiles) -> str:
    others = ", ".join(files.others[:8]) or "nothing"
    hint = ""
    if {"data_batch_1", "test_batch", "batches.meta"} & set(files.others):
        hint = "; this is the Python version of CIFAR, which the dataset reader cifar_python reads"
    return f"{CifarBinary.__name__} looks for {CifarBinary.layout}; found {others}{hint}"


def _record_bytes(layout: dict[str, LabelByte]) -> int:
    return len(layout) + PIXEL_BYTES


def _records(name: str, data: NDArray[np.uint8], layout: dict[str, LabelByte]) -> NDArray[np.uint8]:
    length = _record_bytes(layout)
    whole, rest = divmod(data.size, length)
    if rest or not whole:
        raise DataError(
            f"{name}: expected a whole number of records of {length} bytes (CIFAR-"
            f"{layout['fine'].count}), found {data.size} bytes, {whole} records and {rest} bytes; "
            "the file is cut short or has another layout (classes of the dataset reader)"
        )
    return data.reshape(-1, length)


def _labels(
    name: str, records: NDArray[np.uint8], byte: LabelByte, meta: dict[str, list[str]]
) -> list[str]:
    names = label_names(name, byte, byte.meta_name, meta.get(byte.meta_name))
    numbers = records[:, byte.position]
    wrong = np.flatnonzero(numbers >= byte.count)
    if wrong.size:
        raise DataError(
            f"{name} record {wrong[0]}: expected a label from 0 to {byte.count - 1}, found "
            f"{numbers[wrong[0]]} ({wrong.size} records of {len(records)} are so); the file is "
            "damaged or has another layout (classes of the dataset reader)"
        )
    return [names[number] for number in numbers.tolist()]


def label_names(
    batch: str, byte: LabelByte, meta_name: str, given: Sequence[str] | None
) -> Sequence[str]:
    """Return the names of the labels: those given, or the ones that stand in for them.

    Args:
        batch: What to call the batch in messages.
        byte: Which labels.
        meta_name: The file that names them.
        given: What it says; None where it is absent.

    Raises:
        DataError: They are too few or too many.
    """
    if given is None:
        first, second = byte.default_names[:2]
        logger.info(
            "%s: no %s beside it, so the labels are called %s, %s ...",
            *(batch, meta_name, first, second),
        )
        return byte.default_names
    if len(given) != byte.count:
        raise DataError(f"{meta_name}: expected {byte.count} label names, found {len(given)}")
    return given
