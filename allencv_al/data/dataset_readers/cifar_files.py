"""Base of both CIFAR readers: their files, in a folder, an archive or alone, and their labels.

Nothing is unpacked to disk. A plain file is mapped, a compressed one is held in memory.
"""

from __future__ import annotations

import logging
import re
import tarfile
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from overrides import overrides

from allencv_al.common.errors import DataError, is_machine_fault
from allencv_al.common.files.paths import split_path
from allencv_al.data.dataset_readers.base import DatasetReader
from allencv_al.data.dataset_readers.unpacked_files import (
    DAMAGED,
    file_content,
    once,
    plain_name,
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

_COMPRESSIONS = ("", ".gz", ".xz")
_ARCHIVES = (".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".tar")


@dataclass(frozen=True, slots=True)
class LabelLevel:
    """One of the labels of each record.

    Args:
        count: Number of its classes.
        default_names: Their names where no meta file gives them; they sort as the numbers do.
    """

    count: int
    default_names: tuple[str, ...]


# https://www.cs.toronto.edu/~kriz/cifar.html; the order is that of the binary layout's label bytes.
LEVELS = {
    10: {"fine": LabelLevel(10, CIFAR10_NAMES)},
    100: {
        "coarse": LabelLevel(20, tuple(f"{i:02d}" for i in range(20))),
        "fine": LabelLevel(100, tuple(f"{i:02d}" for i in range(100))),
    },
}


@dataclass(slots=True)
class CifarFiles:
    """The content of the files that were read, by name without `.gz` or `.xz`.

    Args:
        batches: The batch files, as vectors of bytes.
        meta: The files with label names, likewise.
        others: Names of the files that were not read.
    """

    batches: dict[str, NDArray[np.uint8]] = field(default_factory=dict)
    meta: dict[str, NDArray[np.uint8]] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)


class CifarReader(DatasetReader):
    """The common part of the CIFAR readers: which files a path names.

    Args:
        augmentation: Transforms, applied to each image in the order given. Default: none.
        split: Batches of a folder or archive to read where the path does not name them.
        labels: The one of CIFAR-100's two labels that is the class.
        kwargs: The parameters that all readers have.
    """

    source_size: ClassVar[tuple[int | None, int | None]] = (SIDE, SIDE)

    batch_names: ClassVar[Mapping[str, re.Pattern[str]]]
    """The file names of the batches of "train" and "test"."""

    meta_names: ClassVar[tuple[str, ...]]
    """The files with label names."""

    published: ClassVar[tuple[str, ...]]
    """The published archives and the folders they unpack to, so that a path may also be the folder
    that holds one of them."""

    def __init__(
        self,
        augmentation: list[ImageTransform] | None = None,
        split: Literal["train", "test", "all"] | None = None,
        labels: Literal["fine", "coarse"] = "fine",
        **kwargs: Any,
    ) -> None:
        super().__init__(augmentation, **kwargs)
        self.split = split
        self.labels = labels

    @classmethod
    @overrides
    def path_fault(cls, path: str | Path) -> str | None:
        if cls._source_at(split_path(path)[0]) is None:
            return f"expected a folder, a tar archive or a batch file, found none at {path}"
        return None

    @overrides
    def _read(self, path: Path) -> Iterable[Instance]:
        location, part = split_path(path)
        source = self._source_at(location)
        if source is None:
            raise DataError(f"{location}: nothing is there, nor with .gz or .xz behind its name")
        files = self._files(source, part)
        if not files.batches:
            raise DataError(f"{source}: no such batches; {self._found_instead(files)}")
        # By number: data_batch_2 comes before data_batch_10.
        names = sorted(files.batches, key=lambda name: (len(name), name))
        return self._instances(source, files, names)

    @abstractmethod
    def _instances(
        self, source: Path, files: CifarFiles, names: Sequence[str]
    ) -> Iterator[Instance]:
        """Yield the records of the batches `names` of `files`, in this order."""

    def _files(self, source: Path, part: str | None) -> CifarFiles:
        single = source.is_file() and not _is_archive(source)
        if single and part is not None:
            raise DataError(f"{source}: it is one batch file, so nothing can stand behind ::")
        # The path says more than the reader, which serves several paths
        choice = part or self.split
        if choice is None and not single:
            files = self._content(source, "train")
            if not files.batches:
                return self._content(source, "test")
            logger.info(
                "%s: reading the training batches (%s); the test batch is %s::test",
                *(source, ", ".join(files.batches), source),
            )
            return files
        files = self._content(source, choice or "all")
        named = [] if part is None or part in SPLITS else _named(part)
        if missing := ", ".join(name for name in named if name not in files.batches):
            raise DataError(f"{source}: no such batches: {missing}; {self._found_instead(files)}")
        return files

    def _found_instead(self, files: CifarFiles) -> str:
        found = ", ".join([*files.batches, *files.others][:8]) or "nothing"
        return f"{type(self).__name__} looks for {self.layout}; found {found}"

    @classmethod
    def is_batch(cls, name: str, part: str = "all") -> bool:
        """Return whether a file is one of the batches that `part` names.

        Args:
            name: The file's name without `.gz` or `.xz`.
            part: "train", "test", "all", or names of batches with commas between.
        """
        if part not in SPLITS:
            return name in _named(part)
        patterns = cls.batch_names.values() if part == "all" else [cls.batch_names[part]]
        return any(pattern.fullmatch(name) for pattern in patterns)

    @classmethod
    def _source_at(cls, path: Path) -> Path | None:
        """Return `path`, its compressed form, or the published data in a folder; None if absent."""
        for extension in _COMPRESSIONS:
            candidate = path.with_name(path.name + extension) if path.name else path
            if candidate.is_file():
                return candidate
        if not path.is_dir():
            return None
        # Batches in the folder itself come before a download beside them
        if not any(cls.is_batch(plain_name(entry.name)) for entry in path.iterdir()):
            for name in cls.published:
                if (path / name).exists():
                    return path / name
        return path

    def _content(self, source: Path, part: str) -> CifarFiles:
        """Read the batches that `part` names (or the one that `source` is), and the meta files."""
        if _is_archive(source) and source.is_file():
            # Its members come as views of what was unpacked; no caller writes into them
            what = f"{type(self).__name__} {part}"
            return once(source, what, lambda: self._archive_content(source, part))
        if source.is_dir():
            return self._folder_content(sorted(source.iterdir()), part)
        beside = sorted(source.parent.iterdir())
        meta = [entry for entry in beside if plain_name(entry.name) in self.meta_names]
        files = self._folder_content(meta, part)
        files.batches[plain_name(source.name)] = file_content(source)
        return files

    def _folder_content(self, entries: Iterable[Path], part: str) -> CifarFiles:
        files = CifarFiles()
        for entry in entries:  # sorted: the plain file comes before its compressed twins
            name = plain_name(entry.name)
            is_meta = name in self.meta_names
            if not (is_meta or self.is_batch(name, part)) or not entry.is_file():
                files.others.append(entry.name)
            elif name not in (found := files.meta if is_meta else files.batches):
                found[name] = file_content(entry)
        return files

    def _archive_content(self, path: Path, part: str) -> CifarFiles:
        files = CifarFiles()
        try:
            with tarfile.open(path) as archive:
                # In the order of the archive, without seeking back: a packed one would be unpacked
                # again
                for member in archive:
                    name = Path(member.name).name
                    # Links are no files: they could lead to any place of this machine.
                    content = archive.extractfile(member) if member.isfile() else None
                    if content is None:
                        continue
                    is_meta = name in self.meta_names
                    if is_meta or self.is_batch(name, part):
                        found = files.meta if is_meta else files.batches
                        found[name] = np.frombuffer(content.read(), dtype=np.uint8)
                    else:
                        files.others.append(name)
        except DAMAGED as error:
            if is_machine_fault(error):
                raise
            raise DataError(f"{path}: the archive is damaged or cut short: {error}") from error
        return files


def label_names(
    batch: str, level: LabelLevel, meta_name: str, given: Sequence[str] | None
) -> Sequence[str]:
    """Return the names of the labels: those given, else the default names.

    Args:
        batch: The name of the batch, for messages.
        level: One of the two labels of CIFAR-100.
        meta_name: The file that names them.
        given: Its names; None where the file is absent.

    Raises:
        DataError: They are too few or too many.
    """
    if given is None:
        first, second = level.default_names[:2]
        logger.info(
            "%s: no %s beside it, so the labels are called %s, %s ...",
            *(batch, meta_name, first, second),
        )
        return level.default_names
    if len(given) != level.count:
        raise DataError(f"{meta_name}: expected {level.count} label names, found {len(given)}")
    return given


def images_of(planes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return `[n, 32, 32, 3]` of `[n, 3072]` planes of red, green and blue: a view, no copy."""
    return planes.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)


def _named(part: str) -> list[str]:
    return [plain_name(name.strip()) for name in part.split(",")]


def _is_archive(path: Path) -> bool:
    return path.name.lower().endswith(_ARCHIVES)
