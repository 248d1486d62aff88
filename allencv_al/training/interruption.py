"""SIGINT and SIGTERM during training: the first asks for a checkpoint, the second stops at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from types import FrameType, TracebackType
from typing import Any

from allencv_al.common.errors import AllenCVError

WATCHED = (signal.SIGINT, signal.SIGTERM)
SHELL_SIGNAL_BASE = 128  # a process ended by signal n is reported by a shell as 128 + n


class TrainingInterrupted(AllenCVError):  # noqa: N818  like KeyboardInterrupt
    """Training was asked to stop by a signal; `exit_code` is 130 or 143, as a shell expects.

    Args:
        received: The signal.
        message: The state of the work done so far.
    """

    def __init__(self, received: signal.Signals, message: str) -> None:
        self.exit_code = SHELL_SIGNAL_BASE + received
        super().__init__(f"{received.name}: {message}")


class SignalReceivedError(Exception):
    """A signal interrupted a wait or a validation, which stays unfinished."""


class SignalWatch(AbstractContextManager["SignalWatch"]):
    """Hold back the first SIGINT or SIGTERM while the block runs; let the second one through.

    `received` is the signal, or None. Only the main thread can set handlers; in other threads the
    block runs unwatched. The previous handlers are restored at the end.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._process = os.getpid()
        self._grace: float | None = None  # seconds, while the program waits for something
        self._recalls = False
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> SignalWatch:
        if threading.current_thread() is threading.main_thread():
            for number in WATCHED:
                self._previous[number] = signal.signal(number, self._handle)
        return self

    @contextmanager
    def waiting(self, grace: float = 0.0) -> Iterator[None]:
        """End the `with` block at the first signal: its wait may never end otherwise.

        Args:
            grace: Seconds in which the block may end by itself after the signal.

        Raises:
            SignalReceivedError: A signal came.
        """
        self._grace = grace
        try:
            if self.received is not None:
                self._end_block(self.received)
            yield
        finally:
            self._grace = None

    def _end_block(self, number: signal.Signals) -> None:
        if not self._grace:
            raise SignalReceivedError
        timer = threading.Timer(self._grace, self._recall, [number])
        timer.daemon = True  # must not keep a finished process alive
        timer.start()

    def _recall(self, number: signal.Signals) -> None:
        """Interrupt the main thread if it is still waiting."""
        if self._grace is not None and self._previous:
            self._recalls = True
            # To this process, whose main thread runs the handler and so ends its wait
            os.kill(self._process, number)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            # None: the handler was set outside Python and cannot be put back by it
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._previous.clear()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        received = signal.Signals(number)
        if os.getpid() != self._process:
            self._handle_in_worker(received)
        elif self.received is None:
            # Logged by the loop: a handler must not write to a stream that may be in use
            self.received = received
            if self._grace is not None:
                self._end_block(received)
        elif self._recalls:
            self._recalls = False
            if self._grace is not None:
                raise SignalReceivedError
        else:
            raise TrainingInterrupted(received, "asked twice, so stopped at once")

    def _handle_in_worker(self, received: signal.Signals) -> None:
        # A forked loader worker inherits this handler. Ctrl-C reaches the whole process group and
        # the parent will end its workers itself; SIGTERM is how it does that.
        if received == signal.SIGTERM:
            signal.signal(received, signal.SIG_DFL)
            os.kill(os.getpid(), received)
