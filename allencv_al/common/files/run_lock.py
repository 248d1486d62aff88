"""One process at a time works on a run."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from allencv_al.common.errors import DataError
from allencv_al.common.files.atomic_file import make_folder
from allencv_al.common.process import fcntl

logger = logging.getLogger(__name__)

LOCK_NAME = "run.lock"

_ATTEMPTS = 5
_PAUSE_SECONDS = 0.05

# The folders that this process has locked, by device and inode, with its id: a fork inherits the
# list but not the locks. The system's lock alone would let a second thread in, and closing the file
# there would end the lock of the first.
_held: dict[tuple[int, int], int] = {}
_held_guard = threading.Lock()


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Keep others from working on the run in a folder while the block lasts.

    A lock of the process, not of the open file: workers that are forked meanwhile do not hold it,
    and a kill ends it.

    Args:
        folder: The folder of the run, which is there.

    Raises:
        DataError: Another process, or another thread of this one, is at work there.
    """
    key = _key(folder)
    with _held_guard:
        if _held.get(key) == os.getpid():
            raise DataError(f"{folder}: this process is at work on this run already")
        _held[key] = os.getpid()
    try:
        with _open_locked(folder):
            try:
                yield
            finally:
                # Before it is closed: who opened it meanwhile sees that it is gone (`_is_at`)
                with suppress(OSError):
                    (folder / LOCK_NAME).unlink()
    finally:
        del _held[key]


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Make a folder where there is none, and lock it as `run_lock` does while the block lasts.

    What was made and has stayed empty is removed at the end.

    Args:
        folder: The folder of a run.

    Raises:
        DataError: Another process, or another thread of this one, is at work there.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    make_folder(folder)
    try:
        with run_lock(folder):
            yield
    finally:
        with suppress(OSError):  # it is not empty
            for path in made:
                path.rmdir()


def check_not_locked(folder: Path) -> None:
    """Raise the error of `run_lock` if a process works on the run in a folder."""
    if is_locked(folder):
        raise _busy(folder)


def is_locked(folder: Path) -> bool:
    """Return whether a process, this one included, is at work on the run in a folder."""
    try:
        if _held.get(_key(folder)) == os.getpid():
            return True
        with (folder / LOCK_NAME).open("rb") as file:
            if fcntl is not None:
                fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # there is no such file, it cannot be read, or no lock on this file system
        return False
    return False


def _key(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _open_locked(folder: Path) -> BinaryIO:
    """Return the open lock file, which keeps others out until it is closed."""
    path = folder / LOCK_NAME
    for _ in range(_ATTEMPTS):  # `is_locked` of another process holds a shared lock for a moment
        file = path.open("wb")
        try:
            if fcntl is not None:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            time.sleep(_PAUSE_SECONDS)  # who only looks whether it is held has it for a moment
        except OSError as error:  # a file system without locks, as some of networks are
            logger.info("%s: not locked: %s", folder, error.strerror)
            return file
        else:
            if _is_at(path, file):
                return file  # otherwise the run that held it has just removed it
        file.close()
    raise _busy(folder)


def _is_at(path: Path, file: BinaryIO) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _busy(folder: Path) -> DataError:
    return DataError(
        f"{folder}: another process is at work on this run; wait for it or stop it first"
    )
