"""Digests of images by their content, and a memo of those of files that have not changed."""

from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import numpy as np

from allencv_al.common.files.atomic_file import make_folder
from allencv_al.data.instance import Instance

logger = logging.getLogger(__name__)

# Size, time of the last change of the content, that of the content or the entry, number on the disk
Signature = tuple[int, int, int, int]

# A file that was changed so shortly before it was read may be changed again within one tick of
# the file system's clock (2 s at most, on FAT), and nothing but its content would tell
_SETTLED_NS = 2_000_000_000
_SECONDS_TO_WAIT = 10.0
_AT_A_TIME = 500  # below the most parameters of any SQLite
_MOST_REMEMBERED = 2_000_000  # some 300 MB
_TABLE = (
    "CREATE TABLE IF NOT EXISTS image (path TEXT PRIMARY KEY, size INTEGER, mtime INTEGER, "
    "ctime INTEGER, inode INTEGER, digest BLOB) WITHOUT ROWID"
)


class ImageDigests(AbstractContextManager["ImageDigests"]):
    """SHA-256 of the content of images: of a file its bytes, of an array its pixels.

    A file is read once; its digest is remembered beside its size, its times and its number on the
    disk, as git does in its index. Times of change that a user can set back (`touch`, `rsync -t`)
    are no risk: the system sets the other one (ctime). A file that has just been changed is not
    remembered. So a changed file is read again, and one of the same content has the same digest
    wherever it lies.

    Args:
        memo: The file of the memo; several processes may use it. One that cannot be used costs
            reading the files again, no more. None for no memo.
        num_threads: Threads that read files.
    """

    def __init__(self, memo: Path | None, num_threads: int | None = None) -> None:
        self._path = memo
        self._threads = ThreadPoolExecutor(num_threads or min(os.cpu_count() or 1, 16), "digest")
        self._memo: sqlite3.Connection | None = None
        self._seen: dict[str, Signature] = {}
        self._open()

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(cancel_futures=True)
        if self._memo is not None:
            self._memo.close()

    def of(self, instances: Sequence[Instance]) -> list[bytes | None]:
        """Return the digest of each image, 32 bytes; None where there is none to be had.

        That is the case for files that cannot be read, and for PIL images, which may be anything.
        """
        paths = {path for one in instances if (path := _path_of(one)) is not None}
        signatures = dict(zip(paths, self._threads.map(_signature, paths), strict=True))
        known = self._remembered({p: s for p, s in signatures.items() if s is not None})
        new = [path for path in paths if path not in known and signatures[path] is not None]
        started = time.time_ns()
        read = dict(zip(new, self._threads.map(_digest_of_file, new), strict=True))
        self._remember(
            [
                (path, *signature, digest)
                for path, digest in read.items()
                if digest is not None
                and (signature := signatures[path]) is not None
                and max(signature[1:3]) < started - _SETTLED_NS
            ]
        )
        for path, signature in signatures.items():
            if signature is not None:
                self._seen[path] = signature
        found = {**known, **read}
        return [
            _digest_in_memory(one) if (path := _path_of(one)) is None else found.get(path)
            for one in instances
        ]

    def is_unchanged(self, instance: Instance) -> bool:
        """Return whether the image is still what its digest was taken of."""
        path = _path_of(instance)
        return path is None or _signature(path) == self._seen.get(path)

    # -- The memo -----------------------------------------------------------------------------

    def _open(self) -> None:
        if self._path is None:
            return
        with self._forgiving():
            make_folder(self._path.parent)
            self._memo = sqlite3.connect(
                self._path, _SECONDS_TO_WAIT, isolation_level=None, check_same_thread=False
            )
            self._memo.execute(_TABLE)
            (count,) = self._memo.execute("SELECT COUNT(*) FROM image").fetchone()
            if count > _MOST_REMEMBERED:  # most are of files that are gone; others come again
                self._memo.execute("DELETE FROM image")

    def _remembered(self, signatures: dict[str, Signature]) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        paths = list(signatures)
        with self._forgiving():
            for start in range(0, len(paths) if self._memo is not None else 0, _AT_A_TIME):
                some = paths[start : start + _AT_A_TIME]
                marks = ", ".join("?" * len(some))
                assert self._memo is not None
                rows = self._memo.execute(f"SELECT * FROM image WHERE path IN ({marks})", some)  # noqa: S608  only marks
                for path, size, mtime, ctime, inode, digest in rows:
                    if signatures[path] == (size, mtime, ctime, inode):
                        found[path] = digest
        return found

    def _remember(self, rows: Sequence[tuple[str, int, int, int, int, bytes]]) -> None:
        if self._memo is None or not rows:
            return
        with self._forgiving():
            self._memo.execute("BEGIN IMMEDIATE")
            self._memo.executemany("INSERT OR REPLACE INTO image VALUES (?, ?, ?, ?, ?, ?)", rows)
            self._memo.execute("COMMIT")

    def _forgiving(self) -> AbstractContextManager[None]:
        return _Forgiving(self)

    def give_up(self, error: Exception) -> None:
        logger.debug("%s: digests are not remembered: %s", self._path, error)
        if self._memo is not None:
            self._memo.close()
            self._memo = None
        damaged = isinstance(error, sqlite3.DatabaseError) and not isinstance(
            error, sqlite3.OperationalError
        )
        if damaged and self._path is not None:  # the next call begins a new one
            with suppress(OSError):
                self._path.unlink()


class _Forgiving(AbstractContextManager[None]):
    """Give up the memo of digests where it fails: it only saves time."""

    def __init__(self, digests: ImageDigests) -> None:
        self._digests = digests

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        if not isinstance(error, sqlite3.Error | OSError | UnicodeError):
            return False
        self._digests.give_up(error)
        return True


def _path_of(instance: Instance) -> str | None:
    image = instance.image
    return os.path.abspath(image) if isinstance(image, str | Path) else None  # noqa: PTH100  10 times as fast


def _signature(path: str) -> Signature | None:
    try:
        found = os.stat(path)  # noqa: PTH116  twice as fast
    except (OSError, ValueError):
        return None
    # 64 bits with a sign are what SQLite holds
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino & (2**63 - 1)


def _digest_of_file(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:  # decoding says what is wrong with it
        return None


def _digest_in_memory(instance: Instance) -> bytes | None:
    image = instance.image
    if isinstance(image, bytes):
        return hashlib.sha256(image).digest()
    if isinstance(image, np.ndarray):
        hasher = hashlib.sha256(f"array {image.dtype.str} {image.shape} ".encode())
        hasher.update(np.ascontiguousarray(image).data)
        return hasher.digest()
    return None
