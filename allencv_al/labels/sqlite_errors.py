"""What SQLite's errors mean to whoever runs the program."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from allencv_al.common.errors import DataError

_NOT_YOURS = "are the file and its folder yours?"
_CAUSES = {
    sqlite3.SQLITE_NOTADB: "expected {what}, found a file of another kind",
    sqlite3.SQLITE_CORRUPT: "the database is damaged",
    sqlite3.SQLITE_BUSY: "another process holds the database, and has not let go of it in time",
    sqlite3.SQLITE_READONLY: f"the database cannot be written; {_NOT_YOURS}",
    sqlite3.SQLITE_CANTOPEN: f"the database cannot be opened; {_NOT_YOURS}",
    sqlite3.SQLITE_PERM: f"the database cannot be opened; {_NOT_YOURS}",
}


@contextmanager
def explained(path: Path, what: str) -> Iterator[None]:
    """Turn what a user or the machine has caused in the block into a message about the file.

    Faults of this program stay what they are.

    Args:
        path: The file.
        what: What it should be: `the database of a run`.

    Raises:
        DataError: The file cannot be used.
        OSError: The disk is full, or fails.
    """
    try:
        yield
    except sqlite3.Error as error:
        explanation = _explanation(path, what, error)
        if explanation is None:
            raise
        raise explanation from error


def is_busy(error: sqlite3.Error) -> bool:
    """Return whether it only has to be tried again."""
    return _primary_code(error) == sqlite3.SQLITE_BUSY


def _explanation(path: Path, what: str, error: sqlite3.Error) -> Exception | None:
    code = _primary_code(error)
    if code == sqlite3.SQLITE_FULL:
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PROTOCOL):
        return OSError(errno.EIO, f"SQLite says: {error}", str(path))
    cause = _CAUSES.get(code)
    if cause is None:
        return None
    return DataError(f"{path}: {cause.format(what=what)} (SQLite: {error})")


def _primary_code(error: sqlite3.Error) -> int:
    code: int = getattr(error, "sqlite_errorcode", 0)  # errors of the Python module have none
    return code & 0xFF
