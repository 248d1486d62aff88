"""What a person sees of a running epoch."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType

from allencv_al.common.progress import Progress

SECONDS_BETWEEN_LOOKS = 1.0


class LoopProgress(AbstractContextManager["LoopProgress"]):
    """A progress bar with the loss, drawn now and then: each time, the loop waits for the device.

    Args:
        description: What is being done; None draws nothing.
        total: The steps of the epoch.
        done: Those that a process before this one did.
    """

    def __init__(self, description: str | None, total: int, done: int) -> None:
        self._bar: AbstractContextManager[Progress | None] = nullcontext()
        if description is not None:
            self._bar = Progress(description, total, "steps", done)
        self._progress: Progress | None = None
        self._new = 0
        self._next_look = (
            time.monotonic()
        )  # at once: a loss that is NaN from the start is soon seen

    def __enter__(self) -> LoopProgress:
        self._progress = self._bar.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.__exit__(kind, error, traceback)

    def due(self) -> bool:
        """Count one step; say whether to look at the loss now."""
        self._new += 1
        return time.monotonic() >= self._next_look

    def show(self, loss: float) -> None:
        """Draw the steps so far and their mean loss."""
        if self._progress is not None:
            self._progress.advance(self._new, f"loss {loss:.4f}")
        self._new = 0
        self._next_look = time.monotonic() + SECONDS_BETWEEN_LOOKS
