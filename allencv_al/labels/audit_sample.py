"""Images of the audit sample, and images with the same content under several names."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from allencv_al.data.id_hash import id_hashes
from allencv_al.data.instance import Instance
from allencv_al.labels.database import Database

USE, AUDIT = "use", "audit"
"""The column of a table that marks the images of an audit sample, and the word in it."""

# Not part of the schema: databases of older versions lack the table, and older versions ignore it
_CREATE = (
    "CREATE TABLE IF NOT EXISTS audit (id TEXT PRIMARY KEY, is_drawn INTEGER NOT NULL) "
    "WITHOUT ROWID"
)
_EXISTS = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'audit'"


class AuditStore:
    """The audit sample of a run or of a labeling; an image in it stays in it.

    The images are drawn by a seeded hash of their ids: the sample is every image whose hash is at
    most a threshold, which only ever rises. So it is uniform at each time, whatever strategies have
    chosen meanwhile: a larger sample keeps the images of the smaller one, and images that come
    later join in the same proportion.

    Args:
        database: The database of the run or of the labeling.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def ids(self) -> set[str]:
        """Return the ids of the sample."""
        return set(self._rows())

    def add(self, ids: Sequence[str]) -> None:
        """Add images that were drawn elsewhere, such as those that a table marks."""
        self._add(ids, is_drawn=False)

    def draw(self, candidates: Sequence[str], size: int, seed: int) -> list[str]:
        """Extend the sample to `size` images, and by new candidates in proportion.

        Args:
            candidates: The ids of all images that the sample is to stand for, chosen ones included.
            size: Number of images; all candidates if there are fewer.
            seed: Seed of the draw; another one would end the uniformity.

        Returns:
            The new images, in the order of their hashes.
        """
        known = self._rows()
        given = {id for id, is_drawn in known.items() if not is_drawn}
        # A uniform sample of what a uniform sample has left makes one uniform sample with it
        ids = [id for id in candidates if id not in given]
        size = min(size - len(given), len(ids))
        hashes = id_hashes((f"{AUDIT}/{id}" for id in ids), seed)
        order = np.argsort(hashes, kind="stable")
        drawn = np.fromiter((known.get(id, False) for id in ids), bool, len(ids))
        limits = [int(hashes[drawn].max())] if drawn.any() else []
        limits += [int(hashes[order[size - 1]])] if size > 0 else []
        if not limits:
            return []
        new = [
            ids[place]
            for place in order.tolist()
            if int(hashes[place]) <= max(limits) and ids[place] not in known
        ]
        self._add(new, is_drawn=True)
        return new

    def _rows(self) -> dict[str, bool]:
        if not self._database.rows(_EXISTS):
            return {}
        rows = self._database.rows("SELECT id, is_drawn FROM audit")
        return {id: bool(is_drawn) for id, is_drawn in rows}

    def _add(self, ids: Sequence[str], is_drawn: bool) -> None:
        if not ids:
            return
        with self._database.transaction() as connection:
            connection.execute(_CREATE)
            connection.executemany(
                "INSERT OR IGNORE INTO audit VALUES (?, ?)", ((id, is_drawn) for id in ids)
            )


def is_audit(instance: Instance) -> bool:
    """Return whether a table marks an image as part of an audit sample."""
    return is_marked(instance.metadata)


def is_marked(values: Mapping[str, Any]) -> bool:
    """Return whether the values of a row, by column, mark an image of an audit sample."""
    return str(values.get(USE) or "").strip().casefold() == AUDIT


def marked(metadata: Mapping[str, Any], is_audited: bool) -> dict[str, Any]:
    """Return metadata of an image, with the mark of an audit sample or without it."""
    others = {name: value for name, value in metadata.items() if name != USE}
    return {**others, USE: AUDIT} if is_audited else others


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
