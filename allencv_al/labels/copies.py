"""Images with the same content under several names."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from allencv_al.data.instance import Instance

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


def copies_of_images(items: Iterable[Instance], ids: Collection[str]) -> dict[str, str]:
    """Return which images have the content of one of `ids` and are none of them, with that one.

    Args:
        items: All images: files, or contents.
        ids: The ids of the originals.
    """
    if not ids:
        return {}
    ordered = sorted(items, key=lambda item: item.id not in ids)  # originals come first
    files = {item.id: Path(item.image) for item in ordered if isinstance(item.image, str | Path)}
    # Of a large folder only files of the sizes of the few originals are worth reading
    sizes = {id: _size(file) for id, file in files.items()}
    wanted = {size for id, size in sizes.items() if id in ids and size is not None}
    found = copies_of({id: file for id, file in files.items() if sizes[id] in wanted})
    first: dict[bytes, str] = {}
    for item in ordered:
        content = _content(item.image)
        if content is not None and first.setdefault(content, item.id) != item.id:
            found[item.id] = first[content]
    return {copy: of for copy, of in found.items() if of in ids and copy not in ids}


def equal_images(items: Sequence[Instance]) -> list[list[int]]:
    """Return the groups of images with equal content, by their places; ids may occur twice.

    Only files whose size another one has are read, as `copies_of` reads them.

    Args:
        items: All images: files, or contents.
    """
    files = {
        str(place): Path(item.image)
        for place, item in enumerate(items)
        if isinstance(item.image, str | Path)
    }
    first = {int(copy): int(original) for copy, original in copies_of(files).items()}
    seen: dict[bytes, int] = {}
    for place, item in enumerate(items):
        content = _content(item.image)
        if content is not None and seen.setdefault(content, place) != place:
            first[place] = seen[content]
    groups: dict[int, list[int]] = {}
    for copy, original in sorted(first.items()):
        groups.setdefault(original, [original]).append(copy)
    return list(groups.values())


def _size(file: Path) -> int | None:
    try:
        return file.stat().st_size
    except OSError:
        return None


def _content(image: object) -> bytes | None:
    """Return a digest of an image that is no file; None without content."""
    if isinstance(image, np.ndarray):
        return hashlib.sha256(np.ascontiguousarray(image).data).digest()
    return hashlib.sha256(image).digest() if isinstance(image, bytes) and image else None


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
