"""Functions that only Unix has: file locks, memory figures and limits of a process."""

from __future__ import annotations

import importlib
import sys
from typing import IO, Any


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


fcntl, resource = _module("fcntl"), _module("resource")
msvcrt = _module("msvcrt")

_LOCKED_BYTE = 2**30  # behind every content: Windows refuses to read what is locked


def lock(file: IO[Any], wait: bool = False) -> None:
    """Lock an open file against all other openers; the lock ends with the file.

    Args:
        file: The file.
        wait: Whether to wait for another one, on Windows for up to ten seconds.

    Raises:
        BlockingIOError: Another one holds the lock.
        OSError: The file system has no locks.
    """
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    elif msvcrt is not None:
        try:
            _at_locked_byte(file, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK)
        except OSError as error:
            raise BlockingIOError(*error.args) from error


def unlock(file: IO[Any]) -> None:
    """Release a lock."""
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_UN)
    elif msvcrt is not None:
        _at_locked_byte(file, msvcrt.LK_UNLCK)


def peak_bytes() -> int | None:
    """Return the most memory that this process ever took; None where the system does not say."""
    if resource is None:
        return None
    peak: int = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # kilobytes elsewhere


def most_open_files() -> int | None:
    """Return how many files this process may open; None where there is no limit."""
    if resource is None:
        return None
    files: int = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if files == resource.RLIM_INFINITY else files


def _at_locked_byte(file: IO[Any], mode: int) -> None:
    position = file.tell()
    file.seek(_LOCKED_BYTE)
    try:
        msvcrt.locking(file.fileno(), mode, 1)
    finally:
        file.seek(position)
