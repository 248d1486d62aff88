"""Functions that only Unix has: file locks, memory figures and limits of a process."""

from __future__ import annotations

import ctypes
import errno
import importlib
import io
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO, Any

from overrides import overrides

from allencv_al.common.errors import DataError

_SECONDS_BETWEEN_TRIES = 0.05
_LOCKED_BYTE = 2**30  # behind every content: Windows refuses to read what is locked


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


fcntl, resource = _module("fcntl"), _module("resource")
msvcrt = _module("msvcrt")


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


def is_running(pid: int) -> bool:
    """Return whether a process exists."""
    if os.name == "nt":  # where os.kill(pid, 0) is not a question, but sends Ctrl-C
        return _is_running_on_windows(pid)
    try:
        os.kill(pid, 0)  # signal 0 is not delivered
    except ProcessLookupError:
        return False
    except OSError:  # the process of another user
        return True
    return True


_SYNCHRONIZE, _INVALID_PARAMETER, _WAIT_TIMEOUT = 0x0010_0000, 87, 0x102  # of winnt.h, winerror.h


def _is_running_on_windows(pid: int) -> bool:
    kernel: Any = getattr(ctypes, "WinDLL")("kernel32", use_last_error=True)  # noqa: B009 - mypy
    kernel.OpenProcess.restype = ctypes.c_void_p
    handle = kernel.OpenProcess(_SYNCHRONIZE, False, pid)
    if not handle:  # no process has this number, or that of another user
        return bool(getattr(ctypes, "get_last_error")() != _INVALID_PARAMETER)  # noqa: B009
    try:  # what has ended exists for as long as it has a handle
        return bool(kernel.WaitForSingleObject(ctypes.c_void_p(handle), 0) == _WAIT_TIMEOUT)
    finally:
        kernel.CloseHandle(ctypes.c_void_p(handle))


def peak_bytes() -> int | None:
    """Return the most memory that this process ever took; None where the system does not say."""
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        status = ""
    # Linux hands ru_maxrss on to a new program: a child would report the peak of its parent
    found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    if found is not None:
        return int(found[1]) * 1024
    if resource is None:
        return None
    peak: int = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # kilobytes elsewhere


def usable_cores() -> int:
    """Return the number of cores that this process may use, which a container can restrict."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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


class _ClosedOutput(io.TextIOBase):
    """Standard output that is closed: whatever is written to it fails with its name."""

    @overrides
    def writable(self) -> bool:
        return True

    # No @overrides: the signature of io's C method differs between Python 3.12 and 3.13
    def write(self, text: str, /) -> int:
        raise OSError(errno.EBADF, "it is closed", "standard output")


def standard_input() -> IO[bytes]:
    """Return the bytes of standard input.

    Raises:
        DataError: It is closed.
    """
    if sys.stdin is None or sys.stdin.closed:
        raise DataError("standard input: it is closed; expected lines on it")
    return sys.stdin.buffer


def replace_closed_streams() -> None:
    """Replace the standard streams that the process was started without.

    Python has None for them, and the first files that are opened would get their numbers: what is
    printed would go into these files.
    """
    if None not in (sys.stdin, sys.stdout, sys.stderr):
        return
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        continue
    os.close(number)
    if sys.stdout is None:
        sys.stdout = _ClosedOutput()
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123  to the end


@contextmanager
def interrupts_outside_imports() -> Iterator[None]:
    """Raise KeyboardInterrupt on SIGINT in the block, but never inside an import.

    An interrupted import leaves a library half initialized, and some libraries catch the interrupt:
    the run would continue with it. A signal during an import is sent again a little later.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:  # ignored, or handled by the caller
        yield
        return
    signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    if not _is_importing(frame):
        raise KeyboardInterrupt
    again = threading.Timer(_SECONDS_BETWEEN_TRIES, os.kill, (os.getpid(), number))
    again.daemon = True
    again.start()


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
