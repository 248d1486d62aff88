"""Outputs of infer larger than memory: a SQLite file with one row per record.

Functions and table have the names of the Alectio SDK. Arrays are stored as NPY; pickled rows of
older code are read by an unpickler that allows plain arrays only.
"""

from __future__ import annotations

import io
import pickle
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allencv_al.common.errors import DataError
from allencv_al.service.pipeline.functions.infer_keys import difference, match_keys
from allencv_al.service.pipeline.functions.returns import as_array
from allencv_al.service.pipeline.pipeline_errors import ReturnValueError

TABLE = """
CREATE TABLE IF NOT EXISTS indexes (
    id integer PRIMARY KEY,
    row_id integer NOT NULL,
    selected_index text NOT NULL
);
"""
_INSERT = "INSERT INTO indexes (row_id, selected_index) VALUES (?, ?)"
_NPY = b"\x93NUMPY"  # the first bytes of an NPY file


def create_connection(db_file: str | Path) -> sqlite3.Connection:
    """Open a file; create it if missing."""
    return sqlite3.connect(db_file)


def create_table(conn: sqlite3.Connection, create_table_sql: str) -> None:
    """Run a CREATE TABLE statement."""
    with conn:
        conn.execute(create_table_sql)


def create_database(filepath: str | Path) -> sqlite3.Connection:
    """Open a file and create its table if missing."""
    conn = create_connection(filepath)
    create_table(conn, TABLE)
    return conn


@contextmanager
def database(filepath: str | Path) -> Iterator[sqlite3.Connection]:
    """Open a file with its table; close it at the end of the block."""
    conn = create_database(filepath)
    try:
        yield conn
    finally:
        conn.close()


def add_index(conn: sqlite3.Connection, row_id: int, array: Any) -> int:
    """Add and commit the output of a record; return the row number.

    Args:
        conn: The open file.
        row_id: Record index, or position among the unlabeled records.
        array: An array or a tensor.
    """
    with conn:
        number = conn.execute(_INSERT, (int(row_id), _blob(array))).lastrowid
    assert number is not None
    return number


def add_many(conn: sqlite3.Connection, rows: Iterable[tuple[int, Any]]) -> None:
    """Add the outputs of many records in one transaction; faster than one by one."""
    with conn:
        conn.executemany(_INSERT, ((int(row_id), _blob(array)) for row_id, array in rows))


def read_rows(conn: sqlite3.Connection) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield record index and array of each row lazily, in the order of writing.

    Raises:
        DataError: A row holds no array.
    """
    for number, row_id, blob in conn.execute(
        "SELECT id, row_id, selected_index FROM indexes ORDER BY id"
    ):
        yield row_id, _array(blob, number)


def remap(conn: sqlite3.Connection, unlabeled: Sequence[int]) -> None:
    """Rewrite the row ids as record indices, in one transaction.

    As for the keys of infer, ids are record indices already, or positions among the sorted indices.

    Raises:
        PipelineError: The database is damaged, or rows are missing, duplicate, or of other records
            (422); they are named.
    """
    records = sorted(unlabeled)
    try:
        with conn:
            conn.execute("BEGIN IMMEDIATE")
            rows = conn.execute("SELECT id, row_id FROM indexes").fetchall()
            keys = [key for _, key in rows]
            odd = [key for key in keys if not isinstance(key, int)]
            if odd:
                raise _error(f"expected whole numbers as row_id, found {odd[0]!r:.80}")
            matched = match_keys(keys, records)
            if matched is None:
                raise _error(difference(keys, records, len(keys), "a row"))
            if matched is not keys:
                # By primary key: row_id has no index, so finding rows by it would be quadratic
                conn.executemany(
                    "UPDATE indexes SET row_id = ? WHERE id = ?",
                    ((record, number) for record, (number, _) in zip(matched, rows, strict=True)),
                )
    except sqlite3.Error as error:
        message = f"the database cannot be read: {error}"
        raise ReturnValueError("infer", message) from error


def _error(message: str) -> ReturnValueError:
    return ReturnValueError("infer", f"the database: {message}", "infer_keys")


def _blob(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.asarray(as_array(array)), allow_pickle=False)
    return stream.getvalue()


def _array(blob: Any, number: int) -> NDArray[Any]:
    try:
        if not isinstance(blob, bytes):
            raise ValueError("no bytes")
        if blob.startswith(_NPY):
            found: NDArray[Any] = np.load(io.BytesIO(blob), allow_pickle=False)
            return found
        value = _PlainArrays(io.BytesIO(blob)).load()
    except Exception as error:  # untrusted bytes can raise anything
        raise DataError(f"row {number}: expected an array ({error})") from None
    if not isinstance(value, np.ndarray) or value.dtype.hasobject:
        raise DataError(f"row {number}: expected an array of numbers")
    return value


def _latin1(text: str, encoding: str = "latin1") -> bytes:
    """Replace `codecs.encode`, which old pickles call for bytes; refuse other codecs."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"codec {encoding} is not allowed")
    return text.encode("latin1")


_MODULES = ("numpy", "numpy.core.multiarray", "numpy._core.multiarray")
_KNOWN: dict[tuple[str, str], Any] = {
    ("_codecs", "encode"): _latin1,
    **{(module, "_reconstruct"): np.empty(0).__reduce__()[0] for module in _MODULES},
    **{(module, "ndarray"): np.ndarray for module in _MODULES},
    **{(module, "dtype"): np.dtype for module in _MODULES},
}


class _PlainArrays(pickle.Unpickler):  # noqa: S301 - see find_class
    """Reads pickles of `ndarray.dumps`; any other class or function is refused."""

    def find_class(self, module: str, name: str) -> Any:
        """Return a class or function that plain arrays consist of."""
        try:
            return _KNOWN[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed") from None
