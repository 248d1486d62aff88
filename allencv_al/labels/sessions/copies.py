"""Files with the same content under several names."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

_HEAD = 65_536  # bytes that tell most files of one size apart


def copies_of(files: Mapping[str, Path]) -> dict[str, str]:
    """Return for each file that is byte-equal to one before it which that is, by their ids.

    Only files of one size are read, and only those with the same beginning to their end.

    Args:
        files: The files by the ids of their images; those that cannot be read are passed over.
    """
    found = {}
    for group in _groups(files, files, lambda path: path.stat().st_size):
        for alike in _groups(files, group, lambda path: _digest(path, _HEAD)):
            for first, *others in _groups(files, alike, lambda path: _digest(path, -1)):
                found.update(dict.fromkeys(others, first))
    return found


def _groups(
    files: Mapping[str, Path], ids: Iterable[str], key: Callable[[Path], object]
) -> list[list[str]]:
    """Return the ids that have a key in common with another one, in their order."""
    groups: dict[object, list[str]] = defaultdict(list)
    for id in ids:
        try:
            groups[key(files[id])].append(id)
        except OSError:
            continue
    return [group for group in groups.values() if len(group) > 1]


def _digest(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        if size < 0:
            return hashlib.file_digest(file, "sha256").digest()
        return hashlib.sha256(file.read(size)).digest()
