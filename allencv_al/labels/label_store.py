"""`LabelStore`: append-only log of label events.

The databases of runs and of labeling sessions have this table::

    label_event                       one row per decision of an annotator; append-only
      event_id    1, 2, 3 ...         in the order of commits
      id          the image
      label       the class, if kind is label
      kind        label | skip | unsure | unreadable | undo
      annotator   author              source      program: ground_truth, file, page ...
      round       of the loop         client_key  given by a client so that it may send twice
      seconds     time spent          time        when it was stored, seconds since 1970
      supersedes  ─> event_id         the event in force before (NULL: none); of an undo: the event
                                      that it undoes
"""

from __future__ import annotations

import math
import sqlite3
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from allencv_al.common.errors import DataError
from allencv_al.common.files.json_values import repr_json
from allencv_al.common.names import class_name
from allencv_al.labels.database import Database, is_encodable

UNTOLD = "(kept by the pipeline)"
"""Placeholder for labels known only to the pipeline."""

OF_DATA = "dataset"
"""Annotator and source of the labels that the data has."""

LABEL_EVENTS = """
CREATE TABLE label_event (
    event_id INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    label TEXT,
    kind TEXT NOT NULL CHECK (kind IN ('label', 'skip', 'unsure', 'unreadable', 'undo')),
    annotator TEXT NOT NULL,
    source TEXT NOT NULL,
    round INTEGER NOT NULL,
    client_key TEXT UNIQUE,
    seconds REAL,
    time REAL NOT NULL,
    supersedes INTEGER REFERENCES label_event (event_id),
    CHECK ((kind = 'label') = (label IS NOT NULL)),
    CHECK (kind != 'undo' OR supersedes IS NOT NULL)
);
CREATE INDEX label_event_by_id ON label_event (id);
CREATE UNIQUE INDEX label_event_undone_once ON label_event (supersedes) WHERE kind = 'undo';

CREATE TRIGGER label_event_no_update BEFORE UPDATE ON label_event
BEGIN SELECT RAISE(ABORT, 'label events are only ever appended'); END;
CREATE TRIGGER label_event_no_delete BEFORE DELETE ON label_event
BEGIN SELECT RAISE(ABORT, 'label events are only ever appended'); END;
-- INSERT OR REPLACE deletes without asking the trigger above.
CREATE TRIGGER label_event_no_replace BEFORE INSERT ON label_event
WHEN EXISTS (
    SELECT 1 FROM label_event
    WHERE event_id = NEW.event_id OR client_key = NEW.client_key
        OR (NEW.kind = 'undo' AND kind = 'undo' AND supersedes = NEW.supersedes)
)
BEGIN SELECT RAISE(ABORT, 'label events are only ever appended'); END;
"""


class LabelKind(StrEnum):
    """Kind of an annotator's decision about an image."""

    LABEL = "label"
    """The image shows this class."""
    SKIP = "skip"
    """The annotator passes on the image for now."""
    UNSURE = "unsure"
    """The annotator cannot tell the class."""
    UNREADABLE = "unreadable"
    """The image does not open, or shows nothing."""
    UNDO = "undo"
    """The annotator undoes an earlier decision."""


class LabelConflict(DataError):  # noqa: N818  the term of HTTP's 409
    """A request contradicts the stored state, for example after another annotator's decision."""


@dataclass(frozen=True, slots=True)
class NewLabel:
    """An annotator's decision about an image, to be stored.

    Args:
        id: The image.
        label: The class name; None unless `kind` is LABEL.
        annotator: The author.
        round: The round.
        source: The program: the registered name of the annotator, or the page.
        kind: The kind of decision.
        client_key: A unique key chosen by the sender, so that sending twice stores once.
        seconds: Time spent on the decision.
    """

    id: str
    label: str | None
    annotator: str
    round: int
    source: str
    kind: LabelKind = LabelKind.LABEL
    client_key: str | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        # As in Instance: two Unicode spellings of one name must not become two classes
        if isinstance(self.label, str):
            object.__setattr__(self, "label", class_name(self.label))


@dataclass(frozen=True, slots=True)
class LabelEvent:
    """A stored decision.

    Args:
        event_id: Its number; higher is later.
        id: The image.
        label: The class name; None unless `kind` is LABEL.
        annotator: The author.
        round: The round; of an undo, the round of the undone event.
        source: The program; of an undo, the source of the undone event.
        kind: The kind of decision.
        client_key: The key that the sender gave.
        seconds: Time spent on the decision.
        time: Time of storage, in seconds since 1970; never before `supersedes` was.
        supersedes: The event in force for the image before, or None. Of an undo: the event that it
            undoes.
    """

    event_id: int
    id: str
    label: str | None
    annotator: str
    round: int
    source: str
    kind: LabelKind
    client_key: str | None
    seconds: float | None
    time: float
    supersedes: int | None


_COLUMNS = (
    *("event_id", "id", "label", "annotator", "round", "source", "kind", "client_key"),
    *("seconds", "time", "supersedes"),
)
_EVENT = f"SELECT {', '.join(f'e.{name}' for name in _COLUMNS)} "
_SELECT = f"{_EVENT} FROM label_event e"
_INSERT = (
    f"INSERT INTO label_event ({', '.join(_COLUMNS[1:])}) "  # noqa: S608
    f"VALUES ({', '.join('?' * len(_COLUMNS[1:]))})"
)
PER_ITEM = ("id",)
PER_ANNOTATOR = ("id", "annotator", "source")

# CROSS JOIN fixes the order: SQLite would choose the other one, which takes quadratic time
_IN_FORCE = """
FROM (
    SELECT min(event_id) AS first, max(event_id) AS newest FROM label_event GROUP BY {columns}
) item
CROSS JOIN label_event last ON last.event_id = item.newest
LEFT JOIN label_event undone ON last.kind = 'undo' AND undone.event_id = last.supersedes
CROSS JOIN label_event e
    ON e.event_id = CASE last.kind WHEN 'undo' THEN undone.supersedes ELSE last.event_id END
ORDER BY item.first
"""


class LabelStore:
    """The label events of a run or of a labeling session.

    Nothing is changed or deleted: a new label of an image supersedes the old one, and an undo is an
    event too. Several annotators, threads and processes may write at once.

    Args:
        database: The file.
        scope: The columns that a new event shares with the one that it supersedes: `PER_ITEM` if
            the newest decision about an image counts, `PER_ANNOTATOR` if each annotator's does.
    """

    def __init__(self, database: Database, scope: tuple[str, ...] = PER_ITEM) -> None:
        self._database = database
        self._scope = scope

    def add(self, labels: Sequence[NewLabel]) -> list[LabelEvent]:
        """Store all labels, or none if one is invalid.

        An id that occurs twice gets two events, the second superseding the first. A `client_key`
        that is stored already adds nothing.

        Returns:
            The events, in the order given; for a known `client_key`, the stored event.

        Raises:
            DataError: Labels are invalid; the message lists all faults.
            LabelConflict: A `client_key` is stored with another image or label.
        """
        faults = [fault for new in labels for fault in _faults(new)]
        if faults:
            raise DataError("\n".join(["these labels cannot be stored:", *faults]))
        with self._database.transaction() as connection:
            return [self._add(connection, new) for new in labels]

    def undo(self, event_id: int, annotator: str) -> LabelEvent:
        """Undo an event that is in force; the event that it superseded is in force again.

        Repeated calls undo one event after the other. A second call for the same event adds
        nothing and returns the stored undo. An undo cannot be undone; give the label again.

        Args:
            event_id: The event.
            annotator: The author of the undo.

        Raises:
            LabelConflict: There is no such event, it is an undo, or a later one has superseded it.
        """
        with self._database.transaction() as connection:
            event = _event(connection, "WHERE e.event_id = ?", event_id)
            if event is None:
                raise LabelConflict(f"there is no label event {event_id}")
            known = _event(connection, "WHERE e.kind = 'undo' AND e.supersedes = ?", event_id)
            if known is not None:
                return known
            self._check_is_in_force(connection, event)
            new = NewLabel(
                event.id, None, annotator, event.round, event.source, kind=LabelKind.UNDO
            )
            return _append(connection, new, event_id)

    def median_seconds(self) -> float | None:
        """Return the median time that annotators spent on an answer; None if none was measured."""
        rows = self._database.rows("SELECT seconds FROM label_event WHERE seconds IS NOT NULL")
        return statistics.median(seconds for (seconds,) in rows) if rows else None

    def events(self, after: int = 0) -> list[LabelEvent]:
        """Return all events, oldest first.

        Args:
            after: Return only events with a higher number. Numbers follow the order of commits, so
                a caller that passes the last number it has seen misses none.
        """
        return self._read(f"{_SELECT} WHERE e.event_id > ? ORDER BY e.event_id", after)

    def current(self) -> dict[str, LabelEvent]:
        """Return the event in force of each item that has one, in the order of first events."""
        return {event.id: event for event in self.in_force()}

    def labels(self) -> dict[str, str]:
        """Return the label in force of each item that has one, in the order of first events."""
        return {id: event.label for id, event in self.current().items() if event.label is not None}

    def in_force(self) -> list[LabelEvent]:
        """Return all events in force, in the order of first events."""
        columns = ", ".join(self._scope)
        return self._read(f"{_EVENT} {_IN_FORCE.format(columns=columns)}")

    def _read(self, sql: str, *parameters: int) -> list[LabelEvent]:
        return [_from_row(row) for row in self._database.rows(sql, parameters)]

    def _add(self, connection: sqlite3.Connection, new: NewLabel) -> LabelEvent:
        known = _event(connection, "WHERE e.client_key = ?", new.client_key)
        if known is None:
            return _append(connection, new, self._in_force(connection, new))
        if (known.id, known.label, known.kind) != (new.id, new.label, new.kind):
            raise LabelConflict(
                f"the client_key {repr_json(new.client_key)} belongs to event {known.event_id} "
                f"({known.kind} {repr_json(known.label)} of {repr_json(known.id)}), found it with "
                f"{new.kind} {repr_json(new.label)} of {repr_json(new.id)}; a new label needs "
                "a new key"
            )
        return known

    def _in_force(self, connection: sqlite3.Connection, of: NewLabel | LabelEvent) -> int | None:
        columns = " AND ".join(f"e.{column} = ?" for column in self._scope)
        values = [getattr(of, column) for column in self._scope]
        newest = _event(connection, f"WHERE {columns} ORDER BY e.event_id DESC LIMIT 1", *values)
        if newest is None:
            return None
        if newest.kind != LabelKind.UNDO:
            return newest.event_id
        undone = _event(connection, "WHERE e.event_id = ?", newest.supersedes)
        assert undone is not None
        return undone.supersedes

    def _check_is_in_force(self, connection: sqlite3.Connection, event: LabelEvent) -> None:
        if event.kind == LabelKind.UNDO:
            raise LabelConflict(
                f"event {event.event_id} is an undo, which cannot be undone; give the label again"
            )
        in_force = self._in_force(connection, event)
        if in_force != event.event_id:
            raise LabelConflict(
                f"event {event.event_id} of {repr_json(event.id)} is not in force: event "
                f"{in_force} is"
            )


def _append(connection: sqlite3.Connection, new: NewLabel, supersedes: int | None) -> LabelEvent:
    # If the clock was set back, an event still is no older than the one that it supersedes:
    # comparing times must give the same label in force
    before = _event(connection, "WHERE e.event_id = ?", supersedes)
    now = time.time() if before is None else max(time.time(), before.time)
    row = (
        *(new.id, new.label, new.annotator, int(new.round), new.source, str(new.kind)),
        *(new.client_key, None if new.seconds is None else float(new.seconds)),
        *(now, supersedes),
    )
    event_id = connection.execute(_INSERT, row).lastrowid
    return _from_row((event_id, *row))


def _event(
    connection: sqlite3.Connection, where: str, *parameters: str | int | None
) -> LabelEvent | None:
    row = connection.execute(f"{_SELECT} {where}", parameters).fetchone()
    return None if row is None else _from_row(row)


def _from_row(row: Sequence[Any]) -> LabelEvent:
    id, label, annotator, round, source, kind, *rest = row[1:]
    # Files of version 0.1 may hold other spellings
    label = None if label is None else class_name(label)
    return LabelEvent(row[0], id, label, annotator, round, source, LabelKind(kind), *rest)


def _faults(new: NewLabel) -> Iterator[str]:
    where = repr_json(new.id)
    for name in ("id", "label", "annotator", "source", "client_key"):
        value = getattr(new, name)
        if value is not None and not is_encodable(value):
            yield f"{where}: {name} is no valid Unicode text: {value!a:.80}"
    if new.kind == LabelKind.UNDO:
        yield f"{where}: an undo names an event; it is not added as a label"
    elif (new.kind == LabelKind.LABEL) != bool(new.label):
        expected = "a class name" if new.kind == LabelKind.LABEL else "no label"
        yield f"{where}: kind {new.kind} has {expected}, found {repr_json(new.label)}"
    if new.seconds is not None and not (math.isfinite(new.seconds) and new.seconds >= 0):
        yield f"{where}: seconds: expected a finite number from 0, found {new.seconds}"
