"""The bytes of plain and compressed files, each unpacked once where many data sets are read."""

from __future__ import annotations

import gzip
import lzma
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from allencv_al.common.errors import DataError, is_machine_fault

T = TypeVar("T")

DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError, tarfile.TarError)
"""Errors of a compressed file or archive that cannot be unpacked, or not to its end."""

_kept: ContextVar[dict[tuple[object, ...], Any] | None] = ContextVar("kept", default=None)


@contextmanager
def kept_contents() -> Iterator[None]:
    """Unpack each compressed file once within this context, for all that is read from it.

    The runs of a comparison read the same files, and unpacking takes longer than their rounds. What
    was unpacked stays in memory until the context ends; a file that has changed is unpacked again.
    """
    token = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(token)


def once(path: Path, part: str, unpack: Callable[[], T]) -> T:
    """Return what `unpack` makes of a part of a file, or made of it within `kept_contents`."""
    kept = _kept.get()
    if kept is None:
        return unpack()
    stat = path.stat()
    key = (path.absolute(), part, stat.st_ino, stat.st_size, stat.st_mtime_ns)
    if key not in kept:
        kept[key] = unpack()
    found: T = kept[key]
    return found


def plain_name(name: str) -> str:
    """Return a file's name without `.gz` or `.xz`."""
    return re.sub(r"\.(gz|xz)$", "", name)


def file_content(path: Path) -> NDArray[np.uint8]:
    """Return the bytes of a file: mapped, or, of a .gz or .xz, unpacked in memory.

    Raises:
        DataError: It is empty or damaged.
    """
    if path.stat().st_size == 0:
        raise DataError(f"{path}: it is empty (0 bytes)")
    if plain_name(path.name) == path.name:
        # Mapped: a batch that is not shown takes no memory
        return np.asarray(np.memmap(path, dtype=np.uint8, mode="r"))
    return once(path, "", lambda: _unpacked(path))


def _unpacked(path: Path) -> NDArray[np.uint8]:
    opener = gzip.open if path.name.endswith(".gz") else lzma.open
    try:
        with opener(path) as stream:
            return np.frombuffer(stream.read(), dtype=np.uint8)
    except DAMAGED as error:
        if is_machine_fault(error):
            raise
        raise DataError(f"{path}: it is damaged or cut short: {error}") from error
