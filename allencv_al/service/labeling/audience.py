"""The pages that ask how a labeling is, so that a loop that ends can wait until they know."""

from __future__ import annotations

import threading
import time

_PRESENT_SECONDS = 10.0
"""Seconds after its last poll during which a page counts as open; it polls every three seconds."""


class Audience:
    """Pages that polled lately, and those that know that the loop is done."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._asked: dict[str, float] = {}
        self._told: set[str] = set()

    def on_session(self, annotator: str, is_finished: bool) -> None:
        """Note that the page of an annotator was answered, and whether the answer was the end."""
        with self._changed:
            self._asked[annotator] = time.monotonic()
            if is_finished:
                self._told.add(annotator)
                self._changed.notify_all()

    def wait(self, seconds: float) -> None:
        """Wait until all pages that are open know that the loop is done, or the time is up."""
        with self._changed:
            self._told.clear()  # the files of the run were not all there before
            self._changed.wait_for(lambda: self._present() <= self._told, seconds)

    def _present(self) -> set[str]:
        since = time.monotonic() - _PRESENT_SECONDS
        return {name for name, asked in self._asked.items() if asked > since}
