"""`OutputStore`: float32 rows by id, on disk, appended in durable blocks.

The folder of one holds::

    outputs.json       the index: fingerprint, names and shapes of the arrays, valid lengths
    ids.jsonl          the ids of the rows, a JSON list per block
    unreadable.jsonl   the ids without a row and the causes, a JSON object per block
    NAME.f32           the rows of an array: float32, one after another

Data are appended and flushed to the disk first; then `outputs.json` is replaced atomically. Bytes
after the lengths in the index belong to an unfinished block, which the next block overwrites. So
the cost of a block does not depend on the number of earlier blocks.
"""

from __future__ import annotations

import json
import logging
import math
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

from allencv_al.common import process
from allencv_al.common.errors import DataError, is_machine_fault
from allencv_al.common.files import atomic_file
from allencv_al.common.names import listed

logger = logging.getLogger(__name__)

_INDEX = "outputs.json"
_LOCK = "outputs.lock"
_IDS = "ids.jsonl"
_UNREADABLE = "unreadable.jsonl"
_FORMAT = "allencv_al outputs 1"


@dataclass(frozen=True)
class _Index:
    """The content of `outputs.json`."""

    fingerprint: str
    format: str = _FORMAT
    byte_order: str = sys.byteorder
    rows: int = 0
    arrays: Mapping[str, Sequence[int]] = field(default_factory=dict)
    lengths: Mapping[str, int] = field(default_factory=dict)


class OutputStore(AbstractContextManager["OutputStore"]):
    """Arrays of float32 with one row per id; appended blocks are durable.

    Any number of processes may read while one writes: the first that appends, until `close` or the
    end of its `with` block.

    Args:
        folder: Folder of the files; made with the first block.
        fingerprint: Digest of the inputs of the rows: weights, transforms, options.
        other: The treatment of rows with another fingerprint: "replace" them with the first block,
            or "raise".

    Raises:
        DataError: The files are damaged or of another format; or they have another fingerprint and
            `other` is "raise".
    """

    def __init__(
        self, folder: str | Path, fingerprint: str, other: Literal["replace", "raise"] = "replace"
    ) -> None:
        self.folder = Path(folder)
        self.fingerprint = fingerprint
        self._other = other
        self._lock: IO[bytes] | None = None
        self._index = _Index(fingerprint)
        self._rows: dict[str, int] = {}
        self._unreadable: dict[str, str] = {}
        with _explained(self.folder):
            self._load(self._read_index())

    # -- Reading ------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def ids(self) -> list[str]:
        """The ids with a row, in the order of the rows."""
        return list(self._rows)

    @property
    def unreadable(self) -> dict[str, str]:
        """The unreadable ids, with the causes."""
        return dict(self._unreadable)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the arrays; none before the first row."""
        return tuple(self._index.arrays)

    def has(self, id: str) -> bool:
        """Return whether the id has a row or is known as unreadable."""
        return id in self._rows or id in self._unreadable

    def array(self, name: str) -> NDArray[np.float32]:
        """Return an array `[N, ...]` of the current rows, read-only and memory-mapped.

        Raises:
            DataError: No array has this name.
        """
        if name not in self._index.arrays:
            known = ", ".join(self.names) or "none"
            raise DataError(f"{self.folder}: found no array {name}; there are: {known}")
        shape = (len(self._rows), *self._index.arrays[name])
        if not math.prod(shape):  # nothing can be mapped
            return np.empty(shape, np.float32)
        with _explained(self.folder):
            return np.memmap(self.folder / _array_file(name), np.float32, "r", shape=shape)

    def rows(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """Return the rows of the ids in the arrays, int64 `[len(ids)]`.

        Raises:
            DataError: Some ids have no row; the first few are named.
        """
        absent = [id for id in ids if id not in self._rows]
        if absent:
            raise DataError(f"{self.folder}: found no rows of {listed(absent)}")
        return np.fromiter((self._rows[id] for id in ids), np.int64, len(ids))

    # -- Writing ------------------------------------------------------------------------------

    def become_writer(self, wait: bool = False) -> None:
        """Take the write lock until `close`, and read the rows of earlier writers.

        `append` calls it.

        Args:
            wait: Wait for another process that is writing.

        Raises:
            DataError: Another process is writing, or the disk refuses.
        """
        if self._lock is not None:
            return
        with _explained(self.folder):
            atomic_file.make_folder(self.folder)
            self._lock = self._locked(wait)
            atomic_file.sweep_temporaries(self.folder)
            found = self._read_index()
            if found is not None and found.fingerprint != self.fingerprint:
                self._remove(found)
                found = None
            self._load(found)

    def append(
        self,
        ids: Sequence[str],
        arrays: Mapping[str, NDArray[Any]],
        unreadable: Mapping[str, str] | None = None,
    ) -> None:
        """Append a block; it is on the disk when this returns.

        Args:
            ids: New ids.
            arrays: Their rows, `[len(ids), ...]` each. The first block fixes names and shapes.
            unreadable: New ids without a row, with the causes.

        Raises:
            DataError: An id exists already, names or shapes differ from the first block, another
                process is writing, or the disk refuses.
        """
        unreadable = dict(unreadable or {})
        with _explained(self.folder):
            self.become_writer()
            self._check_new([*ids, *unreadable])
            block: dict[str, bytes] = {_UNREADABLE: _line(unreadable)} if unreadable else {}
            index = self._index
            if ids:
                index = replace(index, arrays=self._checked_shapes(len(ids), arrays))
                block[_IDS] = _line(list(ids))
                block |= {_array_file(name): _bytes_of(array) for name, array in arrays.items()}
            lengths = {name: self._write(name, content) for name, content in block.items()}
            # Lengths in bytes: what a killed process wrote behind them is cut off by the next block
            index = replace(index, rows=index.rows + len(ids), lengths={**index.lengths, **lengths})
            # After the data: a kill before this line leaves the old index, which ignores the block
            atomic_file.write_json(self.folder / _INDEX, asdict(index))
        self._index = index
        self._rows.update(zip(ids, range(len(self._rows), index.rows), strict=True))
        self._unreadable.update(unreadable)

    def close(self) -> None:
        """Release the write lock; rows that were read remain valid."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __exit__(self, *_: object) -> None:
        self.close()

    def _locked(self, wait: bool) -> IO[bytes]:
        with ExitStack() as stack:
            lock = stack.enter_context((self.folder / _LOCK).open("wb"))
            try:
                process.lock(lock)
            except BlockingIOError:
                if not wait:
                    raise DataError(f"{self.folder}: another process is writing there") from None
                logger.info("%s: waiting for another process that is writing there", self.folder)
                process.lock(lock, wait=True)
            except OSError as error:  # some network file systems have no locks
                logger.debug("%s: cannot be locked: %s", self.folder, error)
            # Keeps the file, and with it the lock, open
            stack.pop_all()
        return lock

    def _remove(self, index: _Index) -> None:
        """Remove the index, then its files; processes that have mapped them keep them."""
        # First: an index without its files would pass for a damaged store
        atomic_file.remove(self.folder / _INDEX)
        for name in index.lengths:
            (self.folder / name).unlink(missing_ok=True)

    def _write(self, name: str, content: bytes) -> int:
        """Write after the valid bytes of a file, and return the new length."""
        start = self._index.lengths.get(name, 0)
        handle = os.open(self.folder / name, os.O_RDWR | os.O_CREAT, 0o666)
        with open(handle, "r+b") as file:  # noqa: PTH123  open by its handle
            file.truncate(start)  # bytes of an unfinished block
            file.seek(start)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        return start + len(content)

    def _check_new(self, ids: Sequence[str]) -> None:
        known = [id for id in ids if self.has(id)]
        if known:
            raise DataError(f"{self.folder}: ids that are stored already: {listed(known)}")
        twice = [id for id, count in Counter(ids).items() if count > 1]
        if twice:
            raise DataError(f"{self.folder}: duplicate ids: {listed(twice)}")

    def _checked_shapes(
        self, count: int, arrays: Mapping[str, NDArray[Any]]
    ) -> dict[str, list[int]]:
        shapes = {name: list(array.shape[1:]) for name, array in arrays.items()}
        wrong = [name for name, array in arrays.items() if len(array) != count]
        if wrong:
            raise DataError(f"{self.folder}: expected {count} rows of {listed(wrong)}")
        expected = {name: list(shape) for name, shape in self._index.arrays.items()} or shapes
        if shapes != expected:
            raise DataError(
                f"{self.folder}: expected rows of shapes {expected}, as before, found {shapes}"
            )
        return shapes

    # -- Files --------------------------------------------------------------------------------

    def _read_index(self) -> _Index | None:
        path = self.folder / _INDEX
        try:
            index = _Index(**json.loads(path.read_bytes()))
            # The index comes from a file that others may have written
            if any(Path(name).name != name for name in [*index.lengths, *index.arrays]):
                raise ValueError("a file outside the folder")
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, AttributeError):
            raise DataError(f"{path}: expected the index of an output store") from None
        here = (_FORMAT, sys.byteorder)
        if (index.format, index.byte_order) != here:
            found = f"{index.format} ({index.byte_order} endian)"
            raise DataError(f"{path}: expected {here[0]} ({here[1]} endian), found {found}")
        return index

    def _load(self, index: _Index | None) -> None:
        self._index, self._rows, self._unreadable = _Index(self.fingerprint), {}, {}
        if index is None:
            return
        if index.fingerprint != self.fingerprint:
            self._refuse_other()
            return
        for name, length in index.lengths.items():
            self._check_length(name, length)
        ids = [id for block in self._lines(_IDS, index) for id in block]
        self._rows = {id: row for row, id in enumerate(ids)}
        for block in self._lines(_UNREADABLE, index):
            self._unreadable.update(block)
        if len(self._rows) != index.rows:
            raise self._damaged(_IDS, f"expected {index.rows} ids, found {len(self._rows)}")
        self._index = index

    def _refuse_other(self) -> None:
        if self._other == "raise":
            raise DataError(
                f"{self.folder}: holds outputs of another model, other transforms or other "
                "options; give another folder, or remove this one"
            )
        logger.info("%s: holds other outputs, which will be replaced", self.folder)

    def _check_length(self, name: str, length: int) -> None:
        path = self.folder / name
        found = path.stat().st_size if path.exists() else 0
        # Longer is no fault: a process may be writing the next block right now
        if found < length:
            raise self._damaged(name, f"expected {length} bytes, found {found}")

    def _lines(self, name: str, index: _Index) -> Iterator[Any]:
        length = index.lengths.get(name, 0)
        if not length:
            return
        with (self.folder / name).open("rb") as file:
            for line in file.read(length).splitlines():
                try:
                    yield json.loads(line)
                except ValueError:
                    raise self._damaged(name, "a line is not JSON") from None

    def _damaged(self, name: str, problem: str) -> DataError:
        return DataError(
            f"{self.folder / name}: {problem}; the file was changed from outside, remove the folder"
        )


def _array_file(name: str) -> str:
    return f"{name}.f32"


def _line(value: Any) -> bytes:
    # ASCII: names that are no Unicode text are stored as escapes
    return (json.dumps(value) + "\n").encode("ascii")


def _bytes_of(array: NDArray[Any]) -> bytes:
    return np.ascontiguousarray(array, dtype=np.float32).tobytes()


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = str(error.filename or folder)
        if is_machine_fault(error):
            raise OSError(error.errno, error.strerror, where) from error
        raise DataError(f"{where}: {error.strerror or error}") from error
