"""Writing to the disk while training goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable

from allencv_al.common.errors import CheckpointError


class BackgroundWriter:
    """Runs one job at a time in a thread of its own and hands its error to whoever waits."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None

    def start(self, job: Callable[[], None]) -> None:
        """Run `job` in the background; the job before it must have been waited for."""
        # A daemon: the second Ctrl-C ends the process without waiting for the disk
        self._thread = threading.Thread(
            target=self._run, args=(job,), name="checkpoint writer", daemon=True
        )
        self._thread.start()

    def wait(self) -> None:
        """Return when the job is done.

        Raises:
            CheckpointError: If it failed.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._error is not None:
            error, self._error = self._error, None
            raise CheckpointError(
                f"a checkpoint cannot be written: {error}; what was written before is intact, "
                "and --recover goes on from there"
            ) from error

    def _run(self, job: Callable[[], None]) -> None:
        try:
            job()
        except Exception as error:  # raised again in the thread that waits
            self._error = error
