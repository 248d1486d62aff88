"""CIFAR-10 and CIFAR-100 as published for Python, read where they are and without running them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from overrides import overrides

from allencv_al.common.errors import DataError
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
from allencv_al.data.dataset_readers.cifar_pickle import read_cifar_pickle
from allencv_al.data.dataset_readers.unpacked_files import plain_name
from allencv_al.data.instance import Instance

_KEYS = {"batch_label", "data", "filenames", "labels", "fine_labels", "coarse_labels"}
# The keys of each level's labels in a batch, and of their names in a meta file
_KEYS_OF = {
    10: {"fine": ("labels", "label_names")},
    100: {
        "coarse": ("coarse_labels", "coarse_label_names"),
        "fine": ("fine_labels", "fine_label_names"),
    },
}


@DatasetReader.register("cifar_python")
class CifarPython(CifarReader):
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
        split: Batches of a folder or archive to read if the path does not name them: "train",
            "test" or "all". Default: the training batches, or the test batch if there are no
            others. A path that is one batch file is read whatever this says.
        labels: The label of CIFAR-100 that is the class: "fine" (100) or "coarse" (20). CIFAR-10
            has only one.
        kwargs: The parameters that all readers have.
    """

    layout: ClassVar[str] = (
        "data_batch_1 ... and test_batch (CIFAR-10), or train and test (CIFAR-100), in a folder or "
        "a tar archive"
    )
    batch_names: ClassVar[Mapping[str, re.Pattern[str]]] = {
        "train": re.compile(r"data_batch_\d+|train"),
        "test": re.compile(r"test(_batch)?"),
    }
    meta_names = ("batches.meta", "meta")
    published = (
        *("cifar-10-batches-py", "cifar-100-python"),
        *("cifar-10-python.tar.gz", "cifar-100-python.tar.gz"),
    )

    @overrides
    def _instances(
        self, source: Path, files: CifarFiles, names: Sequence[str]
    ) -> Iterator[Instance]:
        meta: dict[str, Any] = {}
        for name, content in files.meta.items():
            meta.update(read_cifar_pickle(name, content.tobytes()))
        for name in names:
            yield from self._batch(name, files.batches[name], meta)

    def _batch(
        self, name: str, content: NDArray[np.uint8], meta: dict[str, Any]
    ) -> Iterator[Instance]:
        batch = _checked(name, read_cifar_pickle(name, content.tobytes()))
        count = 10 if "labels" in batch else 100
        if not {"labels", "fine_labels"} & set(batch):
            raise DataError(f"{name}: expected labels or fine_labels, found {sorted(batch)}")
        if self.labels not in LEVELS[count]:
            raise DataError(f'{name}: CIFAR-10 has no "{self.labels}" labels, only "fine"')
        labels = {
            key: _labels(name, batch, level, *_KEYS_OF[count][key], meta)
            for key, level in LEVELS[count].items()
        }
        for index, image in enumerate(images_of(batch["data"])):
            both = {key: found[index] for key, found in labels.items()}
            metadata = both if len(labels) > 1 else {}
            yield Instance(f"{name}:{index}", image, both[self.labels], metadata=metadata)


def holds_python_batches(path: Path) -> bool:
    """Return whether a folder or archive has this layout, by its names; nothing is read."""
    entries = path.iterdir() if path.is_dir() else [path]
    names = {plain_name(entry.name) for entry in entries} | {path.name}
    known = {*CifarPython.published, *(CifarPython.meta_names if path.is_dir() else ())}
    return any(map(CifarPython.is_batch, names)) or bool(names & known)


def _checked(name: str, batch: dict[str, Any]) -> dict[str, Any]:
    # Another file of this shape is not CIFAR, and its pixels would be misread
    unknown = sorted(set(batch) - _KEYS)
    if unknown:
        raise DataError(f"{name}: expected only the keys {sorted(_KEYS)}, found {unknown[:5]}")
    data = batch.get("data")
    if not isinstance(data, np.ndarray) or data.shape[1:] != (PIXEL_BYTES,) or not len(data):
        found = data.shape if isinstance(data, np.ndarray) else type(data).__name__
        raise DataError(f"{name}: expected data of n x {PIXEL_BYTES} bytes, found {found}")
    return batch


def _labels(
    name: str,
    batch: dict[str, Any],
    level: LabelLevel,
    key: str,
    meta_key: str,
    meta: dict[str, Any],
) -> list[str]:
    count, numbers = len(batch["data"]), batch.get(key)
    if not isinstance(numbers, list) or len(numbers) != count:
        found = len(numbers) if isinstance(numbers, list) else type(numbers).__name__
        raise DataError(f"{name}: expected a list of {count} {key}, found {found}")
    names = label_names(name, level, "its meta file", _names_in(meta, meta_key))
    for index, number in enumerate(numbers):  # bool is an int, and no label
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
