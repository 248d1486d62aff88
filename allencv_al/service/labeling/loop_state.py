"""The loop behind a labeling: its state, and the pages that wait for its end."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from allencv_al.active_learning.rounds.forecast import forecast_text
from allencv_al.active_learning.rounds.round_record import RoundRecord, audit_text, read_records
from allencv_al.active_learning.stop_rules.base import StopRule, target_accuracy
from allencv_al.common.errors import ConfigurationError
from allencv_al.common.files.run_lock import is_locked
from allencv_al.labels.label_store import LabelStore
from allencv_al.labels.run_database import DATABASE_NAME, RoundStore, RunDatabase, State
from allencv_al.service.labeling.labeling_answers import LoopStateAnswer, RoundAnswer
from allencv_al.training.run_folder import read_config

_PRESENT_SECONDS = 10.0  # a page that polled since counts as open; it polls every three seconds
_FILES = ("labels.csv", "model.tar.gz", "report.html")


class LoopState:
    """Reads the state of a run; rounds only again when something was recorded since.

    Args:
        folder: The run directory.
        is_here: Whether the loop runs in this process, which then holds the lock of the run.
    """

    def __init__(self, folder: Path, is_here: bool = False) -> None:
        self._folder = folder
        self._is_here = is_here
        self._database: RunDatabase | None = None
        self._seen: tuple[int, int] | None = None
        self._rounds: list[RoundAnswer] = []
        self._forecast = ""

    def read(self, batch_is_open: bool) -> LoopStateAnswer:
        """Return the rounds and the current state of the loop.

        Args:
            batch_is_open: Whether the batch of the newest round still takes answers.
        """
        database = self._opened()
        if database is None:
            return LoopStateAnswer(state="absent", rounds=[], files=[])
        # Two numbers by index: pages poll every three seconds, and records take long to build
        [newest] = database.rows(
            "SELECT (SELECT coalesce(max(sequence), 0) FROM round_state), "
            "(SELECT coalesce(max(event_id), 0) FROM label_event)"
        )
        if newest != self._seen:
            records = read_records(RoundStore(database), LabelStore(database))
            self._rounds = _rounds(records)
            pace = LabelStore(database).median_seconds()
            self._forecast = forecast_text(records, _target(self._folder), pace)
            self._seen = (newest[0], newest[1])
        rounds = RoundStore(database)
        last = rounds.last()
        if last is not None and last[1] is State.DONE:
            return self._answer("finished")
        # The lock of the run is held by a living process alone: a killed loop shows as absent
        if not (self._is_here or is_locked(self._folder)):
            return self._answer("absent")
        return self._answer("waiting" if batch_is_open else "training")

    def close(self) -> None:
        """Close the database."""
        if self._database is not None:
            self._database.close()

    def _answer(
        self, state: Literal["waiting", "training", "finished", "absent"]
    ) -> LoopStateAnswer:
        files = [name for name in _FILES if (self._folder / name).is_file()]
        return LoopStateAnswer(
            state=state, rounds=self._rounds, forecast=self._forecast, files=files
        )

    def _opened(self) -> RunDatabase | None:
        path = self._folder / DATABASE_NAME
        if self._database is None and path.is_file():
            self._database = RunDatabase(path, create=False)
        return self._database


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


def _target(folder: Path) -> float | None:
    """Return the accuracy that a stop rule of the run aims at."""
    block = (read_config(folder) or {}).get("active_learning")
    rules = (block.get("stop") if isinstance(block, Mapping) else None) or ()
    try:
        return target_accuracy([StopRule.from_params(rule) for rule in rules])
    except ConfigurationError:  # of a package that only the loop's process has imported
        return None


def _rounds(records: Sequence[RoundRecord]) -> list[RoundAnswer]:
    return [
        RoundAnswer(
            round=record.round,
            labels=record.labels,
            accuracy=_shown_accuracy(record.metrics),
            tested=None if (found := record.test_accuracy()) is None else str(found),
            audited=audit_text(record.metrics),
        )
        for record in records
        if record.labels
    ]


def _shown_accuracy(metrics: Mapping[str, float | None]) -> float | None:
    """Return the accuracy on the test set, or without one that of the audit sample."""
    value = metrics.get("accuracy")
    return metrics.get("audit_accuracy") if value is None else value
