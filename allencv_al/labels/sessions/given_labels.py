"""What annotators say, what they take back, and what a review decides."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from allencv_al.common.errors import DataError
from allencv_al.labels.database import Database
from allencv_al.labels.label_store import (
    PER_ANNOTATOR,
    LabelConflict,
    LabelEvent,
    LabelKind,
    LabelStore,
    NewLabel,
)
from allencv_al.labels.sessions.outcomes import (
    NOT_UNDONE,
    class_number,
    is_said,
    renew,
)
from allencv_al.labels.sessions.session_records import PAGE, REVIEW, Answer

_ANSWER = (
    "SELECT e.event_id, i.item, e.kind, e.label, e.annotator, e.source, e.seconds, e.time, "
    "s.event_id IS NOT NULL FROM label_event e JOIN item i ON i.id = e.id "
    "LEFT JOIN standing s ON s.item = i.item AND s.annotator = e.annotator "
    "AND s.event_id = e.event_id "
)


class AnswerStore:
    """The answers to items, as events that are only ever appended.

    Args:
        database: Where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._events = LabelStore(database, PER_ANNOTATOR)

    def answer(
        self,
        annotator: str,
        client_key: str,
        item: int,
        kind: LabelKind,
        class_id: int | None = None,
        seconds: float | None = None,
        is_first: bool = False,
    ) -> Answer:
        """Store what an annotator says of an item; it counts when this returns.

        A repeated call with the same key stores nothing and returns what is there.

        Args:
            annotator: Who says it.
            client_key: Chosen by the client, new for each answer.
            item: The item.
            kind: What is said.
            class_id: The class, where `kind` is LABEL.
            seconds: How long it took.
            is_first: Whether the annotator has not answered this item before, to their knowledge:
                then an answer that they gave elsewhere meanwhile is not superseded.

        Raises:
            DataError: There is no such class, or the kind does not go with it.
            LabelConflict: There is no such item, its batch is closed, others have answered it as
                often as is wanted, the key belongs to another answer, or it is not the first.
        """
        with self._database.transaction() as connection:
            known = self._known(connection, client_key)
            if known is None:
                labels_per_image = _check_takes_answers(connection, item, annotator, is_first)
            event = self._store(
                connection, annotator, PAGE, client_key, item, kind, class_id, seconds
            )
            if known is None:
                _stand(connection, item, annotator, event)
                connection.execute(
                    "DELETE FROM lease WHERE item = ? AND annotator = ?", (item, annotator)
                )
                renew(connection, item, labels_per_image)
        return self._answer(event.event_id)

    def import_answer(
        self,
        annotator: str,
        client_key: str,
        item: int,
        kind: LabelKind,
        class_id: int | None,
        seconds: float | None,
    ) -> None:
        """Store an answer that was given elsewhere, also where there are as many as are wanted.

        The answer is stored, and a disagreement goes to the review.

        Raises:
            DataError: There is no such class, or the kind does not go with it.
            LabelConflict: There is no such item, or its batch is closed.
        """
        with self._database.transaction() as connection:
            labels_per_image = _check_is_open(connection, item)
            event = self._store(
                connection, annotator, PAGE, client_key, item, kind, class_id, seconds
            )
            _stand(connection, item, annotator, event)
            renew(connection, item, labels_per_image)

    def undo(self, annotator: str, event_id: int) -> Answer:
        """Take back an answer of one's own; what one had said before counts again.

        A repeated call stores nothing more.

        Returns:
            The answer that was taken back.

        Raises:
            LabelConflict: It is not this annotator's, not in force, or its batch is closed.
        """
        with self._database.transaction() as connection:
            found = connection.execute(f"{_ANSWER} WHERE e.event_id = ?", (event_id,)).fetchone()
            if found is None or found[4] != annotator or found[5] != PAGE:
                raise LabelConflict(f"there is no answer {event_id} of {annotator}")
            item = found[1]
            labels_per_image = _check_is_open(connection, item)
            known = connection.execute(
                "SELECT 1 FROM label_event WHERE kind = 'undo' AND supersedes = ?", (event_id,)
            ).fetchone()
            if known is None:  # else there may be another answer since, which stands
                undo = self._events.undo(event_id, annotator)
                _stand(connection, item, annotator, _in_force_after(connection, undo))
                renew(connection, item, labels_per_image)
        return self._answer(event_id)

    def decide(
        self,
        annotator: str,
        client_key: str,
        items: Sequence[int],
        kind: LabelKind,
        class_id: int | None = None,
    ) -> int:
        """Decide what comes of items, whatever the answers say; all of them, or none.

        Returns:
            How many were decided.

        Raises:
            DataError: There is no such class, or the kind says nothing of an item.
            LabelConflict: There is no such item, or its batch is closed.
        """
        if not is_said(kind):
            raise DataError(f"a review decides for a class, unsure or unreadable, found {kind}")
        with self._database.transaction() as connection:
            for item in dict.fromkeys(items):
                labels_per_image = _check_is_open(connection, item)
                key = f"{client_key}:{item}"
                self._store(connection, annotator, REVIEW, key, item, kind, class_id, None)
                renew(connection, item, labels_per_image)
        return len(set(items))

    def undo_decision(self, annotator: str, client_key: str) -> int:
        """Take back what one call of `decide` has decided; what was before counts again.

        A repeated call stores nothing more.

        Returns:
            How many items it was.

        Raises:
            LabelConflict: There is no such decision of this annotator, one of them was decided
                again since, or the batch is closed.
        """
        with self._database.transaction() as connection:
            rows = connection.execute(
                "SELECT e.event_id, i.item FROM label_event e JOIN item i ON i.id = e.id "
                "WHERE e.source = ? AND e.annotator = ? AND e.client_key BETWEEN ? AND ?",
                (REVIEW, annotator, f"{client_key}:", f"{client_key}:~"),
            ).fetchall()
            if not rows:
                raise LabelConflict(f"there is no such decision of {annotator}")
            for event_id, item in rows:
                labels_per_image = _check_is_open(connection, item)
                self._events.undo(event_id, annotator)
                renew(connection, item, labels_per_image)
        return len(rows)

    def history(self, annotator: str, before: int | None, limit: int) -> list[Answer]:
        """Return the answers of an annotator that were not taken back, the newest first.

        Args:
            annotator: Who.
            before: Only those with a lower number.
            limit: The most to return.
        """
        rows = self._database.rows(
            f"{_ANSWER} WHERE e.annotator = ? AND e.source = ? AND e.event_id < ? "
            f"AND {NOT_UNDONE} ORDER BY e.event_id DESC LIMIT ?",
            (annotator, PAGE, 2**62 if before is None else before, limit),
        )
        return [_from_row(row) for row in rows]

    def standing(self, items: Sequence[int]) -> dict[int, list[Answer]]:
        """Return what each annotator says now, by item."""
        found: dict[int, list[Answer]] = {item: [] for item in items}
        for item in items:
            rows = self._database.rows(f"{_ANSWER} WHERE s.item = ? ORDER BY e.event_id", (item,))
            found[item] = [_from_row(row) for row in rows]
        return found

    def decisions(self, items: Sequence[int]) -> dict[int, Answer]:
        """Return what a review has decided, by item."""
        found = {}
        for item in items:
            rows = self._database.rows(
                f"{_ANSWER} WHERE i.item = ? AND e.source = ? AND {NOT_UNDONE} "
                "ORDER BY e.event_id DESC LIMIT 1",
                (item, REVIEW),
            )
            if rows:
                found[item] = _from_row((*rows[0][:-1], True))
        return found

    def of_batch(self, batch: int) -> tuple[dict[int, list[Answer]], dict[int, Answer]]:
        """Return what `standing` and `decisions` do, for all items of a batch at once.

        Items that nothing was said of are not there.
        """
        answers: dict[int, list[Answer]] = {}
        for row in self._database.rows(
            f"{_ANSWER} WHERE i.batch = ? AND s.item IS NOT NULL ORDER BY e.event_id", (batch,)
        ):
            answers.setdefault(row[1], []).append(_from_row(row))
        decided = self._database.rows(
            f"{_ANSWER} WHERE i.batch = ? AND e.source = ? AND {NOT_UNDONE} ORDER BY e.event_id",
            (batch, REVIEW),
        )
        return answers, {row[1]: _from_row((*row[:-1], True)) for row in decided}

    def events(self) -> list[LabelEvent]:
        """Return all events, the oldest first."""
        return self._events.events()

    def _store(
        self,
        connection: sqlite3.Connection,
        annotator: str,
        source: str,
        client_key: str,
        item: int,
        kind: LabelKind,
        class_id: int | None,
        seconds: float | None,
    ) -> LabelEvent:
        row = connection.execute("SELECT id, batch FROM item WHERE item = ?", (item,)).fetchone()
        if row is None:
            raise LabelConflict(f"there is no item {item}")
        if (
            class_id is not None
            and not connection.execute(
                "SELECT 1 FROM class WHERE class_id = ?", (class_id,)
            ).fetchone()
        ):
            raise LabelConflict(f"there is no class {class_id}")
        label = None if class_id is None else str(class_id)
        new = NewLabel(row[0], label, annotator, row[1], source, kind, client_key, seconds)
        return self._events.add([new])[0]

    def _known(self, connection: sqlite3.Connection, client_key: str) -> int | None:
        row = connection.execute(
            "SELECT event_id FROM label_event WHERE client_key = ?", (client_key,)
        ).fetchone()
        return None if row is None else int(row[0])

    def _answer(self, event_id: int) -> Answer:
        return _from_row(self._database.rows(f"{_ANSWER} WHERE e.event_id = ?", (event_id,))[0])


def _check_is_open(connection: sqlite3.Connection, item: int) -> int:
    """Return how many answers are wanted; raise where none is taken any more."""
    row = connection.execute(
        "SELECT b.is_open, b.labels_per_image FROM item i JOIN batch b ON b.batch = i.batch "
        "WHERE i.item = ?",
        (item,),
    ).fetchone()
    if row is None:
        raise LabelConflict(f"there is no item {item}")
    if not row[0]:
        raise LabelConflict("this batch is closed; its labels are used already")
    return int(row[1])


def _check_takes_answers(
    connection: sqlite3.Connection, item: int, annotator: str, is_first: bool
) -> int:
    labels_per_image = _check_is_open(connection, item)
    mine = connection.execute(
        "SELECT s.kind, c.name FROM standing s LEFT JOIN class c ON c.class_id = s.class_id "
        "WHERE s.item = ? AND s.annotator = ?",
        (item, annotator),
    ).fetchone()
    if is_first and mine is not None and mine[0] != LabelKind.SKIP:
        raise LabelConflict(
            f"you have answered this image in another window meanwhile ({mine[1] or mine[0]}), and "
            "that answer stands"
        )
    [(answers,)] = connection.execute("SELECT answers FROM item WHERE item = ?", (item,))
    if mine is None and answers >= labels_per_image:
        raise LabelConflict("somebody else has labeled this image meanwhile")
    return labels_per_image


def _in_force_after(connection: sqlite3.Connection, undo: LabelEvent) -> LabelEvent | None:
    """Return the event that counts again after an undo."""
    row = connection.execute(
        "SELECT before.event_id, before.kind, before.label FROM label_event undone "
        "JOIN label_event before ON before.event_id = undone.supersedes "
        "WHERE undone.event_id = ?",
        (undo.supersedes,),
    ).fetchone()
    if row is None:
        return None
    return LabelEvent(
        *(row[0], undo.id, row[2], undo.annotator, undo.round, undo.source, LabelKind(row[1])),
        *(None, None, undo.time, None),
    )


def _stand(
    connection: sqlite3.Connection, item: int, annotator: str, event: LabelEvent | None
) -> None:
    if event is None:
        connection.execute(
            "DELETE FROM standing WHERE item = ? AND annotator = ?", (item, annotator)
        )
        return
    connection.execute(
        "INSERT OR REPLACE INTO standing VALUES (?, ?, ?, ?, ?)",
        (item, annotator, event.event_id, str(event.kind), class_number(event.label)),
    )


def _from_row(row: Sequence[Any]) -> Answer:
    event_id, item, kind, label, annotator, source, seconds, time, is_in_force = row
    return Answer(
        *(event_id, item, LabelKind(kind), class_number(label), annotator, source, seconds, time),
        bool(is_in_force),
    )
