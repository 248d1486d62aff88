"""Leases: which process works on what, in a folder that several machines share.

A lease is a file that only one process can make. Its holder renews its time; where that stands
still, or the holder ran on this machine and has ended, another process takes it over. Two may hold
one for a moment, where a machine was suspended: so what they write must be written whole, once.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from allencv_al.common import process

LEASE_SECONDS = 60.0
_RENEWALS = 4  # in the time of a lease


@contextmanager
def lease(path: Path, seconds: float = LEASE_SECONDS) -> Iterator[bool]:
    """Hold a lease within the block; yield whether it is held, False where another process has it.

    Args:
        path: Its file, in a folder that exists.
        seconds: The age at which the lease of a silent process ends.
    """
    token = secrets.token_hex(8)
    if not _take(path, token, seconds):
        yield False
        return
    stop = threading.Event()
    renewal = threading.Thread(target=_renew, args=(path, stop, seconds / _RENEWALS), daemon=True)
    renewal.start()
    try:
        yield True
    finally:
        stop.set()
        renewal.join()
        if _owner(path)[2:] == [token]:  # else another process has taken it over
            path.unlink(missing_ok=True)


def _take(path: Path, token: str, seconds: float) -> bool:
    if _made(path, token):
        return True
    if not _has_ended(path, seconds):
        return False
    # Of several processes that find it so, one can rename it
    grave = path.with_name(f"{path.name}.{token}")
    try:
        path.rename(grave)
    except FileNotFoundError:
        return False
    grave.unlink(missing_ok=True)
    return _made(path, token)


def _made(path: Path, token: str) -> bool:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(f"{socket.gethostname()} {os.getpid()} {token}")
    except FileExistsError:
        return False
    return True


def _has_ended(path: Path, seconds: float) -> bool:
    owner = _owner(path)
    if owner[:1] == [socket.gethostname()] and not process.is_running(int(owner[1])):
        return True
    # The clock of a server of files may differ from that of this machine
    probe = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        probe.touch()
        return probe.stat().st_mtime - path.stat().st_mtime > seconds
    except FileNotFoundError:  # it was given back meanwhile
        return False
    finally:
        probe.unlink(missing_ok=True)


def _owner(path: Path) -> list[str]:
    """Return machine, process and token of a lease; nothing while it is being written."""
    try:
        words = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError):
        return []
    return words if len(words) == 3 and words[1].isdecimal() else []


def _renew(path: Path, stop: threading.Event, seconds: float) -> None:
    while not stop.wait(seconds):
        with suppress(OSError):
            os.utime(path)
