"""CIFAR-10 and CIFAR-100 as published for Python, read where they are and without running them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from overrides import overrides

from allencv_al.common.errors import ConfigurationError, DataError
from allencv_al.common.files.paths import split_path
from allencv_al.data.dataset_readers.base import DatasetReader
from allencv_al.data.dataset_readers.cifar_binary import (
    CIFAR10,
    CIFAR100,
    PIXEL_BYTES,
    SIDE,
    SPLITS,
    LabelByte,
    label_names,
    missing_names,
    wanted_names,
)
from allencv_al.data.dataset_readers.cifar_files import (
    CifarFiles,
    is_archive,
    read_files,
    resolve,
)
from allencv_al.data.dataset_readers.cifar_pickle import read_cifar_pickle
from allencv_al.data.instance import Instance
from allencv_al.data.transforms import ImageTransform

BATCH_NAMES = {
    "train": re.compile(r"data_batch_\d+|train"),
    "test": re.compile(r"test(_batch)?"),
}
META_NAMES = ("batches.meta", "meta")
PUBLISHED = (
    *("cifar-10-batches-py", "cifar-100-python"),
    *("cifar-10-python.tar.gz", "cifar-100-python.tar.gz"),
)
_KEYS = {"batch_label", "data", "filenames", "labels", "fine_labels", "coarse_labels"}


@dataclass(frozen=True, slots=True)
class _Level:
    key: str
    meta_key: str
    numbers: LabelByte


_LEVELS = {
    "labels": {"fine": _Level("labels", "label_names", CIFAR10["fine"])},
    "fine_labels": {
        "coarse": _Level("coarse_labels", "coarse_label_names", CIFAR100["coarse"]),
        "fine": _Level("fine_labels", "fine_label_names", CIFAR100["fine"]),
    },
}


@DatasetReader.register("cifar_python")
class CifarPython(DatasetReader):
    """Read CIFAR-10 or CIFAR-100 as published for Python (https://www.cs.toronto.edu/~kriz/cifar.html).

    These batches are pickles, which can run code when they are read. This reader runs none: it
    takes the known layout of these files out of them and refuses a file that holds anything else.

    The path is one batch file (`test_batch`), a folder of them, or the published archive
    (`cifar-10-python.tar.gz`). Which part is meant stands behind two colons, as for `cifar_binary`:
    `train`, `test`, `all`, or names of batch files with commas between (`::data_batch_1`). Ids are
    `test_batch:17`. Label names come from `batches.meta` or `meta` beside the batches, else they
    are those of `cifar_binary`.

    Args:
        augmentation: Transforms, applied to each image in the order given. Default: none.
        split: Which batches of a folder or archive to read where the path does not say: "train",
            "test" or "all". Default: the training batches, or the test batch if there are no
            others. A path that is one batch file is read whatever this says.
        labels: Which of the two labels of CIFAR-100 is the class: "fine" (100) or "coarse" (20).
            CIFAR-10 has only one.
        kwargs: The parameters that all readers have.
    """

    layout: ClassVar[str] = (
        "data_batch_1 ... and test_batch (CIFAR-10), or train and test (CIFAR-100), in a folder or "
        "a tar archive"
    )
    source_size: ClassVar[tuple[int | None, int | None]] = (SIDE, SIDE)

    def __init__(
        self,
        augmentation: list[ImageTransform] | None = None,
        split: Literal["train", "test", "all"] | None = None,
        labels: Literal["fine", "coarse"] = "fine",
        **kwargs: Any,
    ) -> None:
        super().__init__(augmentation, **kwargs)
        if split not in (None, *SPLITS):
            raise ConfigurationError(f'split: expected "train", "test" or "all", found "{split}"')
        if labels not in CIFAR100:
            raise ConfigurationError(f'labels: expected "fine" or "coarse", found "{labels}"')
        self.split = split
        self.labels = labels

    @classmethod
    @overrides
    def path_fault(cls, path: str | Path) -> str | None:
        location, _ = split_path(path)
        if _resolve(location) is None:
            return f"expected a folder, a tar archive or a batch file, found none at {path}"
        return None

    @overrides
    def _read(self, path: Path) -> Iterable[Instance]:
        location, part = split_path(path)
        source = _resolve(location)
        if source is None:
            raise DataError(f"{location}: nothing is there, nor with .gz or .xz behind its name")
        single = source.is_file() and not is_archive(source)
        if single and part is not None:
            raise DataError(f"{source}: it is one batch file, so nothing can stand behind ::")
        files, meta = _files(source, part or self.split, single)
        for name in sorted(files, key=lambda name: (len(name), name)):
            yield from self._batch(name, files[name], meta)

    def _batch(
        self, name: str, content: NDArray[np.uint8], meta: dict[str, Any]
    ) -> Iterator[Instance]:
        batch = _checked(name, read_cifar_pickle(name, content.tobytes()))
        levels = next((levels for key, levels in _LEVELS.items() if key in batch), None)
        if levels is None:
            raise DataError(f"{name}: expected labels or fine_labels, found {sorted(batch)}")
        if self.labels not in levels:
            raise DataError(f'{name}: CIFAR-10 has no "{self.labels}" labels, only "fine"')
        labels = {word: _labels(name, batch, level, meta) for word, level in levels.items()}
        pixels = batch["data"].reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
        for index, image in enumerate(pixels):
            both = {word: of_word[index] for word, of_word in labels.items()}
            metadata = both if len(labels) > 1 else {}
            yield Instance(f"{name}:{index}", image, both[self.labels], metadata=metadata)


def holds_python_batches(path: Path) -> bool:
    """Return whether a folder or archive is of this layout, by its names; nothing is read."""
    if path.is_dir():
        names = {entry.name.removesuffix(".xz").removesuffix(".gz") for entry in path.iterdir()}
        return any(_is_batch(name) for name in names) or bool(names & {*PUBLISHED, *META_NAMES})
    return path.name in PUBLISHED or _is_batch(path.name)


def _is_batch(name: str) -> bool:
    return any(pattern.fullmatch(name) for pattern in BATCH_NAMES.values())


def _resolve(path: Path) -> Path | None:
    found = resolve(path)
    if found is not None and found.is_dir() and not any(map(_is_batch, _names(found))):
        published = (found / name for name in PUBLISHED)
        return next((place for place in published if place.exists()), found)
    return found


def _names(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir() if entry.is_file()]


def _files(
    source: Path, choice: str | None, single: bool
) -> tuple[dict[str, NDArray[np.uint8]], dict[str, Any]]:
    """Return the content of the batches that are meant, and what the meta files say."""
    files = _of_file(source) if single else _of_folder(source, choice)
    metas = {name: files.batches.pop(name) for name in META_NAMES if name in files.batches}
    missing = missing_names(choice, files.batches)
    if missing or not files.batches:
        which = f": {missing}" if missing else ""
        others = ", ".join([*files.batches, *files.others][:8]) or "nothing"
        raise DataError(
            f"{source}: no such batches{which}; {CifarPython.__name__} looks for "
            f"{CifarPython.layout}; found {others}"
        )
    said: dict[str, Any] = {}
    for name, content in metas.items():
        said.update(read_cifar_pickle(name, content.tobytes()))
    return files.batches, said


def _of_file(source: Path) -> CifarFiles:
    files = read_files(source.parent, lambda name: name in META_NAMES)
    files.batches.update(read_files(source, lambda _: True).batches)
    return files


def _of_folder(source: Path, choice: str | None) -> CifarFiles:
    def read(part: str) -> CifarFiles:
        is_wanted = wanted_names(part, BATCH_NAMES)
        return read_files(source, lambda name: name in META_NAMES or is_wanted(name))

    if choice is not None:
        return read(choice)
    files = read("train")
    return files if set(files.batches) - set(META_NAMES) else read("test")


def _checked(name: str, batch: dict[str, Any]) -> dict[str, Any]:
    unknown = sorted(set(batch) - _KEYS)
    if unknown:
        raise DataError(f"{name}: expected only the keys {sorted(_KEYS)}, found {unknown[:5]}")
    data = batch.get("data")
    if not isinstance(data, np.ndarray) or data.shape[1:] != (PIXEL_BYTES,) or not len(data):
        found = data.shape if isinstance(data, np.ndarray) else type(data).__name__
        raise DataError(f"{name}: expected data of n x {PIXEL_BYTES} bytes, found {found}")
    return batch


def _labels(name: str, batch: dict[str, Any], level: _Level, meta: dict[str, Any]) -> list[str]:
    count, numbers = len(batch["data"]), batch.get(level.key)
    if not isinstance(numbers, list) or len(numbers) != count:
        found = len(numbers) if isinstance(numbers, list) else type(numbers).__name__
        raise DataError(f"{name}: expected a list of {count} {level.key}, found {found}")
    names = label_names(name, level.numbers, "its meta file", _names_in(meta, level.meta_key))
    for index, number in enumerate(numbers):
        if type(number) is not int or not 0 <= number < len(names):
            found = number if type(number) is int else type(number).__name__
            raise DataError(
                f"{name} record {index}: expected a label from 0 to {len(names) - 1}, found {found}"
            )
    return [names[number] for number in numbers]


def _names_in(meta: dict[str, Any], key: str) -> list[str] | None:
    names = meta.get(key)
    if names is None:
        return None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"the meta file: expected a list of names as {key}, found something else")
    return names
