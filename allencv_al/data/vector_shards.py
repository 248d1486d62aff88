"""`ShardStore`: vectors of a pool in shards, each written once, read memory-mapped.

The folder of one holds::

    manifest.json                    what the vectors are of, and how many images there are
    shards/K/embeddings.npy          float16 `[n, D]`; with a trained model also logits.npy `[n, C]`
    shards/K/hashes.npy              64-bit hashes of the ids of its rows
    shards/K/items.json              ids, labels, and the images that cannot be read
    shards/K/done.json               size and SHA-256 of each of these, written last
    claims/K                         the process that is at work on a shard

A shard gets its name by one rename, when all of it is on the disk: it is whole or not there.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import DTypeLike, NDArray

from allencv_al.common.errors import DataError
from allencv_al.common.files import atomic_file
from allencv_al.common.files.claims import lease
from allencv_al.common.task_processes import Postponed
from allencv_al.data.id_hash import id_hashes

logger = logging.getLogger(__name__)

FORMAT = "allencv_al vectors 1"

_MANIFEST = "manifest.json"
_DONE = "done.json"
_ITEMS = "items.json"
_HASHES = "hashes"
_OLD_SECONDS = 3600.0  # a shard that is being written has been for less
_WAIT_SECONDS = 0.5  # before a shard that another process has is tried again
_HALF = np.finfo(np.float16)

HalfRows = NDArray[np.float16]


@dataclass(frozen=True)
class StoreManifest:
    """The description of a store, written once.

    Args:
        encoder: The name of the encoder or archive, for people.
        fingerprint: A digest of all that vectors depend on beside the images.
        pool: A digest of the ids of the images, in their order.
        images: Number of images.
        shard_size: Images of a shard; the last one may have fewer.
        outputs: The arrays of each shard.
        classes: The classes of logits, in the order of their columns.
        format: The version of the layout.
    """

    encoder: str
    fingerprint: str
    pool: str
    images: int
    shard_size: int
    outputs: Sequence[str]
    classes: Sequence[str] = ()
    format: str = FORMAT

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-self.images // self.shard_size)


@dataclass(frozen=True)
class ShardContent:
    """The content of a shard.

    Args:
        ids: The images that could be read.
        arrays: float16, a row for each of them.
        labels: The label of each of them as text, or None.
        unreadable: The other images, with the causes.
    """

    ids: Sequence[str]
    arrays: Mapping[str, HalfRows]
    labels: Sequence[str | None]
    unreadable: Mapping[str, str] = field(default_factory=dict)


def is_shard_store(folder: Path) -> bool:
    """Return whether a folder is a store of vectors, whole or not."""
    try:
        return bool(_read_json(folder / _MANIFEST).get("format") == FORMAT)
    except (OSError, ValueError, AttributeError):
        return False


def read_manifest(folder: Path) -> StoreManifest:
    """Read what a store holds.

    Raises:
        DataError: The folder is no store, or its manifest is damaged.
    """
    try:
        return StoreManifest(**_read_json(folder / _MANIFEST))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{folder}: is no store of vectors as encode makes it: {error}") from error


def write_manifest(folder: Path, manifest: StoreManifest) -> None:
    """Begin a store."""
    atomic_file.write_json(folder / _MANIFEST, asdict(manifest))
    for name in ("shards", "claims"):
        atomic_file.make_folder(folder / name)


def shard_folder(folder: Path, number: int) -> Path:
    """Return the folder of a shard."""
    return folder / "shards" / f"{number:06d}"


def claim_path(folder: Path, number: int) -> Path:
    """Return the lease of a shard."""
    return folder / "claims" / f"{number:06d}"


def half(rows: NDArray[np.floating[Any]], ids: Sequence[str]) -> HalfRows:
    """Return rows as float16.

    Raises:
        DataError: A value is infinite, NaN, or over 65,504; the first few ids are named.
    """
    odd = ~(np.abs(rows) <= float(_HALF.max)).all(axis=1)
    if odd.any():
        named = [ids[row] for row in np.flatnonzero(odd)[:5]]
        raise DataError(f"vectors of {', '.join(named)}: values do not fit into float16")
    return rows.astype(np.float16)


def write_shard(folder: Path, number: int, content: ShardContent) -> None:
    """Write a shard, unless another process has done so; both would write the same."""
    try:
        with atomic_file.atomic_directory(shard_folder(folder, number), replaces=False) as shard:
            for name, rows in content.arrays.items():
                np.save(shard / f"{name}.npy", rows)
            np.save(shard / f"{_HASHES}.npy", id_hashes(content.ids, 0))
            items = {
                "ids": list(content.ids),
                "labels": list(content.labels),
                "unreadable": dict(content.unreadable),
            }
            (shard / _ITEMS).write_text(json.dumps(items), encoding="utf-8")
            files = {file.name: _facts(file) for file in sorted(shard.iterdir())}
            (shard / _DONE).write_text(json.dumps(files, indent=2), encoding="utf-8")
    except FileExistsError:
        logger.debug("%s: shard %d was there already", folder, number)


def make_shard(
    folder: Path, number: int, compute: Callable[[], ShardContent]
) -> ShardContent | Postponed | None:
    """Compute and write a shard, unless another process has done so or is at it.

    Args:
        folder: The store.
        number: The shard.
        compute: Computes its content.

    Returns:
        The content; None for a shard that is there; `Postponed` while another process is at it.
    """
    with lease(claim_path(folder, number)) as is_held:
        if shard_folder(folder, number).is_dir():
            return None
        if not is_held:
            time.sleep(_WAIT_SECONDS)  # so that a queue of such shards is no busy loop
            return Postponed()
        content = compute()
        write_shard(folder, number, content)
    return content


def clean_shards(folder: Path) -> list[int]:
    """Remove damaged shards and what killed processes left; return the numbers of whole shards.

    The content of each is compared with its SHA-256.
    """
    whole = []
    for shard in sorted((folder / "shards").iterdir()):
        if not shard.name.isdecimal():
            if time.time() - shard.stat().st_mtime > _OLD_SECONDS:
                shutil.rmtree(shard, ignore_errors=True)
        elif _is_whole(shard):
            whole.append(int(shard.name))
        else:
            logger.warning("%s: is damaged, and removed", shard)
            shutil.rmtree(shard)
    return whole


@final
class ShardRows:
    """Rows of several arrays as one array; none is copied until it is asked for.

    Args:
        parts: The arrays, at least one, equal but for their lengths.
    """

    def __init__(self, parts: Sequence[NDArray[Any]]) -> None:
        self._parts = parts
        self._ends = np.cumsum([len(part) for part in parts])
        self.shape: tuple[int, ...] = (int(self._ends[-1]), *parts[0].shape[1:])
        self.ndim = parts[0].ndim
        self.dtype: np.dtype[Any] = parts[0].dtype
        self.itemsize = parts[0].itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Return a row, or the rows of a slice, of positions or of a mask."""
        if isinstance(key, int | np.integer):
            if not -len(self) <= key < len(self):  # what ends an iteration
                raise IndexError(key)
            row: NDArray[Any] = self[np.array([key])][0]
            return row
        if isinstance(key, slice):
            start, stop, step = key.indices(len(self))
            if step == 1:
                return self._between(start, stop)
            return self._at(np.arange(start, stop, step))
        positions = np.asarray(key)
        if positions.dtype == bool:
            return self._at(np.flatnonzero(positions))
        return self._at(np.where(positions < 0, positions + len(self), positions))

    def __iter__(self) -> Iterator[NDArray[Any]]:
        for part in self._parts:
            yield from part

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self._between(0, len(self)), dtype=dtype)

    def _between(self, start: int, stop: int) -> NDArray[Any]:
        first = int(np.searchsorted(self._ends, start, "right"))
        found = []
        while start < stop:
            begin = int(self._ends[first]) - len(self._parts[first])
            found.append(self._parts[first][start - begin : stop - begin])
            start = int(self._ends[first])
            first += 1
        if not found:
            return np.empty((0, *self.shape[1:]), self.dtype)
        return found[0] if len(found) == 1 else np.concatenate(found)

    def _at(self, positions: NDArray[np.int64]) -> NDArray[Any]:
        rows = np.empty((len(positions), *self.shape[1:]), self.dtype)
        part_of = np.searchsorted(self._ends, positions, "right")
        order = np.argsort(part_of, kind="stable")
        found, begins = np.unique(part_of[order], return_index=True)
        for part, places in zip(found.tolist(), np.split(order, begins[1:]), strict=False):
            first = int(self._ends[part]) - len(self._parts[part])
            rows[places] = self._parts[part][positions[places] - first]
        return rows


class ShardStore:
    """A store of vectors, to read.

    Shards that are not there yet are left out, with a warning.

    Args:
        folder: The folder.

    Raises:
        DataError: It is no store, has no vector yet, or a shard is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = read_manifest(folder)
        numbers = range(self.manifest.shards)
        self._shards = [one for n in numbers if (one := shard_folder(folder, n)).is_dir()]
        if len(self._shards) < len(numbers):
            logger.warning(
                "%s: %d of %d shards are not encoded yet; their images have no vectors",
                *(folder, len(numbers) - len(self._shards), len(numbers)),
            )
        for shard in self._shards:
            if not _is_whole(shard, with_content=False):
                raise DataError(f"{shard}: is damaged; encode makes it again")
        # A shard without a readable image does not know the width of a row
        self._filled = [one for one in self._shards if len(_mapped(one, _HASHES))]
        if not self._filled:
            raise DataError(f"{folder}: has no vector of any image yet")

    def rows(self, name: str) -> ShardRows:
        """Return the rows of an array, memory-mapped."""
        return ShardRows([_mapped(shard, name) for shard in self._filled])

    @cached_property
    def hashes(self) -> NDArray[np.uint64]:
        """The hashes of the ids of the rows."""
        return np.concatenate([_mapped(shard, _HASHES) for shard in self._filled])

    def items(self) -> Iterator[tuple[str, str | None]]:
        """Yield the id and the label of each row."""
        for shard in self._filled:
            content = _read_json(shard / _ITEMS)
            yield from zip(content["ids"], content["labels"], strict=True)

    def unreadable(self) -> dict[str, str]:
        """Return the images that cannot be read, with the causes."""
        found: dict[str, str] = {}
        for shard in self._shards:
            found |= _read_json(shard / _ITEMS)["unreadable"]
        return found


def _mapped(shard: Path, name: str) -> NDArray[Any]:
    try:
        rows: NDArray[Any] = np.load(shard / f"{name}.npy", mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{shard}: {name} cannot be read: {error}") from error
    return rows


def _is_whole(shard: Path, with_content: bool = True) -> bool:
    try:
        files = _read_json(shard / _DONE)
        return all(
            _facts(shard / name, with_content).items() <= files[name].items() for name in files
        )
    except (OSError, ValueError, AttributeError):
        return False


def _facts(file: Path, with_content: bool = True) -> dict[str, Any]:
    facts: dict[str, Any] = {"bytes": file.stat().st_size}
    if with_content:
        with file.open("rb") as stream:
            facts["sha256"] = hashlib.file_digest(stream, "sha256").hexdigest()
    return facts


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
