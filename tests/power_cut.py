"""What a power cut leaves of the files below a folder: `record`, then `cuts` and `restore`.

A file system owes a program only what it has flushed: the content of a file as of its last `fsync`,
and the names in a folder as of the last `fsync` of that folder. A test records code that writes,
and asks for what each moment could leave::

    with record(tmp_path / "root") as log:
        write_something(tmp_path / "root")
        log.promise("something")
    for cut in log.cuts("flushed"):
        folder = cut.restore(tmp_path / "after")
        assert reads(folder) or "something" not in cut.promised

The kinds of cuts, at every moment:

* `flushed`: nothing reached the disk but what was flushed (the strictest file system).
* `names`: names reached it at once, contents only when flushed (an empty file after a rename).
* `everything`: all reached it (a kill of the process, no power cut).

Only what this process does is seen, in any of its threads. SQLite's files count as written with
`synchronous=FULL`: they hold what was committed; their own names need a flush as all others do.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import stat
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Kind = Literal["flushed", "names", "everything"]
Tree = dict[str, "bytes | str | Tree"]
"""Names with the content of a file, the target of a symbolic link, or what a folder holds."""

_KINDS: tuple[Kind, ...] = ("flushed", "names", "everything")
_CHANGES = {f"os.{name}" for name in ("rename", "mkdir", "remove", "rmdir", "link", "symlink")}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_SQLITE = b"SQLite format 3\0"
_Key = tuple[int, int]


@dataclass(frozen=True)
class Cut:
    """What the disk holds after a power cut at one moment.

    Args:
        moment: What was about to happen, or had just been flushed.
        promised: What the code had promised until then.
        tree: The files.
    """

    moment: str
    promised: tuple[str, ...]
    tree: Tree

    def restore(self, folder: Path) -> Path:
        """Make `folder` hold this and nothing else; return it."""
        shutil.rmtree(folder, ignore_errors=True)
        _write(self.tree, folder)
        return folder


class Log:
    """The moments of what was recorded."""

    def __init__(self, root: Path) -> None:
        self._root = os.path.realpath(root)
        self._lock = threading.RLock()
        self._promised: tuple[str, ...] = ()
        self._cuts: dict[Kind, list[Cut]] = {kind: [] for kind in _KINDS}
        self._handles: dict[_Key, int] = {}  # an open file keeps its inode number from another
        self._names: dict[_Key, dict[str, _Key | str]] = {}
        self._contents: dict[_Key, bytes] = {}
        self._seen: dict[_Key, bytes] = {}
        self._databases: dict[_Key, bytes] = {}
        self._root_key = self._pin(self._root)
        self._flush_all(self._root_key)
        self._note("the beginning")

    def promise(self, what: str) -> None:
        """Note that from now on `what` must survive, as a caller was told so."""
        with self._lock:
            self._promised += (what,)
            self._note(f"promised: {what}")

    def cuts(self, kind: Kind = "flushed") -> list[Cut]:
        """Return what each moment could leave, in their order; equal ones in a row once."""
        return list(self._cuts[kind])

    def before(self, event: str, args: tuple[Any, ...]) -> None:
        """See what a Python call is about to do (an audit event)."""
        if event == "open":
            changes = isinstance(args[2], int) and bool(args[2] & _WRITES)
        else:
            changes = event in _CHANGES
        if changes and any(self._is_inside(path) for path in args[:2]):
            with self._lock:
                self._note(f"{event} {args[0]!s}")

    def flushed(self, handle: int) -> None:
        """See what was flushed."""
        place = Path(f"/proc/self/fd/{handle}").readlink()
        if not self._is_inside(place):
            return
        with self._lock:
            found = os.fstat(handle)
            key = (found.st_dev, found.st_ino)
            if key not in self._handles:
                self._handles[key] = os.open(f"/proc/self/fd/{handle}", os.O_RDONLY)
            if stat.S_ISDIR(found.st_mode):
                self._names[key] = self._list(key)
            else:
                self._contents[key] = self._read(key)
            self._note(f"fsync {place}")

    def end(self) -> None:
        """See the end."""
        with self._lock:
            self._note("the end")
            for handle in self._handles.values():
                os.close(handle)

    def _is_inside(self, path: Any) -> bool:
        if not isinstance(path, str | os.PathLike):
            return False
        # A relative one may be relative to an open folder, as those of `shutil.rmtree` are
        return not Path(path).is_absolute() or Path(path).is_relative_to(self._root)

    def _note(self, moment: str) -> None:
        for kind in _KINDS:
            tree = self._tree(self._root_key, kind)
            cuts = self._cuts[kind]
            if not cuts or (cuts[-1].tree, cuts[-1].promised) != (tree, self._promised):
                cuts.append(Cut(moment, self._promised, tree))

    def _tree(self, folder: _Key, kind: Kind) -> Tree:
        tree: Tree = {}
        names = self._names.get(folder, {}) if kind == "flushed" else self._list(folder)
        for name, key in names.items():
            if isinstance(key, str):
                tree[name] = key
            elif stat.S_ISDIR(os.fstat(self._handles[key]).st_mode):
                tree[name] = self._tree(key, kind)
            elif (database := self._database(key)) is not None:
                tree[name] = database
            elif kind == "everything":
                tree[name] = self._read(key)
            else:
                tree[name] = self._contents.get(key, b"")
        return tree

    def _list(self, folder: _Key) -> dict[str, _Key | str]:
        handle, found = self._handles[folder], dict[str, _Key | str]()
        with contextlib.suppress(FileNotFoundError):  # the folder is gone
            for name in sorted(os.listdir(handle)):  # noqa: PTH208  an open folder
                if name.endswith(("-wal", "-shm", "-journal")):
                    continue  # SQLite's, whose content `_database` has
                with contextlib.suppress(FileNotFoundError):  # another thread was faster
                    mode = os.stat(name, dir_fd=handle, follow_symlinks=False).st_mode
                    if stat.S_ISLNK(mode):
                        found[name] = os.readlink(name, dir_fd=handle)
                    elif stat.S_ISDIR(mode) or stat.S_ISREG(mode):
                        found[name] = self._pin(name, handle)
        return found

    def _pin(self, name: str, folder: int | None = None) -> _Key:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        key = (found.st_dev, found.st_ino)
        if key not in self._handles:  # opened once: closing would drop locks that the code holds
            self._handles[key] = os.open(name, os.O_RDONLY, dir_fd=folder)
        return key

    def _flush_all(self, folder: _Key) -> None:
        """Take what is there at the beginning for flushed."""
        self._names[folder] = self._list(folder)
        for key in self._names[folder].values():
            if isinstance(key, str):
                continue
            if stat.S_ISDIR(os.fstat(self._handles[key]).st_mode):
                self._flush_all(key)
            else:
                self._contents[key] = self._read(key)

    def _read(self, key: _Key) -> bytes:
        """Return the content of a file, the same object as long as it does not change."""
        handle = self._handles[key]
        content = os.pread(handle, os.fstat(handle).st_size, 0)
        before = self._seen.get(key)
        if before != content:
            before = self._seen[key] = content
        return before

    def _database(self, key: _Key) -> bytes | None:
        """Return what an SQLite file holds by what was committed; None for another file."""
        handle = self._handles[key]
        if os.pread(handle, len(_SQLITE), 0) != _SQLITE:
            return None
        path = Path(f"/proc/self/fd/{handle}").readlink()
        with (
            contextlib.suppress(sqlite3.OperationalError),  # gone, or locked for a moment
            contextlib.closing(
                sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=0)
            ) as connection,
        ):
            self._databases[key] = connection.serialize()
        return self._databases.get(key, b"")


@contextlib.contextmanager
def record(root: Path) -> Iterator[Log]:
    """Record what the block does below an existing folder; what is there counts as flushed."""
    global _log
    if _log is not None:
        raise RuntimeError("one recording at a time")
    log, fsync, fdatasync = Log(root), os.fsync, os.fdatasync

    def recorded(handle: Any) -> None:
        fsync(handle)
        log.flushed(handle if isinstance(handle, int) else handle.fileno())

    os.fsync = os.fdatasync = recorded
    _log = log
    try:
        yield log
    finally:
        _log, os.fsync, os.fdatasync = None, fsync, fdatasync
        log.end()


def _write(tree: Tree, folder: Path) -> None:
    folder.mkdir(parents=True)
    for name, content in tree.items():
        if isinstance(content, bytes):
            (folder / name).write_bytes(content)
        elif isinstance(content, str):
            (folder / name).symlink_to(content)
        else:
            _write(content, folder / name)


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if _log is not None and (event == "open" or event in _CHANGES):
        _log.before(event, args)


_log: Log | None = None
sys.addaudithook(_audit)  # for good: Python has no way to take one away
