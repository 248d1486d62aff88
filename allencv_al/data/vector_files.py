"""Vectors with ids: features that another program has computed, one row for each image."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from allencv_al.common.errors import DataError, is_machine_fault
from allencv_al.common.files.paths import absent, expanded
from allencv_al.common.files.tables import cell_text, read_table
from allencv_al.data.id_hash import IdIndex, id_hashes
from allencv_al.data.vector_shards import ShardRows, ShardStore, is_shard_store

SUFFIXES = (".npz", ".npy", ".parquet")
"""Suffixes of files of vectors."""

LAYOUT = (
    "an .npz file with the arrays embeddings [N, D] and ids [N] (and labels [N]), a Parquet file "
    "with the columns id and embedding (and label), or an .npy file [N, D] beside a table of the "
    "same name, .csv, with a column id (and label) in the order of its rows"
)

_VECTORS = ("embeddings", "embedding", "vectors", "features")
_IDS = ("ids", "id", "paths", "path")
_LABELS = ("labels", "label")

_PICKLED = (
    "it is no file of NumPy, or holds Python objects, which are never loaded: save ids and labels "
    "as text (numpy.array(ids, str))"
)

# What NumPy and zipfile raise for damaged, encrypted or foreign files
_UNREADABLE = (
    *(OSError, ValueError, EOFError, TypeError, RuntimeError, NotImplementedError),
    *(zipfile.BadZipFile, zlib.error),
)


@dataclass(frozen=True)
class VectorTable:
    """Vectors of images.

    Args:
        ids: The ids of the images.
        vectors: float32 `[N, D]`, one row for each id.
        labels: The class name of each image, None where it has none.
    """

    ids: Sequence[str]
    vectors: NDArray[np.float32]
    labels: Sequence[str | None]
    unreadable: ClassVar[Mapping[str, str]] = {}

    def __len__(self) -> int:
        return len(self.ids)

    def items(self) -> Iterator[tuple[str, str | None]]:
        """Yield the id and the label of each row."""
        return zip(self.ids, self.labels, strict=True)

    def index(self) -> IdIndex:
        """Return the rows by ids."""
        return IdIndex(id_hashes(self.ids, 0))

    @property
    def dimension(self) -> int:
        """D, the length of a vector."""
        return int(self.vectors.shape[1])


@dataclass(frozen=True)
class StoredVectors:
    """Vectors that `encode` has made, memory-mapped.

    Args:
        store: The store.
    """

    store: ShardStore

    def __len__(self) -> int:
        return len(self.vectors)

    @cached_property
    def vectors(self) -> ShardRows:
        """The vectors, float16 `[N, D]`."""
        return self.store.rows("embeddings")

    @property
    def dimension(self) -> int:
        """D, the length of a vector."""
        return self.vectors.shape[1]

    @cached_property
    def unreadable(self) -> Mapping[str, str]:
        """The images that cannot be read, with the causes."""
        return self.store.unreadable()

    def items(self) -> Iterator[tuple[str, str | None]]:
        """Yield the id and the label of each row."""
        return self.store.items()

    def index(self) -> IdIndex:
        """Return the rows by ids."""
        return IdIndex(self.store.hashes)


Vectors = VectorTable | StoredVectors
"""Vectors of images, in memory or on the disk."""


def is_vector_file(name: str | Path) -> bool:
    """Return whether a name is that of a file of vectors, by its suffix, or of a store of them."""
    return Path(name).suffix.lower() in SUFFIXES or is_shard_store(expanded(str(name)))


def read_vectors(path: Path) -> Vectors:
    """Read a file of vectors, or open a store of them.

    Args:
        path: An `.npz`, `.npy` or `.parquet` file; see `LAYOUT`. Or the folder of `encode`.

    Raises:
        DataError: It is absent or damaged, lacks ids, or its parts differ in length.
    """
    if is_shard_store(path):
        return StoredVectors(ShardStore(path))
    if not path.is_file():
        raise DataError(absent(path, "file of vectors"))
    readers = {".npz": _read_npz, ".npy": _read_npy, ".parquet": _read_parquet}
    read = readers.get(path.suffix.lower())
    if read is None:
        raise DataError(f"{path}: expected {LAYOUT}")
    try:
        vectors, given, labels = read(path)
        ids = [_label(id) or "" for id in given]
    except _UNREADABLE as error:
        if is_machine_fault(error):
            raise
        # NumPy's own advice is to run the code in the file
        cause = _PICKLED if "pickle" in str(error) else str(error)
        raise DataError(f"{path}: cannot be read: {cause}; expected {LAYOUT}") from error
    return _checked(path, np.asarray(vectors), ids, labels)


_Parts = tuple[Any, Iterable[Any], Sequence[str | None] | None]


def _read_npz(path: Path) -> _Parts:
    loaded = np.load(path, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        raise DataError(f"{path}: it is an .npy file by another name; expected {LAYOUT}")
    with loaded as arrays:
        vectors, ids, labels = (_first(arrays, kind) for kind in (_VECTORS, _IDS, _LABELS))
        if vectors is None or ids is None:
            raise DataError(f"{path}: expected {LAYOUT}; found the arrays {', '.join(arrays)}")
        return (
            arrays[vectors],
            _column(path, ids, arrays[ids]),
            None if labels is None else list(map(_label, _column(path, labels, arrays[labels]))),
        )


def _read_npy(path: Path) -> _Parts:
    table_path = path.with_suffix(".csv")
    if not table_path.is_file():
        raise DataError(f"{path}: needs {table_path.name} beside it; expected {LAYOUT}")
    table = read_table(table_path, ("id", "label"))
    table.require(table_path, ("id",))
    ids = [cell_text(row.values, "id") for row in table.rows]
    labels = [_label(cell_text(row.values, "label")) for row in table.rows]
    loaded = np.load(path, allow_pickle=False)
    if not isinstance(loaded, np.ndarray):
        raise DataError(f"{path}: it is an .npz file by another name; expected {LAYOUT}")
    return loaded, ids, labels


def _read_parquet(path: Path) -> _Parts:
    try:
        from pyarrow import ArrowInvalid, parquet
    except ImportError:
        raise DataError(
            f'{path}: Parquet files are read by pyarrow; pip install "allencv-al[parquet]" adds it'
        ) from None
    try:
        table = parquet.read_table(path)
    # One of `_UNREADABLE`, which cannot name a class of an extra
    except ArrowInvalid as error:
        raise ValueError(error) from error
    vectors, ids, labels = (_first(table.column_names, kind) for kind in (_VECTORS, _IDS, _LABELS))
    if vectors is None or ids is None:
        found = ", ".join(table.column_names)
        raise DataError(f"{path}: expected {LAYOUT}; found the columns {found}")
    rows = table.column(vectors).to_pylist()
    given = (
        None if labels is None else [_label(value) for value in table.column(labels).to_pylist()]
    )
    return np.array(rows, np.float32), table.column(ids).to_pylist(), given


def _first(names: Iterable[str] | Mapping[str, Any], wanted: Sequence[str]) -> str | None:
    return next((name for name in wanted if name in names), None)


def _column(path: Path, name: str, values: NDArray[Any]) -> list[Any]:
    if values.ndim != 1:
        raise DataError(f"{path}: expected {name} [N], found {name} {list(values.shape)}")
    found: list[Any] = values.tolist()
    return found


def _label(value: Any) -> str | None:
    """Return a cell as text; None for an empty one, which pandas writes as NaN."""
    # NumPy's type S, which HDF5 tools write
    if isinstance(value, bytes):
        value = value.decode()
    return None if value is None or value == "" or value != value else str(value)


def _checked(
    path: Path, vectors: NDArray[Any], ids: list[str], labels: Sequence[str | None] | None
) -> VectorTable:
    if vectors.ndim != 2 or vectors.dtype.kind not in "fiu" or 0 in vectors.shape:
        raise DataError(
            f"{path}: expected numbers [N, D], found {vectors.dtype} {list(vectors.shape)}"
        )
    if labels is None:
        labels = [None] * len(ids)
    if not len(vectors) == len(ids) == len(labels):
        raise DataError(
            f"{path}: expected as many ids and labels as vectors, found {len(vectors)} vectors, "
            f"{len(ids)} ids and {len(labels)} labels"
        )
    unnamed = [row for row, id in enumerate(ids) if not id][:5]
    if unnamed:
        raise DataError(f"{path}: expected an id for each vector, found none in the rows {unnamed}")
    with np.errstate(over="ignore"):  # infinite then, and reported as such
        rows = np.ascontiguousarray(vectors, np.float32)
    odd = [ids[row] for row in np.flatnonzero(~np.isfinite(rows).all(axis=1))[:5]]
    if odd:
        raise DataError(f"{path}: expected finite numbers, found others in the vectors of {odd}")
    return VectorTable(ids, rows, labels)
