"""`LabelingStore`: a labeling in one file, shared by servers, commands and the loop."""

from __future__ import annotations

import json
import os
import platform
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from allencv_al.common import process
from allencv_al.common.names import counted
from allencv_al.data.instance import Instance
from allencv_al.labels.audit_sample import AuditStore, marked
from allencv_al.labels.database import Database
from allencv_al.labels.label_store import LabelConflict, LabelKind
from allencv_al.labels.label_table import write_label_table
from allencv_al.labels.sessions.acceptances import AcceptanceStore
from allencv_al.labels.sessions.answers import AnswerStore
from allencv_al.labels.sessions.classes import ClassStore
from allencv_al.labels.sessions.item_vectors import VectorStore
from allencv_al.labels.sessions.items import ItemStore
from allencv_al.labels.sessions.label_values import LabelValueStore
from allencv_al.labels.sessions.leases import LeaseStore
from allencv_al.labels.sessions.reviews import ReviewStore
from allencv_al.labels.sessions.schema import CREATE_LABELING, LABELING_SCHEMA
from allencv_al.labels.sessions.session_progress import ProgressStore

LABELING_NAME = "labeling.sqlite"
"""Name of the file in the folder of a labeling, or in a run directory."""

HEARTBEAT_SECONDS = 5.0
_SILENT_SECONDS = 3 * HEARTBEAT_SECONDS  # a busy machine may miss a heartbeat or two


@dataclass(frozen=True, slots=True)
class AgreedLabel:
    """The result of an item: the label that its answers agree on, or that a review decided.

    Args:
        id: The image, as in the data.
        image: Its file, or its content.
        kind: Kind of the label; SKIP without an agreed label.
        label: The text of the label, which is the name of a class unless the labeling has another
            task; None unless `kind` is LABEL.
        annotator: The reviewer, or the first annotator with this answer; empty without an answer.
        seconds: Time that this annotator spent.
        time: Time of this annotator's decision, in seconds since 1970.
        event_id: The event of this annotator; None without an answer.
    """

    id: str
    image: Path | bytes
    kind: LabelKind
    label: str | None
    annotator: str
    seconds: float | None
    time: float | None
    event_id: int | None


class LabelingStore:
    """A labeling: classes, items, answers, reviews, leases. Several processes may use it at once.

    Args:
        path: The file.
        create: Whether to create a missing file.
        clock: The time in seconds since 1970.

    Raises:
        DataError: The file cannot be used.
    """

    def __init__(
        self, path: str | Path, create: bool = True, clock: Callable[[], float] = time.time
    ) -> None:
        self.database = Database(path, LABELING_SCHEMA, create)
        self._clock = clock
        self._id: str | None = None
        self.values = LabelValueStore(self.database)
        self.classes = ClassStore(self.database, self.values)
        self.items = ItemStore(self.database)
        self.answers = AnswerStore(self.database, self.values)
        self.reviews = ReviewStore(self.database, self.answers, self.values)
        self.leases = LeaseStore(self.database, clock)
        self.counts = ProgressStore(self.database, clock)
        self.audit = AuditStore(self.database)
        self.vectors = VectorStore(self.database)
        self.acceptances = AcceptanceStore(self.database, self.answers)

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

    # -- Identity --------------------------------------------------------------------------------

    def id(self) -> str:
        """Return the random id of this labeling, by which pages of other labelings are refused."""
        if self._id is None:
            self._id = str(self._labeling_row()[0])
        return self._id

    def ordering(self) -> dict[str, Any] | None:
        """Return the options that `set_ordering` stored last, if any."""
        text = self._labeling_row()[1]
        return None if text is None else dict(json.loads(text))

    def set_ordering(self, options: Mapping[str, Any]) -> None:
        """Store the options that the images are ordered by."""
        self._labeling_row()
        with self.database.transaction() as connection:
            connection.execute("UPDATE labeling SET ordering = ?", (json.dumps(dict(options)),))

    def _labeling_row(self) -> tuple[Any, ...]:
        # Files of older versions have no such table: they get an id when they are asked for one
        table = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'labeling'"
        columns = "SELECT id, ordering FROM labeling"
        if self.database.rows(table) and (rows := self.database.rows(columns)):
            return rows[0]
        with self.database.transaction() as connection:
            connection.execute(CREATE_LABELING)
            # Of two processes that come here at once the first gives the id
            connection.execute(
                "INSERT OR IGNORE INTO labeling VALUES (1, ?, NULL)", (uuid.uuid4().hex,)
            )
        return self.database.rows(columns)[0]

    # -- Results ---------------------------------------------------------------------------------

    def is_complete(self, batch: int) -> bool:
        """Return whether every item of a batch has an agreed label."""
        [(left,)] = self.database.rows(
            "SELECT count(*) FROM item WHERE batch = ? AND kind IS NULL", (batch,)
        )
        return not left

    def last_event(self, batch: int) -> int:
        """Return the number of the newest event of a batch, 0 without any."""
        [(last,)] = self.database.rows(
            "SELECT coalesce(max(event_id), 0) FROM label_event WHERE round = ?", (batch,)
        )
        return int(last)

    def finish(self, batch: int, allow_skips: bool = True) -> bool:
        """Close a batch: it takes no more answers, and skipped items stay without a label.

        Args:
            batch: The batch.
            allow_skips: Whether to close it if items are without a label because of skips.

        Returns:
            Whether it is closed.

        Raises:
            LabelConflict: Items need an answer or a decision, and skips are allowed.
        """
        with self.database.transaction() as connection:
            [(left, skipped, conflicts)] = connection.execute(
                # An image with a label of an earlier batch keeps it
                "SELECT count(*), coalesce(sum(NOT is_conflict AND EXISTS (SELECT 1 "
                "FROM standing s JOIN label_event e ON e.event_id = s.event_id "
                "WHERE s.item = i.item AND (s.kind = 'skip' OR e.round != i.batch))), 0), "
                "coalesce(sum(is_conflict), 0) FROM item i WHERE batch = ? AND kind IS NULL",
                (batch,),
            )
            if left and not allow_skips:
                return False
            # Skipped images may stay without a label; untouched ones and conflicts may not
            if left > skipped:
                raise LabelConflict(_missing(left - skipped - conflicts, conflicts))
            connection.execute("UPDATE batch SET is_open = 0 WHERE batch = ?", (batch,))
        return True

    def agreed_labels(self, batch: int) -> list[AgreedLabel]:
        """Return the results of the items of a batch, in the order of asking."""
        items = self.items.items(batch)
        texts = self.values.texts(item.class_id for item in items)
        numbers = [item.item for item in items]
        answers = self.answers.in_force(numbers, batch)
        decisions = self.reviews.decisions(numbers)
        found = []
        for item in items:
            # What has no agreed label counts as skipped: it goes back without one
            kind = item.kind or LabelKind.SKIP
            same = (
                answer
                for answer in answers[item.item]
                if (answer.kind, answer.class_id) == (kind, item.class_id)
            )
            # Author and time are those of the decision, or of the first answer that agrees with the
            # result
            answer = decisions.get(item.item) or next(same, None)
            found.append(
                AgreedLabel(
                    id=item.id,
                    image=self.items.image(item) if item.image is not None else b"",
                    kind=kind,
                    label=None if item.class_id is None else texts[item.class_id],
                    annotator="" if answer is None else answer.annotator,
                    seconds=None if answer is None else answer.seconds,
                    time=None if answer is None else answer.time,
                    event_id=None if answer is None else answer.event_id,
                )
            )
        return found

    def write_table(self, path: Path) -> int:
        """Write the labels of the newest batch as a table for the reader `manifest`.

        Args:
            path: The CSV file.

        Returns:
            The number of labels.
        """
        batch = self.items.batch()
        audit = self.audit.ids()
        task, labeled = self.values.task, []
        for agreed in self.agreed_labels(batch.batch) if batch is not None else ():
            if agreed.kind is LabelKind.LABEL:
                item = Instance(agreed.id, agreed.image, metadata=marked({}, agreed.id in audit))
                text = str(agreed.label)
                labeled.append(
                    replace(item, label=text) if task is None else task.labeled(item, text)
                )
        write_label_table(path, [], labeled)
        return len(labeled)

    # -- The server of this labeling -------------------------------------------------------------

    def server(self) -> str | None:
        """Return the address of the server that runs on this labeling, if any."""
        rows = self.database.rows("SELECT url, machine, pid, heartbeat FROM server")
        if not rows:
            return None
        url, machine, pid, heartbeat = rows[0]
        age = self._clock() - heartbeat
        if machine == platform.node():
            # A heartbeat in the future means that the clock was set back; the process decides
            return str(url) if age <= _SILENT_SECONDS and process.is_running(pid) else None
        # Of another machine no process can be asked for; its clock may be off in either direction
        return str(url) if abs(age) <= _SILENT_SECONDS else None

    def claim_server(self, url: str) -> None:
        """Record that this process serves the labeling; repeated calls are its heartbeat."""
        with self.database.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO server VALUES (1, ?, ?, ?, ?)",
                (url, platform.node(), os.getpid(), self._clock()),
            )

    def release_server(self) -> None:
        """Record that the server of this process has ended."""
        with self.database.transaction() as connection:
            # Only the own entry: another server may have taken over meanwhile
            connection.execute("DELETE FROM server WHERE pid = ?", (os.getpid(),))


def _missing(untouched: int, conflicts: int) -> str:
    parts = []
    if untouched:
        verb = "has" if untouched == 1 else "have"
        parts.append(f"{counted(untouched, 'image')} {verb} no answer yet")
    if conflicts:
        verb = "is" if conflicts == 1 else "are"
        parts.append(f"{counted(conflicts, 'image')} {verb} in conflict, for a review to decide")
    return "; ".join(parts)
