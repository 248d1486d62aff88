"""`LabelStore`: what annotators did, as events that are only ever appended."""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from allencv_al.common.class_names import class_name
from allencv_al.common.errors import DataError
from allencv_al.common.files.json_values import repr_json
from allencv_al.labels.database import Database, is_encodable

UNTOLD = "(kept by the pipeline)"
"""What stands for the class of an item whose label only the learner knows."""


class LabelKind(StrEnum):
    """What an annotator said of an item."""

    LABEL = "label"
    """It shows this class."""
    SKIP = "skip"
    """It is not for me now."""
    UNSURE = "unsure"
    """I cannot tell."""
    UNREADABLE = "unreadable"
    """The picture does not open, or shows nothing."""
    UNDO = "undo"
    """Take back what was said last."""


class LabelConflict(DataError):  # noqa: N818  what it is called in the field
    """What was asked does not fit what others have said meanwhile."""


@dataclass(frozen=True, slots=True)
class NewLabel:
    """One thing that an annotator did.

    Args:
        id: The item.
        label: The class name; None unless `kind` is LABEL.
        annotator: Who did it.
        round: In which round.
        source: By what: the registered name of the annotator, or the page.
        kind: What was said of the item.
        client_key: A key of the sender's choice, so that it may send twice what is stored once.
        seconds: How long it took.
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
        # As an Instance does: two spellings of one name must not become two classes of a run
        if isinstance(self.label, str):
            object.__setattr__(self, "label", class_name(self.label))


@dataclass(frozen=True, slots=True)
class LabelEvent:
    """A `NewLabel` that is stored.

    Args:
        event_id: Its number; higher is later.
        id: The item.
        label: The class name; None unless `kind` is LABEL.
        annotator: Who did it.
        round: In which round; of an undo, the round of what it undoes.
        source: By what; of an undo, that of what it undoes.
        kind: What was said of the item.
        client_key: The key that the sender gave.
        seconds: How long it took.
        time: When it was stored, in seconds since 1970; never before `supersedes` was.
        supersedes: The event in force for the item before; None if none was. Of an undo: the event
            that it undoes.
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

# CROSS JOIN: in this order. Left to itself, SQLite joins the other way round in quadratic time.
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
    """The label events of a run.

    Nothing is ever changed or deleted: a new label of an item supersedes the old one, and an undo
    is an event too. Several annotators, threads and processes may write at once.

    Args:
        database: Where they are kept.
        scope: The columns in which a new event agrees with the one that it supersedes: `PER_ITEM`,
            where the newest word on an item counts, or `PER_ANNOTATOR`, where everybody's does.
    """

    def __init__(self, database: Database, scope: tuple[str, ...] = PER_ITEM) -> None:
        self._database = database
        self._scope = scope

    def add(self, labels: Sequence[NewLabel]) -> list[LabelEvent]:
        """Store all of them or, if one is not right, none.

        An id that occurs twice gets two events, the second superseding the first. For a
        `client_key` that is stored already nothing is added.

        Returns:
            The events, in the order given; for a known `client_key`, the event that is there.

        Raises:
            DataError: They are not right; all the faults are named.
            LabelConflict: A `client_key` is stored with another item or label.
        """
        faults = [fault for new in labels for fault in _faults(new)]
        if faults:
            raise DataError("\n".join(["these labels cannot be stored:", *faults]))
        with self._database.transaction() as connection:
            return [self._add(connection, new) for new in labels]

    def undo(self, event_id: int, annotator: str) -> LabelEvent:
        """Take back an event that is in force: what it superseded is in force again.

        An event may be taken back, then the one before it, and so on; each once. A second call for
        the same event adds nothing and returns the undo that is there. An undo is not itself taken
        back: give the label again.

        Args:
            event_id: The event.
            annotator: Who takes it back.

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

    def events(self, after: int = 0) -> list[LabelEvent]:
        """Return all events, oldest first.

        Args:
            after: Only those with a higher number. Numbers are given in the order of commits, so
                whoever asks from the last one seen misses none.
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
                f"event {event.event_id} is an undo, which is not taken back; give the label again"
            )
        in_force = self._in_force(connection, event)
        if in_force != event.event_id:
            raise LabelConflict(
                f"event {event.event_id} of {repr_json(event.id)} is not in force: event "
                f"{in_force} is"
            )


def _append(connection: sqlite3.Connection, new: NewLabel, supersedes: int | None) -> LabelEvent:
    # Where the clock was set back, an event still is no older than the one that it supersedes:
    # comparing their times must give the same label in force.
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
    label = None if label is None else class_name(label)  # it may be older than its one spelling
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
