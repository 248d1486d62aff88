"""Destinations of computed rows: memory, a folder, or first one and then the other."""

from __future__ import annotations

import math
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import IO

import numpy as np
from numpy.typing import NDArray

from allencv_al.common.errors import AllenCVError, DataError, ImageDecodeError, is_machine_fault
from allencv_al.predictors.batched_inference import OutputBatch
from allencv_al.selection.pool.rows import slices

FloatRows = NDArray[np.float32]

_MEGABYTE = 2**20
_BLOCKS_WAITING = 2  # bounds the memory where the disk is slower than the model
# A block is closed when its rows are many, large, or old: a kill loses at most one open block.
_BLOCK_BYTES = 64 * _MEGABYTE
_BLOCK_SECONDS = 30.0

Write = Callable[[Sequence[str], Mapping[str, FloatRows], Mapping[str, str]], None]


class BlockWriter(AbstractContextManager["BlockWriter"]):
    """Collect batches into blocks and write these in a thread, so that inference never waits.

    Args:
        write: Is given ids, arrays and unreadable ids; not by two threads at a time.
        block_size: Rows of a block.
    """

    def __init__(self, write: Write, block_size: int) -> None:
        self._write = write
        self._block_size = block_size
        self._thread = ThreadPoolExecutor(1, "outputs")
        self._waiting: deque[Future[None]] = deque()
        self._begin()

    def add(self, batch: OutputBatch) -> None:
        """Add the rows of a batch; they are written when the block is full.

        Raises:
            DataError: An earlier block could not be written.
        """
        self._ids += batch.ids
        self._parts.append(batch.arrays)
        self._bytes += sum(array.nbytes for array in batch.arrays.values())
        self._unreadable |= {str(item.id): cause_of(item.error) for item in batch.failed}
        full = len(self._ids) + len(self._unreadable) >= self._block_size
        old = time.monotonic() - self._begun >= _BLOCK_SECONDS
        if full or old or self._bytes >= _BLOCK_BYTES:
            self._close_block()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._close_block()
            while self._waiting:
                self._waiting.popleft().result()
        finally:
            self._thread.shutdown(cancel_futures=True)

    def _begin(self) -> None:
        self._ids: list[str] = []
        self._parts: list[Mapping[str, FloatRows]] = []
        self._unreadable: dict[str, str] = {}
        self._bytes = 0
        self._begun = time.monotonic()

    def _close_block(self) -> None:
        if not self._ids and not self._unreadable:
            return
        while len(self._waiting) >= _BLOCKS_WAITING:
            self._waiting.popleft().result()
        job = self._thread.submit(self._write_block, self._ids, self._parts, self._unreadable)
        self._waiting.append(job)
        self._begin()

    def _write_block(
        self,
        ids: list[str],
        parts: list[Mapping[str, FloatRows]],
        unreadable: Mapping[str, str],
    ) -> None:
        parts = [part for part in parts if part]  # a batch without a readable image has no arrays
        names = parts[0] if parts else ()
        arrays = {name: np.concatenate([part[name] for part in parts]) for name in names}
        self._write(ids, arrays, unreadable)


class GrowingOutputs(AbstractContextManager["GrowingOutputs"]):
    """Rows in memory; above a limit, in anonymous temporary files.

    Args:
        memory_limit_mb: Limit of rows in memory, in MiB.
    """

    def __init__(self, memory_limit_mb: float) -> None:
        self.ids: list[str] = []
        self.unreadable: dict[str, str] = {}
        self._left = memory_limit_mb * _MEGABYTE
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._blocks: dict[str, list[FloatRows]] = {}
        self._files: dict[str, IO[bytes]] = {}

    def append(
        self, ids: Sequence[str], arrays: Mapping[str, FloatRows], unreadable: Mapping[str, str]
    ) -> None:
        """Append a block."""
        self.ids += ids
        self.unreadable |= unreadable
        for name, rows in arrays.items():
            self._left -= rows.nbytes
            self._shapes[name] = rows.shape[1:]
            self._blocks.setdefault(name, []).append(rows)
        if self._left < 0:
            self._spill()

    def arrays(self) -> dict[str, FloatRows]:
        """Return the arrays and release the blocks."""
        shapes = {name: (len(self.ids), *shape) for name, shape in self._shapes.items()}
        if self._files:
            self._spill()
            return {name: _mapped(file, shapes[name]) for name, file in self._files.items()}
        return {name: _joined(blocks, shapes[name]) for name, blocks in self._blocks.items()}

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()  # mapped arrays stay valid

    def _spill(self) -> None:
        for name, blocks in self._blocks.items():
            with _explained():
                if name not in self._files:
                    self._files[name] = tempfile.TemporaryFile(prefix="allencv_al-")  # noqa: SIM115
                for rows in blocks:
                    # cast("B") refuses arrays without elements
                    self._files[name].write(rows.data.cast("B") if rows.size else b"")
                self._files[name].flush()
            blocks.clear()


def cause_of(error: AllenCVError | None) -> str:
    """Return why an image cannot be read, without the name of its file."""
    return error.cause if isinstance(error, ImageDecodeError) else str(error)


def in_order(array: FloatRows, rows: NDArray[np.int64], memory_limit_mb: float) -> FloatRows:
    """Return rows of a memory-mapped array: a view of the first rows in order, else a copy.

    Args:
        array: The array.
        rows: Their positions, int64 `[n]`.
        memory_limit_mb: A larger copy goes to an anonymous temporary file.
    """
    if np.array_equal(rows, np.arange(len(rows))):
        return array[: len(rows)]
    size = len(rows) * array[:1].nbytes
    if size <= memory_limit_mb * _MEGABYTE:
        return np.asarray(array[rows])
    shape = (len(rows), *array.shape[1:])
    with _explained(), tempfile.TemporaryFile(prefix="allencv_al-") as file:
        copy: FloatRows = np.memmap(file, np.float32, "w+", shape=shape)
    for part in slices(len(rows), _BLOCK_BYTES // array[:1].nbytes):
        copy[part] = array[rows[part]]
    return copy


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        place, cause = tempfile.gettempdir(), error.strerror or error
        remedy = (
            "results over the memory limit go there: set TMPDIR to another place, or keep them in "
            "a folder of your own"
        )
        if is_machine_fault(error):
            raise OSError(error.errno, f"{cause}; {remedy}", place) from error
        raise DataError(f"{place}: {cause}; {remedy}") from error


def _mapped(file: IO[bytes], shape: tuple[int, ...]) -> FloatRows:
    if not math.prod(shape):  # nothing can be mapped
        return np.empty(shape, np.float32)
    return np.memmap(file, np.float32, "r", shape=shape)


def _joined(blocks: list[FloatRows], shape: tuple[int, ...]) -> FloatRows:
    """Return the blocks as one array; each is freed as soon as it is copied."""
    array = np.empty(shape, np.float32)
    end = len(array)
    while blocks:
        block = blocks.pop()
        array[end - len(block) : end] = block
        end -= len(block)
    return array
