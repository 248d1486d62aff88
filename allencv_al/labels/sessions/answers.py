"""The answers of annotators: their decisions about images on the page."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from allencv_al.labels.database import Database
from allencv_al.labels.label_store import (
    PER_ANNOTATOR,
    LabelConflict,
    LabelEvent,
    LabelKind,
    LabelStore,
    NewLabel,
)
from allencv_al.labels.sessions.agreement import NOT_UNDONE, update_agreed_label
from allencv_al.labels.sessions.label_values import LabelValueStore
from allencv_al.labels.sessions.schema import PAGE

_COLUMNS = (
    "SELECT e.event_id, i.item, e.kind, CAST(e.label AS INTEGER), e.annotator, e.source, "
    "e.seconds, e.time, EXISTS (SELECT 1 FROM standing s WHERE s.item = i.item "
    "AND s.annotator = e.annotator AND s.event_id = e.event_id)"
)
SELECT_ANSWER = f"{_COLUMNS} FROM label_event e JOIN item i ON i.id = e.id "
IN_ITEMS = "i.item IN (SELECT value FROM json_each(?))"  # SQLite limits the number of parameters


@dataclass(frozen=True, slots=True)
class NewAnswer:
    """An annotator's decision about an item, to be stored.

    Args:
        annotator: The author.
        client_key: A unique key chosen by the client, so that sending twice stores once.
        item: The item's number.
        kind: The kind of decision.
        class_id: The class, if `kind` is LABEL; or the number of another label.
        seconds: Time spent on the decision.
        text: In place of `class_id`, a label that is more than one class, with numbers of classes
            (`c3`) in place of names.
    """

    annotator: str
    client_key: str
    item: int
    kind: LabelKind
    class_id: int | None = None
    seconds: float | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A stored answer, or the decision of a review.

    Args:
        event_id: Its number; higher is later.
        item: The item's number.
        kind: The kind of decision.
        class_id: The class, if `kind` is LABEL; or the number of another label.
        annotator: The author.
        source: `page` or `review`.
        seconds: Time spent on the decision.
        time: Time of storage, in seconds since 1970.
        is_in_force: Whether it still counts.
    """

    event_id: int
    item: int
    kind: LabelKind
    class_id: int | None
    annotator: str
    source: str
    seconds: float | None
    time: float
    is_in_force: bool


class AnswerStore:
    """The answers, as append-only label events; each annotator's newest one is in force.

    Args:
        database: Of the labeling.
        values: The labels that are more than one class.
    """

    def __init__(self, database: Database, values: LabelValueStore) -> None:
        self._database = database
        self._values = values
        self._events = LabelStore(database, PER_ANNOTATOR)

    def add(self, new: NewAnswer, is_first: bool = False, is_imported: bool = False) -> Answer:
        """Store an answer; it is durable when this returns.

        A repeated call with the same key stores nothing and returns the stored answer.

        Args:
            new: The answer.
            is_first: Whether the annotator believes to answer this item for the first time: then
                an answer given elsewhere in the meantime is not superseded.
            is_imported: Whether the answer was given elsewhere: it is stored even if there are
                enough answers, and a disagreement goes to the review.

        Raises:
            DataError: The kind does not match the class.
            LabelConflict: There is no such item or class, the batch is closed, the item has enough
                answers of others, the key belongs to another answer, or it is not the first.
        """
        with self._database.transaction() as connection:
            is_known = "SELECT 1 FROM label_event WHERE client_key = ?"
            if connection.execute(is_known, (new.client_key,)).fetchone():
                event = add_event(
                    connection, self._events, self._values, new, PAGE
                )  # adds nothing, only checks
                return self._answer(event.event_id)
            labels_per_image = check_is_open(connection, new.item)
            if not is_imported:
                _check_takes_answer(connection, new, is_first, labels_per_image)
            event = add_event(connection, self._events, self._values, new, PAGE)
            _set_standing(connection, new.item, new.annotator, event.event_id)
            # The lease has served its purpose; kept, it would count as a second annotator
            connection.execute(
                "DELETE FROM lease WHERE item = ? AND annotator = ?", (new.item, new.annotator)
            )
            update_agreed_label(connection, new.item, labels_per_image)
        return self._answer(event.event_id)

    def undo(self, annotator: str, event_id: int) -> Answer:
        """Undo an annotator's own answer; the answer before it is in force again.

        A repeated call stores nothing more.

        Returns:
            The undone answer.

        Raises:
            LabelConflict: It is not this annotator's, not in force, or its batch is closed.
        """
        with self._database.transaction() as connection:
            found = connection.execute(
                f"{SELECT_ANSWER} WHERE e.event_id = ?", (event_id,)
            ).fetchone()
            # Decisions of reviews are undone by `ReviewStore.undo`, all of one call together
            if found is None or found[4] != annotator or found[5] != PAGE:
                raise LabelConflict(f"there is no answer {event_id} of {annotator}")
            item = found[1]
            labels_per_image = check_is_open(connection, item)
            is_known = connection.execute(
                "SELECT 1 FROM label_event WHERE kind = 'undo' AND supersedes = ?", (event_id,)
            ).fetchone()
            if not is_known:  # else there may be a newer answer, which is in force
                self._events.undo(event_id, annotator)
                [(before,)] = connection.execute(
                    "SELECT supersedes FROM label_event WHERE event_id = ?", (event_id,)
                )
                _set_standing(connection, item, annotator, before)
                update_agreed_label(connection, item, labels_per_image)
        return self._answer(event_id)

    def history(self, annotator: str, before: int | None, limit: int) -> list[Answer]:
        """Return the answers of an annotator that were not undone, newest first.

        Args:
            annotator: The author.
            before: Return only answers with a lower number.
            limit: Maximal number of answers.
        """
        rows = self._database.rows(
            f"{SELECT_ANSWER} WHERE e.annotator = ? AND e.source = ? AND e.event_id < ? "
            f"AND {NOT_UNDONE} ORDER BY e.event_id DESC LIMIT ?",
            (annotator, PAGE, 2**62 if before is None else before, limit),  # above all event ids
        )
        return [answer_of(row) for row in rows]

    def in_force(self, items: Sequence[int]) -> dict[int, list[Answer]]:
        """Return each annotator's answer in force, by item, oldest first."""
        found: dict[int, list[Answer]] = {item: [] for item in items}
        for row in self._database.rows(
            f"{_COLUMNS} FROM standing i JOIN label_event e ON e.event_id = i.event_id "
            f"WHERE {IN_ITEMS} ORDER BY e.event_id",
            (json.dumps(list(items)),),
        ):
            found[row[1]].append(answer_of(row))
        return found

    def events(self) -> list[LabelEvent]:
        """Return all events, oldest first; `label` is the number of a class, as text."""
        return self._events.events()

    def _answer(self, event_id: int) -> Answer:
        [row] = self._database.rows(f"{SELECT_ANSWER} WHERE e.event_id = ?", (event_id,))
        return answer_of(row)


def answer_of(row: Sequence[Any]) -> Answer:
    """Return the answer in a row of `SELECT_ANSWER`."""
    event_id, item, kind, class_id, annotator, source, seconds, time, is_in_force = row
    return Answer(
        *(event_id, item, LabelKind(kind), class_id, annotator, source, seconds, time),
        is_in_force=bool(is_in_force),
    )


def check_is_open(connection: sqlite3.Connection, item: int) -> int:
    """Return the number of answers that an item requires.

    Raises:
        LabelConflict: There is no such item, or its batch is closed.
    """
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


def add_event(
    connection: sqlite3.Connection,
    events: LabelStore,
    values: LabelValueStore,
    new: NewAnswer,
    source: str,
) -> LabelEvent:
    """Append the label event of an answer; the event's round is the item's batch.

    Args:
        connection: In a transaction.
        events: The log.
        values: The labels that are more than one class.
        new: The answer.
        source: `page` or `review`.

    Raises:
        DataError: The kind does not match the class.
        LabelConflict: There is no such item or class, or the key belongs to another event.
    """
    row = connection.execute("SELECT id, batch FROM item WHERE item = ?", (new.item,)).fetchone()
    if row is None:
        raise LabelConflict(f"there is no item {new.item}")
    number = new.class_id
    if new.text is not None:
        number = values.number(connection, new.text)
    elif number is not None:
        found = connection.execute("SELECT name FROM class WHERE class_id = ?", (number,))
        values.check_is_label(found.fetchone(), number)
    label = None if number is None else str(number)
    event = NewLabel(
        *(row[0], label, new.annotator, row[1], source, new.kind, new.client_key, new.seconds)
    )
    return events.add([event])[0]


def _check_takes_answer(
    connection: sqlite3.Connection, new: NewAnswer, is_first: bool, labels_per_image: int
) -> None:
    mine = connection.execute(
        "SELECT s.kind, c.name FROM standing s LEFT JOIN class c ON c.class_id = s.class_id "
        "WHERE s.item = ? AND s.annotator = ?",
        (new.item, new.annotator),
    ).fetchone()
    # Two windows of one annotator show the same image: the second must not overwrite in silence
    if is_first and mine is not None and mine[0] != LabelKind.SKIP:
        is_class = mine[1] is not None and mine[1].isprintable()  # a whole label would be long
        said = mine[1] if is_class else mine[0]
        raise LabelConflict(
            f"you have answered this image in another window meanwhile ({said}), and "
            "that answer stands"
        )
    [(answers,)] = connection.execute("SELECT answers FROM item WHERE item = ?", (new.item,))
    # Who has answered already may change the answer: that adds none
    if mine is None and answers >= labels_per_image:
        raise LabelConflict("another annotator has labeled this image meanwhile")


def _set_standing(
    connection: sqlite3.Connection, item: int, annotator: str, event_id: int | None
) -> None:
    """Record the event in force of an annotator and an item; None if there is none any longer."""
    connection.execute("DELETE FROM standing WHERE item = ? AND annotator = ?", (item, annotator))
    # No event has the number None: then nothing is inserted
    connection.execute(
        "INSERT INTO standing SELECT ?, ?, event_id, kind, CAST(label AS INTEGER) "
        "FROM label_event WHERE event_id = ?",
        (item, annotator, event_id),
    )
