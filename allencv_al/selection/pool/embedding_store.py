"""`EmbeddingStore`: embeddings that all commands share, by encoder and by content of the image.

The folder of one holds::

    images.sqlite          digests of the files that were read
    KEY/about.json         the encoder, for people
    KEY/BLOCK.embeddings   a header, then the digests of images and their rows
    KEY/NN.lock            held by a process that encodes

A block is written under a temporary name, flushed and renamed, and never changed: readers need no
lock, a kill leaves whole blocks only, and several processes add theirs side by side. The header has
the SHA-256 of what follows, so a damaged block is found when it is read, removed, and its images
are encoded again. The time of a block is that of its last use: where the store is larger than its
limit, the blocks that were not used for the longest time go first.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from allencv_al.common import process
from allencv_al.common.errors import ConfigurationError
from allencv_al.common.files import atomic_file
from allencv_al.common.files.paths import expanded, user_cache_folder

logger = logging.getLogger(__name__)

FloatRows = NDArray[np.float32]

VARIABLE = "ALLENCV_AL_EMBEDDING_CACHE"
LIMIT_VARIABLE = "ALLENCV_AL_EMBEDDING_CACHE_GB"
OFF = "off"
DEFAULT_LIMIT_GB = 10.0

DIGEST_BYTES = 32
_MEMO = "images.sqlite"
_ABOUT = "about.json"
_SUFFIX = ".embeddings"
_MAGIC = "allencv_al embeddings 1"
_HEADER_BYTES = 256  # of fixed length, so that the rows lie at multiples of 4 bytes
_MOST_LOCKS = 256
_GIGABYTE = 10**9
_STARTED = time.time() - 2.0  # the clock of a file system may be behind


@dataclass(frozen=True)
class StoredEncoder:
    """The embeddings of one encoder in a store.

    Args:
        key: The name of its folder.
        about: The folder's record of the encoder.
        rows: Number of images.
        size: Bytes.
        last_used: Seconds since the epoch; 0 if there is no block.
    """

    key: str
    about: Mapping[str, Any]
    rows: int
    size: int
    last_used: float


@dataclass(frozen=True)
class _Block:
    path: Path
    rows: int
    width: int
    digest: str

    @property
    def size(self) -> int:
        return _HEADER_BYTES + self.rows * (DIGEST_BYTES + 4 * self.width)


class EmbeddingStore:
    """A folder of embeddings, limited in size; any number of processes may use it at once.

    Args:
        folder: The folder; made with the first block.
        limit: The most bytes.
    """

    def __init__(self, folder: Path, limit: float = DEFAULT_LIMIT_GB * _GIGABYTE) -> None:
        self.folder = folder
        self.limit = limit

    @property
    def memo(self) -> Path:
        """The file that remembers digests of images."""
        return self.folder / _MEMO

    def encoder(self, key: str, about: Mapping[str, Any]) -> StoredRows:
        """Return the embeddings of an encoder.

        Args:
            key: A digest of all that they depend on beside the images.
            about: Its line in `allencv-al cache list`.
        """
        return StoredRows(self.folder / key[:32], about)

    def encoders(self) -> list[StoredEncoder]:
        """Return what the store holds, the last used encoder first."""
        found = []
        for folder in self._folders():
            blocks = list(_readable(folder))
            times = [_used(block.path) for block in blocks]
            rows, size = sum(b.rows for b in blocks), sum(block.size for block in blocks)
            about = _about(folder)
            found.append(StoredEncoder(folder.name, about, rows, size, max(times, default=0.0)))
        return sorted(found, key=lambda one: -one.last_used)

    def clear(self) -> int:
        """Remove all embeddings and digests; return how many bytes that were.

        Raises:
            OSError: Something cannot be removed.
        """
        freed = sum(encoder.size for encoder in self.encoders())
        for folder in self._folders():
            # The record goes last: without it a rest would belong to no encoder
            for file in sorted(folder.iterdir(), key=lambda file: file.name == _ABOUT):
                file.unlink(missing_ok=True)
            with suppress(OSError):  # another process has put something in since
                folder.rmdir()
        for file in self.folder.glob(f"{_MEMO}*"):
            file.unlink(missing_ok=True)
        return freed

    def trim(self) -> int:
        """Remove the blocks that were not used for the longest time until the limit holds.

        What this process has used stays, so a pool that is larger than the limit is kept whole
        until another one needs the room.

        Returns:
            The number of bytes removed.
        """
        blocks = []
        for folder in self._folders():
            for path in _blocks_in(folder):
                with suppress(OSError):  # another process has removed it
                    found = path.stat()
                    blocks.append((found.st_mtime, found.st_size, path))
        excess = sum(size for _, size, _ in blocks) - self.limit
        freed = 0
        for used, size, path in sorted(blocks):
            if freed >= excess or used >= _STARTED:
                break
            with suppress(OSError):
                path.unlink()
                freed += size
        if freed:
            logger.info("%s: removed the least recently used %d MB", self.folder, freed // 10**6)
        return freed

    def _folders(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        # Only what looks like ours: the user may have named a folder with other things in it
        return [path.parent for path in sorted(self.folder.glob(f"*/{_ABOUT}"))]


class StoredRows:
    """The embeddings of one encoder, by the digests of images.

    Args:
        folder: The folder of its blocks.
        about: The record of the encoder.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any]) -> None:
        self._folder = folder
        self._about = about
        self._index: dict[bytes, tuple[_Block, int]] = {}

    def refresh(self) -> None:
        """Read which images the blocks hold; rows are read and checked when they are asked for."""
        self._index = {}
        for path in _blocks_in(self._folder):
            try:
                block = _read_header(path)
                digests = b"" if block is None else _read_part(path, block.rows * DIGEST_BYTES)
            except OSError as error:
                _skip(path, error)
                continue
            if block is None or len(digests) < block.rows * DIGEST_BYTES:
                _discard(path, "it is cut off, or no block")
                continue
            for row in range(block.rows):
                digest = digests[row * DIGEST_BYTES : (row + 1) * DIGEST_BYTES]
                self._index[digest] = block, row

    def has(self, digest: bytes) -> bool:
        """Return whether the last `refresh` found a row of an image."""
        return digest in self._index

    def read(self, digests: Sequence[bytes]) -> Iterator[tuple[NDArray[np.int64], FloatRows]]:
        """Yield positions in `digests` with their rows, `[n]` and `[n, D]`, block by block.

        Positions of images that are not there, or whose block is damaged, never come.
        """
        wanted: dict[Path, tuple[_Block, list[tuple[int, int]]]] = {}
        for position, digest in enumerate(digests):
            if digest in self._index:
                block, row = self._index[digest]
                wanted.setdefault(block.path, (block, []))[1].append((position, row))
        for block, places in wanted.values():
            try:
                rows = _read_rows(block)
            except OSError as error:
                _skip(block.path, error)
                continue
            if rows is None:
                continue
            with suppress(OSError):
                os.utime(block.path)
            positions, numbers = (np.array(part, np.int64) for part in zip(*places, strict=True))
            yield positions, rows[numbers]

    def append(self, digests: Sequence[bytes], rows: FloatRows) -> None:
        """Write a block; it is on the disk when this returns.

        Args:
            digests: Digests of images, `[n]`.
            rows: Their embeddings, `[n, D]`.

        Raises:
            OSError: It cannot be written.
        """
        if not len(digests):
            return
        if not (self._folder / _ABOUT).exists():
            atomic_file.make_folder(self._folder)
            atomic_file.write_json(self._folder / _ABOUT, dict(self._about))
        body = b"".join(digests) + np.ascontiguousarray(rows, dtype="<f4").tobytes()
        header = {
            "format": _MAGIC,
            "rows": len(digests),
            "width": rows.shape[1],
            "sha256": hashlib.sha256(body).hexdigest(),
        }
        text = json.dumps(header).ljust(_HEADER_BYTES - 1) + "\n"
        name = f"{time.time_ns():020d}-{secrets.token_hex(4)}{_SUFFIX}"
        atomic_file.write_bytes(self._folder / name, text.encode("ascii") + body)

    @contextmanager
    def turn(self, work: str) -> Iterator[None]:
        """Wait until no other process encodes the same images, and keep others waiting.

        Args:
            work: A digest of the images that are asked for, 64 hexadecimal digits.
        """
        lock = self._lock(int(work[:8], 16) % _MOST_LOCKS)
        if lock is None:
            yield
            return
        with lock:
            try:
                process.lock(lock)
            except BlockingIOError:
                logger.info("waiting for another process that encodes these images")
                with suppress(OSError):
                    process.lock(lock, wait=True)
            except OSError as error:  # some network file systems have no locks
                logger.debug("%s: cannot be locked: %s", self._folder, error)
            yield

    def _lock(self, number: int) -> IO[bytes] | None:
        try:
            atomic_file.make_folder(self._folder)
            return (self._folder / f"{number:02x}.lock").open("wb")
        except OSError as error:  # full, or read-only: two processes may do the same work
            logger.debug("%s: no lock: %s", self._folder, error)
            return None


def store_at(place: str | None = None) -> EmbeddingStore | None:
    """Return the store that an option or the environment names; None if it is `off`.

    Args:
        place: A folder, or `off`. Default: the variable `ALLENCV_AL_EMBEDDING_CACHE`, else a folder
            in the user's cache folder, or none for a user without a home folder.

    Raises:
        ConfigurationError: The variable `ALLENCV_AL_EMBEDDING_CACHE_GB`, the limit of its size in
            gigabytes, is no number above 0.
    """
    caches = user_cache_folder()
    default = OFF if caches is None else str(caches / "embeddings")
    text = place or os.environ.get(VARIABLE) or default
    if text == OFF:
        return None
    limit = os.environ.get(LIMIT_VARIABLE) or str(DEFAULT_LIMIT_GB)
    with suppress(ValueError):
        if 0 < float(limit) < float("inf"):
            return EmbeddingStore(expanded(text).absolute(), float(limit) * _GIGABYTE)
    raise ConfigurationError(f'{LIMIT_VARIABLE}: expected a number above 0, found "{limit}"')


def _readable(folder: Path) -> Iterator[_Block]:
    for path in _blocks_in(folder):
        with suppress(OSError):
            block = _read_header(path)
            if block is not None:
                yield block


def _blocks_in(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == _SUFFIX)
    except OSError:
        return []


def _read_header(path: Path) -> _Block | None:
    """Return the block of a file, None if it holds none; raise OSError if it cannot be read."""
    with path.open("rb") as file:
        text = file.read(_HEADER_BYTES)
    try:
        header = json.loads(text)
        if header["format"] != _MAGIC or len(text) < _HEADER_BYTES:
            return None
        block = _Block(path, int(header["rows"]), int(header["width"]), str(header["sha256"]))
    except (ValueError, KeyError, TypeError, OverflowError):
        return None
    return block if min(block.rows, block.width) >= 0 else None


def _read_part(path: Path, length: int) -> bytes:
    with path.open("rb") as file:
        file.seek(_HEADER_BYTES)
        return file.read(length)


def _read_rows(block: _Block) -> FloatRows | None:
    """Return the rows of a block; None, and no block, if they are not what was written."""
    body = _read_part(block.path, block.size)
    if hashlib.sha256(body).hexdigest() != block.digest:
        _discard(block.path, "its content is not what was written")
        return None
    rows = np.frombuffer(body, "<f4", offset=block.rows * DIGEST_BYTES)
    return rows.reshape(block.rows, block.width).astype(np.float32, copy=False)


def _discard(path: Path, why: str) -> None:
    logger.warning("%s: %s; its images are encoded again", path, why)
    with suppress(OSError):
        path.unlink()


def _skip(path: Path, error: OSError) -> None:
    """Leave a block where it is: another process has removed it, or it may be read again later."""
    if path.exists():
        logger.warning("%s: %s; its images are encoded again", path, error.strerror or error)


def _about(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / _ABOUT).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _used(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
