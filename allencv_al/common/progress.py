"""Progress of long work: a bar on a terminal, a line now and then in a pipe; always on stderr."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import TypeVar

T = TypeVar("T")

SECONDS_BETWEEN_LINES = 10.0


class Progress(AbstractContextManager["Progress"]):
    """A bar on a terminal, lines in a pipe.

    Args:
        description: Text of the progress bar, a few words.
        total: Total number of units, if known.
        unit: The counted things, in the plural (`images`).
        already: Units that were done before; they say nothing of the speed.
    """

    def __init__(
        self,
        description: str,
        total: int | None = None,
        unit: str = "items",
        already: int = 0,
    ) -> None:
        self._description = description
        self._total = total
        self._unit = unit
        self._done = self._already = already
        self._printed: int | None = None  # how many were done at the last line
        self._started = self._last_line = time.monotonic()
        self._bar = _RichBar(description, total, unit, already) if sys.stderr.isatty() else None

    def advance(self, count: int = 1, note: str = "") -> None:
        """Count `count` more units; `note` stands behind the figures (`loss 0.31`)."""
        self._done += count
        if self._bar is not None:
            self._bar.advance(count, note)
        elif time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            self._print_line(note)

    def skip(self, count: int) -> None:
        """Count `count` more units that cost nothing: they say nothing of the speed."""
        self._done += count
        self._already += count
        if self._bar is not None:
            self._bar.skip(count)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        elif self._printed not in (None, self._done):
            self._print_line("")  # something was said before, so say how it ended

    def _print_line(self, note: str) -> None:
        self._printed = self._done
        seconds = max(time.monotonic() - self._started, 1e-9)  # a clock may not have moved yet
        new = self._done - self._already
        total = f"/{self._total}" if self._total is not None else ""
        parts = [
            f"{self._description}: {self._done}{total} {self._unit}",
            self._speed(new, seconds),
        ]
        if self._total is not None and new > 0 and self._done < self._total:
            parts.append(f"{time_text((self._total - self._done) * seconds / new)} left")
        sys.stderr.write(", ".join([*parts, note] if note else parts) + "\n")
        sys.stderr.flush()

    def _speed(self, new: int, seconds: float) -> str:
        if 0 < new < 0.1 * seconds:
            return f"{time_text(seconds / new)} each"
        return f"{new / seconds:.1f} {self._unit}/s"


def time_text(seconds: float) -> str:
    """Return a time to wait as people say it: `2 h 05 min`, `3 min 20 s`, `40 s`."""
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    if minutes < 1:
        return f"{whole} s"
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


class _RichBar:
    def __init__(self, description: str, total: int | None, unit: str, already: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self._progress = RichProgress(
            TextColumn("{task.description}", markup=False),  # [...] in a note is no color
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]} {task.fields[rate]}", markup=False),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=False,  # results must not go where the bar is
        )
        self._task = self._progress.add_task(
            description, total=total, completed=already, unit=unit, rate="", note=""
        )
        self._progress.start()

    def advance(self, count: int, note: str) -> None:
        speed = self._progress.tasks[0].speed
        rate = f"{speed:.1f}/s" if speed else ""
        self._progress.update(self._task, advance=count, note=note, rate=rate)

    def skip(self, count: int) -> None:
        self._progress.update(self._task, advance=count)

    def close(self) -> None:
        self._progress.stop()


def track(
    iterable: Iterable[T], total: int | None = None, description: str = "", unit: str = "items"
) -> Iterator[T]:
    """Yield from `iterable` and show how far it is."""
    with Progress(description, total, unit) as progress:
        for item in iterable:
            yield item
            progress.advance()


@contextmanager
def log_level(name: str, level: int) -> Iterator[None]:
    """Set the level of the logger `name` in the block, and put back what it was."""
    ours = logging.getLogger(name)
    before = ours.level
    ours.setLevel(level)
    try:
        yield
    finally:
        ours.setLevel(before)
