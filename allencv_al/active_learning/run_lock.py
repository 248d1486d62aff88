"""One process at a time works on a run."""

from __future__ import annotations

import fcntl
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from allencv_al.common.errors import DataError

logger = logging.getLogger(__name__)

LOCK_NAME = "run.lock"

_ATTEMPTS = 4
_PAUSE_SECONDS = 0.05


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Keep other processes from working on the run in a folder while the block lasts.

    A lock of the process, not of the open file: workers that are forked meanwhile do not hold it,
    and a kill ends it.

    Raises:
        DataError: Another process is at work there.
    """
    with (folder / LOCK_NAME).open("wb") as file:
        try:
            _lock(file)
        except (BlockingIOError, PermissionError) as error:
            raise DataError(
                f"{folder}: another process is at work on this run; wait for it or stop it first"
            ) from error
        except OSError as error:  # a file system without locks, as some of networks are
            logger.info("%s: not locked: %s", folder, error.strerror)
        yield


@contextmanager
def locked_run_folder(folder: Path, open_folder: Callable[[], None]) -> Iterator[None]:
    """Make a run's folder ready and keep other processes from it while the block lasts.

    Args:
        folder: The folder of the run.
        open_folder: Makes it ready; where it replaces a run, nobody may be at work on that.

    Raises:
        DataError: Another process is at work there.
    """
    if (folder / LOCK_NAME).exists():
        with run_lock(folder):
            open_folder()
    else:
        open_folder()
    with run_lock(folder):
        yield


def is_locked(folder: Path) -> bool:
    """Say whether another process is at work on the run in a folder.

    Not for a process that holds the lock itself: it would lose it.
    """
    try:
        with (folder / LOCK_NAME).open("rb") as file:
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return True
    except OSError:  # there is no such file, or no lock on this file system
        return False
    return False


def _lock(file: BinaryIO) -> None:
    """Take the lock; who only looks whether it is held has it for a moment."""
    for _ in range(_ATTEMPTS):
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except (BlockingIOError, PermissionError):
            time.sleep(_PAUSE_SECONDS)
    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
