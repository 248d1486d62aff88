"""The files of the CIFAR binary layout, wherever they are: a folder, an archive, or one of them.

Nothing is unpacked to disk. A plain file is mapped, a compressed one is held in memory.
"""

from __future__ import annotations

import gzip
import lzma
import re
import tarfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from allencv_al.common.errors import DataError
from allencv_al.common.files.text_files import decode_text

COMPRESSIONS = ("", ".gz", ".xz")
ARCHIVES = (".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".tar")
BATCH_NAMES = {
    "train": re.compile(r"(data_batch_\d+|train)\.bin"),
    "test": re.compile(r"test(_batch)?\.bin"),
}
META_NAMES = ("batches.meta.txt", "fine_label_names.txt", "coarse_label_names.txt")
# What the published archives are called and what they unpack to, so that the folder they were
# downloaded to can be given as well.
PUBLISHED = (
    *("cifar-10-batches-bin", "cifar-100-binary"),
    *("cifar-10-binary.tar.gz", "cifar-100-binary.tar.gz"),
)

_DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError, tarfile.TarError)


@dataclass(slots=True)
class CifarFiles:
    """What has been read.

    Args:
        batches: The bytes of each batch file as a uint8 vector, by name without `.gz` or `.xz`.
        meta: The label names in each meta file, by its name.
        others: Names of files that are there and were not asked for.
    """

    batches: dict[str, NDArray[np.uint8]] = field(default_factory=dict)
    meta: dict[str, list[str]] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)


def plain_name(name: str) -> str:
    """Return a file's name without `.gz` or `.xz`."""
    return re.sub(r"\.(gz|xz)$", "", name)


def is_archive(path: Path) -> bool:
    """Return whether `path` is named as a tar archive."""
    return path.name.lower().endswith(ARCHIVES)


def resolve(path: Path) -> Path | None:
    """Return what is there: `path`, its compressed form, or the published data inside a folder."""
    for extension in COMPRESSIONS:
        candidate = path.with_name(path.name + extension) if path.name else path
        if candidate.is_file():
            return candidate
    if not path.is_dir():
        return None
    if not any(_is_batch(plain_name(entry.name)) for entry in path.iterdir()):
        for name in PUBLISHED:
            if (path / name).exists():
                return path / name
    return path


def read_files(path: Path, wanted: Callable[[str], bool]) -> CifarFiles:
    """Read the batch files that are wanted, and every meta file.

    Args:
        path: A folder, a tar archive, or one batch file (then it is read whatever its name), as
            `resolve` returned it.
        wanted: Whether a file of this name (without `.gz` or `.xz`) is to be read.

    Raises:
        DataError: A file cannot be read or unpacked; it is named.
    """
    if path.is_dir():
        return _read_folder(sorted(path.iterdir()), wanted)
    if is_archive(path):
        return _read_archive(path, wanted)
    beside = (path.parent / name for name in META_NAMES)
    files = _read_folder([file for file in beside if file.is_file()], wanted)
    files.batches[plain_name(path.name)] = _read_batch(path)
    return files


def _is_batch(name: str) -> bool:
    return any(pattern.fullmatch(name) for pattern in BATCH_NAMES.values())


def _read_folder(entries: Iterable[Path], wanted: Callable[[str], bool]) -> CifarFiles:
    files = CifarFiles()
    for entry in entries:  # sorted: the plain file comes before its compressed twins
        name = plain_name(entry.name)
        if name in META_NAMES:
            files.meta.setdefault(name, _label_names(entry.name, entry.read_bytes()))
        elif wanted(name) and entry.is_file():
            if name not in files.batches:
                files.batches[name] = _read_batch(entry)
        else:
            files.others.append(entry.name)
    return files


def _read_archive(path: Path, wanted: Callable[[str], bool]) -> CifarFiles:
    files = CifarFiles()
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = Path(member.name).name
                content = archive.extractfile(member) if member.isfile() else None
                if content is None:
                    continue
                if name in META_NAMES:
                    files.meta[name] = _label_names(f"{path}::{name}", content.read())
                elif wanted(name):
                    files.batches[name] = np.frombuffer(content.read(), dtype=np.uint8)
                else:
                    files.others.append(name)
    except _DAMAGED as error:
        raise DataError(f"{path}: the archive is damaged or cut short: {error}") from error
    return files


def _read_batch(path: Path) -> NDArray[np.uint8]:
    if path.stat().st_size == 0:
        raise DataError(f"{path}: it is empty (0 bytes)")
    if plain_name(path.name) == path.name:
        return np.asarray(np.memmap(path, dtype=np.uint8, mode="r"))
    opener = gzip.open if path.name.endswith(".gz") else lzma.open
    try:
        with opener(path) as stream:
            return np.frombuffer(stream.read(), dtype=np.uint8)
    except _DAMAGED as error:
        raise DataError(f"{path}: it is damaged or cut short: {error}") from error


def _label_names(name: str, content: bytes) -> list[str]:
    lines = decode_text(content, name, "save it as UTF-8, one label name a line").splitlines()
    return [line.strip() for line in lines if line.strip()]
