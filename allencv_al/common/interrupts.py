"""Ctrl-C while libraries are imported: it waits until they are."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SECONDS_BETWEEN_TRIES = 0.05


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
