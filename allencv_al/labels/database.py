"""`Database`: one SQLite file, for several threads and several processes."""

from __future__ import annotations

import ctypes
import errno
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from allencv_al.common.errors import DataError
from allencv_al.common.files.atomic_file import flush, make_folder, waits_for_disk

_BUSY_SECONDS = 30.0
_FORK_SECONDS = 5.0
_NOT_YOURS = "are the file and its folder yours?"
_CAUSES = {
    sqlite3.SQLITE_NOTADB: "expected {what}, found a file of another kind",
    sqlite3.SQLITE_CORRUPT: "the database is damaged",
    sqlite3.SQLITE_BUSY: "another process holds the database, and did not release it in time",
    sqlite3.SQLITE_READONLY: f"the database cannot be written; {_NOT_YOURS}",
    sqlite3.SQLITE_CANTOPEN: f"the database cannot be opened; {_NOT_YOURS}",
    sqlite3.SQLITE_PERM: f"the database cannot be opened; {_NOT_YOURS}",
}


@dataclass(frozen=True)
class Schema:
    """The tables of a database file, and how to recognize it.

    Args:
        what: Name of the file in messages: `the database of a run`.
        application_id: The number that marks the file in SQLite's header.
        version: Version of the tables; a file of a higher version is refused.
        script: The statements that create the tables.
    """

    what: str
    application_id: int
    version: int
    script: str

    def statements(self) -> list[str]:
        """Return the statements that create the tables, and at the end mark the file."""
        # `executescript` would commit the open transaction; the tables come all or none
        found, pending = [], ""
        for line in self.script.splitlines(keepends=True):
            pending += line
            if sqlite3.complete_statement(pending):
                found.append(pending)
                pending = ""
        return [
            *found,
            f"PRAGMA application_id = {self.application_id}",
            f"PRAGMA user_version = {self.version}",
        ]


class Database:
    """An SQLite file that several threads and processes write at once, without loss.

    A `transaction` is durable when its block ends (WAL, `synchronous=FULL`), or, within
    `unflushed`, when the database is closed; a block that fails or is killed leaves nothing.
    Writers of all threads and processes wait for each other.

    Each thread has its own connection. A fork closes the connections of its parent for a moment,
    because SQLite's locks do not survive one in a child; they reopen at the next use. Nothing else
    may open and close the file while it is in use: closing it would drop SQLite's locks.

    Args:
        path: The file; its folder is created if missing.
        schema: Its tables.
        create: Whether to create a missing file.

    Raises:
        DataError: It is missing, damaged, of another kind, or of a newer version.
    """

    def __init__(self, path: str | Path, schema: Schema, create: bool = True) -> None:
        self.schema = schema
        self.path = Path(path).absolute()
        self._local = threading.local()
        self._handles: weakref.WeakSet[_Handle] = weakref.WeakSet()
        self._handles_lock = threading.Lock()
        self._mode = "rwc" if create else "rw"  # a file that goes away is not quietly made again
        self._fault: str | None = None
        self._check_place(create)
        with _databases_lock:
            _databases.add(self)
        try:
            self._prepare(create)
            self._mode = "rw"
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection of this thread, in autocommit mode; good until the process forks."""
        with self._held() as connection:
            return connection

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Write everything that the block writes, or nothing if it raises.

        A block nested in one of the same thread is part of it: if the inner block raises and the
        outer one continues, only the inner block's changes are undone.
        """
        with self._held() as connection, explained(self.path, self.schema.what):
            is_inner = connection.in_transaction
            begin, commit, rollback = _INNER if is_inner else _OUTER
            connection.execute(begin)
            try:
                yield connection
                connection.execute(commit)
            except BaseException:
                if connection.in_transaction:  # a full disk makes SQLite roll back by itself
                    for statement in rollback:
                        connection.execute(statement)
                raise

    def rows(
        self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()
    ) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        with self._held() as connection, explained(self.path, self.schema.what):
            return connection.execute(sql, parameters).fetchall()

    def close(self) -> None:
        """Close the connections of all threads; later reads and writes raise ValueError."""
        self._fault = self._fault or "the database is closed"
        for handle in self._all_handles():
            with handle.lock:
                handle.close()

    @contextmanager
    def _held(self) -> Iterator[sqlite3.Connection]:
        handle: _Handle | None = getattr(self._local, "handle", None)
        if handle is None:
            handle = self._local.handle = _Handle()
            with self._handles_lock:
                self._handles.add(handle)
        with handle.lock:
            if self._fault is not None:
                raise ValueError(f"{self.path}: {self._fault}")
            if handle.connection is None:
                with explained(self.path, self.schema.what):
                    handle.connection = self._connect()
            yield handle.connection

    def _all_handles(self) -> list[_Handle]:
        with self._handles_lock:
            return list(self._handles)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self.path.as_uri()}?{self._access()}",
            uri=True,
            timeout=_BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,  # `close` closes those of other threads
        )
        try:
            # NORMAL: a power cut takes the last transactions back, and damages nothing
            level = "FULL" if waits_for_disk() else "NORMAL"
            connection.execute(f"PRAGMA synchronous = {level}")
            connection.execute("PRAGMA foreign_keys = ON")
        except BaseException:
            connection.close()
            raise
        return connection

    def _access(self) -> str:
        """Return the URI parameters: read-only if the folder cannot be written."""
        folder, log = self.path.parent, self.path.with_name(f"{self.path.name}-wal")
        effective = os.access in os.supports_effective_ids
        is_writable = os.access(folder, os.W_OK, effective_ids=effective)
        if self._mode == "rwc" or is_writable or log.exists():
            return f"mode={self._mode}"
        return "mode=ro&immutable=1"  # else SQLite would create its shared memory file there

    def _check_place(self, create: bool) -> None:
        if self.path.is_dir():
            raise DataError(f"{self.path}: expected {self.schema.what}, found a folder")
        if not create and not self.path.is_file():
            raise DataError(f"{self.path}: expected {self.schema.what}, found nothing")
        if create:
            make_folder(self.path.parent)

    def _prepare(self, create: bool) -> None:
        if self._version() == self.schema.version:
            return
        if not create:
            raise DataError(f"{self.path}: expected {self.schema.what}, found an empty one")
        with self._held() as connection, explained(self.path, self.schema.what):
            self._use_wal(connection)
        with self.transaction() as connection:
            if self._version() == 0:  # else another process was faster
                for statement in self.schema.statements():
                    connection.execute(statement)
        flush(self.path.parent)

    def _version(self) -> int:
        """Return the version of the tables, 0 for an empty file."""
        version: int = self.rows("PRAGMA user_version")[0][0]
        tables: int = self.rows("SELECT count(*) FROM sqlite_master")[0][0]
        # Last: a process that makes the tables meanwhile must not look like another program
        application: int = self.rows("PRAGMA application_id")[0][0]
        if application != self.schema.application_id and (version or tables):
            raise DataError(
                f"{self.path}: expected {self.schema.what}, found that of another program"
            )
        if version > self.schema.version:
            raise DataError(
                f"{self.path}: a newer version of this program wrote it (tables of version "
                f"{version}; this one reads up to {self.schema.version}); install that version to "
                "go on"
            )
        return version

    def _use_wal(self, connection: sqlite3.Connection) -> None:
        """Set the journal mode, which the file keeps.

        The change needs exclusive access, and SQLite does not apply its busy timeout to it.
        """
        deadline = time.monotonic() + _BUSY_SECONDS
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if _primary_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
            time.sleep(0.01)


@contextmanager
def explained(path: Path, what: str) -> Iterator[None]:
    """Translate SQLite's errors that the user or the machine caused; pass on all others.

    Args:
        path: The database file.
        what: Name of the file in messages: `the database of a run`.

    Raises:
        DataError: The file cannot be used.
        OSError: The disk is full or fails.
    """
    try:
        yield
    except sqlite3.Error as error:
        code = _primary_code(error)
        if code == sqlite3.SQLITE_FULL:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PROTOCOL):
            raise OSError(errno.EIO, f"SQLite: {error}", str(path)) from error
        if code not in _CAUSES:
            raise
        cause = _CAUSES[code].format(what=what)
        raise DataError(f"{path}: {cause} (SQLite: {error})") from error


def _primary_code(error: sqlite3.Error) -> int:
    code: int = getattr(error, "sqlite_errorcode", 0)  # errors of the Python module have none
    return code & 0xFF


class _Handle:
    """Holder of one thread's connection; garbage collection closes it when the thread ends."""

    def __init__(self) -> None:
        self.connection: sqlite3.Connection | None = None
        self.lock = threading.RLock()

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def __del__(self) -> None:
        self.close()


def _close_before_fork() -> None:
    """Close idle connections, so that a child inherits at most a running transaction."""
    with _databases_lock:
        databases = list(_databases)
    for database in databases:
        for handle in database._all_handles():
            if handle.lock.acquire(timeout=_FORK_SECONDS):
                if handle.connection is not None and not handle.connection.in_transaction:
                    handle.close()
                handle.lock.release()


def _abandon_in_child() -> None:
    """Refuse to use inherited connections: SQLite would assume locks that the child lacks."""
    global _databases_lock
    _databases_lock = threading.Lock()  # a thread of the parent may hold the old one
    for database in list(_databases):
        database._handles_lock = threading.Lock()
        for handle in database._handles:
            if handle.connection is not None:
                # "Do not even close it", says SQLite's manual; a rollback would spoil the parent's
                # transaction. So it must outlive this interpreter.
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(handle.connection))
                handle.connection = None
                database._fault = "this process was forked while a transaction was under way"


_databases_lock = threading.Lock()
_databases: weakref.WeakSet[Database] = weakref.WeakSet()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_close_before_fork, after_in_child=_abandon_in_child)

_OUTER = ("BEGIN IMMEDIATE", "COMMIT", ("ROLLBACK",))
_INNER = ("SAVEPOINT part", "RELEASE part", ("ROLLBACK TO part", "RELEASE part"))


def is_encodable(text: str) -> bool:
    """Return whether a text is valid Unicode, without lone surrogates, so that SQLite can store it.

    A file name that is not UTF-8 has them; the dataset readers write such bytes as `\\xff`.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
