"""`LabelingStore`: everything that a labeling holds, in one file."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from allencv_al.labels.database import Database
from allencv_al.labels.label_store import LabelConflict, LabelKind
from allencv_al.labels.sessions.classes import ClassStore
from allencv_al.labels.sessions.given_labels import AnswerStore
from allencv_al.labels.sessions.identity import LabelingIdentity
from allencv_al.labels.sessions.items import SELECT_ITEM, ItemStore, item_of
from allencv_al.labels.sessions.labeling_progress import ProgressStore
from allencv_al.labels.sessions.leases import LeaseStore
from allencv_al.labels.sessions.schema import LABELING_SCHEMA
from allencv_al.labels.sessions.session_records import Answer, Reviewed

LABELING_NAME = "labeling.sqlite"
"""What the file is called in the folder of a run, or of a labeling."""

HEARTBEAT_SECONDS = 5.0
_SILENT_SECONDS = 3 * HEARTBEAT_SECONDS


@dataclass(frozen=True, slots=True)
class FinalLabel:
    """What has come of an item.

    Args:
        id: The item, as in the data.
        image: Its file, or its content.
        kind: What comes of it: skip where nobody has said anything.
        label: The name of the class, where `kind` is LABEL.
        annotator: Who said so: the reviewer, or the first of those who agree.
        seconds: How long it took that annotator.
        event_id: The event that says so; None of a skip that nobody has made.
    """

    id: str
    image: Path | bytes
    kind: LabelKind
    label: str | None
    annotator: str
    seconds: float | None
    event_id: int | None


@dataclass(frozen=True, slots=True)
class ReviewFilter:
    """Which items a review shows.

    Args:
        batch: Of this batch; None for all.
        class_id: Those that have this class.
        kind: Those of which this has come.
        annotator: Those that this annotator has answered.
        conflicts: Only those in conflict.
    """

    batch: int | None = None
    class_id: int | None = None
    kind: LabelKind | None = None
    annotator: str | None = None
    conflicts: bool = False


class LabelingStore:
    """A labeling: classes, items, answers, leases. Several processes may use it at once.

    Args:
        path: The file.
        create: Whether to make it where it is missing.
        clock: The time in seconds since 1970.

    Raises:
        DataError: The file cannot be used.
    """

    def __init__(
        self, path: str | Path, create: bool = True, clock: Callable[[], float] = time.time
    ) -> None:
        self.database = Database(path, LABELING_SCHEMA, create)
        self._clock = clock
        self.classes = ClassStore(self.database)
        self.items = ItemStore(self.database)
        self.answers = AnswerStore(self.database)
        self.leases = LeaseStore(self.database, clock)
        self.counts = ProgressStore(self.database, clock)
        self.identity = LabelingIdentity(self.database)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self.database.close()

    # -- Reviews -------------------------------------------------------------------------------

    def review(self, of: ReviewFilter, after: int | None, limit: int) -> list[Reviewed]:
        """Return items that something was said of, with all that was said, in the order of asking.

        Args:
            of: Which.
            after: Only those behind this item.
            limit: The most to return.
        """
        conditions, values = _conditions(of)
        if after is not None:
            conditions.append("(i.batch, i.rank) > (SELECT batch, rank FROM item WHERE item = ?)")
            values.append(after)
        rows = self.database.rows(
            f"{SELECT_ITEM} WHERE {' AND '.join(conditions)} ORDER BY i.batch, i.rank LIMIT ?",
            (*values, limit),
        )
        items = [item_of(row) for row in rows]
        numbers = [item.item for item in items]
        answers, decisions = self.answers.standing(numbers), self.answers.decisions(numbers)
        return [
            Reviewed(item, tuple(answers[item.item]), decisions.get(item.item)) for item in items
        ]

    # -- The end of a batch ----------------------------------------------------------------------

    def is_complete(self, batch: int) -> bool:
        """Return whether something has come of every item."""
        [(left,)] = self.database.rows(
            "SELECT count(*) FROM item WHERE batch = ? AND kind IS NULL", (batch,)
        )
        return not left

    def last_event(self, batch: int) -> int:
        """Return the newest event about an item of a batch; 0 if there is none."""
        [(last,)] = self.database.rows(
            "SELECT coalesce(max(event_id), 0) FROM label_event WHERE round = ?", (batch,)
        )
        return int(last)

    def finish(self, batch: int, allow_skips: bool = True) -> bool:
        """Close a batch; afterwards nothing more is taken. Of what was skipped nothing comes.

        Args:
            batch: The batch.
            allow_skips: Whether to close it where items were only skipped.

        Returns:
            Whether it is closed.

        Raises:
            LabelConflict: Items are waiting for an answer or for a decision, and skips are allowed.
        """
        with self.database.transaction() as connection:
            [(untouched, skipped, conflicts)] = connection.execute(
                "SELECT coalesce(sum(NOT is_conflict AND NOT EXISTS (SELECT 1 FROM standing s "
                "WHERE s.item = i.item AND s.kind = 'skip')), 0), coalesce(sum(NOT is_conflict AND "
                "EXISTS (SELECT 1 FROM standing s WHERE s.item = i.item AND s.kind = 'skip')), 0), "
                "coalesce(sum(is_conflict), 0) FROM item i WHERE batch = ? AND kind IS NULL",
                (batch,),
            )
            if not allow_skips and (untouched or skipped or conflicts):
                return False
            if untouched or conflicts:
                raise LabelConflict(_what_waits(untouched, conflicts))
            connection.execute("UPDATE batch SET is_open = 0 WHERE batch = ?", (batch,))
        return True

    def finals(self, batch: int) -> list[FinalLabel]:
        """Return what has come of the items of a batch, in the order of asking.

        An item of which nothing has come is a skip.
        """
        names = self.classes.names()
        answers, decisions = self.answers.of_batch(batch)
        found = []
        for item in self.items.items(batch):
            of_item = answers.get(item.item, [])
            said = _said_by(item.kind, item.class_id, of_item, decisions.get(item.item))
            found.append(
                FinalLabel(
                    item.id,
                    self.items.image(item) if item.image is not None else b"",
                    item.kind or LabelKind.SKIP,
                    None if item.class_id is None else names[item.class_id],
                    "" if said is None else said.annotator,
                    None if said is None else said.seconds,
                    None if said is None else said.event_id,
                )
            )
        return found

    # -- Who serves it --------------------------------------------------------------------------

    def server(self) -> str | None:
        """Return the address of the server that runs on this labeling, if one does."""
        rows = self.database.rows("SELECT url, machine, pid, heartbeat FROM server")
        if not rows:
            return None
        url, machine, pid, heartbeat = rows[0]
        age = self._clock() - heartbeat
        if machine == platform.node():
            # A heartbeat of the future: the clock was set back, and the process tells
            return str(url) if age <= _SILENT_SECONDS and _is_running(pid) else None
        return str(url) if abs(age) <= _SILENT_SECONDS else None

    def claim_server(self, url: str) -> None:
        """Say that a server of this process runs; to be repeated as its heartbeat."""
        with self.database.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO server VALUES (1, ?, ?, ?, ?)",
                (url, platform.node(), os.getpid(), self._clock()),
            )

    def release_server(self) -> None:
        """Say that the server of this process has ended."""
        with self.database.transaction() as connection:
            connection.execute("DELETE FROM server WHERE pid = ?", (os.getpid(),))


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is somebody else's
        return True
    return True


def _conditions(of: ReviewFilter) -> tuple[list[str], list[object]]:
    conditions = ["(i.kind IS NOT NULL OR i.answers > 0)"]
    values: list[object] = []
    for column, value in (("batch", of.batch), ("class_id", of.class_id)):
        if value is not None:
            conditions.append(f"i.{column} = ?")
            values.append(value)
    if of.kind is not None:
        conditions.append("i.kind = ?")
        values.append(str(of.kind))
    if of.annotator is not None:
        conditions.append(
            "EXISTS (SELECT 1 FROM standing s WHERE s.item = i.item AND s.annotator = ?)"
        )
        values.append(of.annotator)
    if of.conflicts:
        conditions.append("i.is_conflict")
    return conditions, values


def _said_by(
    kind: LabelKind | None,
    class_id: int | None,
    answers: Sequence[Answer],
    decision: Answer | None,
) -> Answer | None:
    if decision is not None:
        return decision
    wanted = LabelKind.SKIP if kind is None else kind
    return next((one for one in answers if one.kind == wanted and one.class_id == class_id), None)


def _what_waits(untouched: int, conflicts: int) -> str:
    parts = []
    if untouched:
        parts.append(f"{untouched} images have no answer yet")
    if conflicts:
        parts.append(f"{conflicts} images are in conflict, which a review has to decide")
    return "; ".join(parts)
