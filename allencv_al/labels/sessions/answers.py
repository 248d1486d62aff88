"""The answers of annotators: their decisions about images on the page."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from allencv_al.labels.sessions.agreement import NOT_UNDONE, update_agreed_label
from allencv_al.labels.sessions.label_values import LabelValueStore
from allencv_al.labels.sessions.schema import ANSWERS, PAGE, REVIEW

_COLUMNS = (
    "SELECT e.event_id, i.item, e.kind, CAST(e.label AS INTEGER), e.annotator, e.source, "
    "e.seconds, e.time, e.client_key, EXISTS (SELECT 1 FROM standing s WHERE s.item = i.item "
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
        source: `page`, `model` or `review`.
        seconds: Time spent on the decision.
        time: Time of storage, in seconds since 1970.
        group: The key that the answers of one page of images share, by which all are undone; None
            for an answer about one image.
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
    group: str | None
    is_in_force: bool


@dataclass(frozen=True, slots=True)
class GroupAnswers:
    """The answers of one page of images.

    Args:
        stored: Those that are stored.
        refused: The reason why an item has none, by its number.
    """

    stored: tuple[Answer, ...]
    refused: Mapping[int, str]


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

    def add(
        self,
        new: NewAnswer,
        is_first: bool = False,
        is_imported: bool = False,
        source: str = PAGE,
    ) -> Answer:
        """Store an answer; it is durable when this returns.

        A repeated call with the same key stores nothing and returns the stored answer.

        Args:
            new: The answer.
            is_first: Whether the annotator believes to answer this item for the first time: then
                an answer given elsewhere in the meantime is not superseded.
            is_imported: Whether the answer was given elsewhere: it is stored even if there are
                enough answers, and a disagreement goes to the review.
            source: `page`, `model` for a prediction that the annotator accepts unseen, or `handed
                over` for a skipped image that another program is to label: it is not asked again.

        Raises:
            DataError: The kind does not match the class.
            LabelConflict: There is no such item or class, the batch is closed, the item has enough
                answers of others, the key belongs to another answer, or it is not the first.
        """
        with self._database.transaction() as connection:
            is_known = "SELECT 1 FROM label_event WHERE client_key = ?"
            if connection.execute(is_known, (new.client_key,)).fetchone():
                # adds nothing, only checks
                event = add_event(connection, self._events, self._values, new, source)
                return self._answer(event.event_id)
            labels_per_image = check_is_open(connection, new.item)
            if not is_imported:
                _check_takes_answer(connection, new, is_first, labels_per_image)
            event = add_event(connection, self._events, self._values, new, source)
            _update_standing(connection, new.item, new.annotator)
            # The lease has served its purpose; kept, it would count as a second annotator
            connection.execute(
                "DELETE FROM lease WHERE item = ? AND annotator = ?", (new.item, new.annotator)
            )
            update_agreed_label(connection, new.item, labels_per_image)
        return self._answer(event.event_id)

    def add_group(
        self,
        annotator: str,
        group: str,
        labels: Mapping[int, tuple[LabelKind, int | None]],
        seconds: float | None = None,
        source: str = PAGE,
    ) -> GroupAnswers:
        """Store the answers of one page of images; they are durable when this returns.

        An image that the annotator has answered already, or others often enough, keeps its answers,
        and the rest is stored. A repeated call stores nothing more.

        Args:
            annotator: The author.
            group: A unique key chosen by the client, by which all are undone.
            labels: The kind and class of each item, by its number.
            seconds: Time spent on the page; each answer gets an equal part.
            source: As of `add`.

        Raises:
            DataError: A kind does not match its class.
            LabelConflict: No item takes an answer: the batch is closed, or there is no such class.
        """
        stored, refused = [], {}
        part = None if seconds is None else seconds / max(len(labels), 1)
        with self._database.transaction():
            for item, (kind, class_id) in labels.items():
                key = group_key(group, item)
                new = NewAnswer(annotator, key, item, kind, class_id, part)
                try:
                    stored.append(self.add(new, is_first=True, source=source))
                except LabelConflict as conflict:
                    refused[item] = str(conflict)
            if refused and not stored:
                raise LabelConflict(next(iter(refused.values())))
        return GroupAnswers(tuple(stored), refused)

    def undo_group(self, annotator: str, group: str) -> list[int]:
        """Undo the answers of one `add_group`; a repeated call stores nothing more.

        Returns:
            The items, in the order of their answers.

        Raises:
            LabelConflict: There is no such group of this annotator, a later answer has superseded
                one of its answers, or the batch is closed.
        """
        with self._database.transaction() as connection:
            events = [
                found
                for source in ANSWERS
                for found in events_of_group(connection, source, annotator, group)
            ]
            if not events:
                raise LabelConflict(f"there is no such page of {annotator}")
            for event_id, item in events:
                labels_per_image = check_is_open(connection, item, event_id)
                self._events.undo(event_id, annotator)
                _update_standing(connection, item, annotator)
                update_agreed_label(connection, item, labels_per_image)
        return [item for _, item in events]

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
            if found is None or found[4] != annotator or found[5] not in ANSWERS:
                raise LabelConflict(f"there is no answer {event_id} of {annotator}")
            item = found[1]
            labels_per_image = check_is_open(connection, item, event_id)
            is_known = connection.execute(
                "SELECT 1 FROM label_event WHERE kind = 'undo' AND supersedes = ?", (event_id,)
            ).fetchone()
            if not is_known:  # else there may be a newer answer, which is in force
                self._events.undo(event_id, annotator)
                _update_standing(connection, item, annotator)
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
            f"{SELECT_ANSWER} WHERE e.annotator = ? AND e.source != ? AND e.event_id < ? "
            f"AND {NOT_UNDONE} ORDER BY e.event_id DESC LIMIT ?",
            (annotator, REVIEW, 2**62 if before is None else before, limit),  # above all event ids
        )
        return [answer_of(row) for row in rows]

    def in_force(self, items: Sequence[int], batch: int | None = None) -> dict[int, list[Answer]]:
        """Return each annotator's answer in force, by item, oldest first.

        Args:
            items: The numbers of the items.
            batch: Return only answers that were given in this batch.
        """
        found: dict[int, list[Answer]] = {item: [] for item in items}
        for row in self._database.rows(
            f"{_COLUMNS} FROM standing i JOIN label_event e ON e.event_id = i.event_id "
            f"WHERE {IN_ITEMS} AND e.round = coalesce(?, e.round) ORDER BY e.event_id",
            (json.dumps(list(items)), batch),
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
    event_id, item, kind, class_id, annotator, source, seconds, time, key, is_in_force = row
    group, _, number = (key or "").rpartition(":")
    return Answer(
        *(event_id, item, LabelKind(kind), class_id, annotator, source, seconds, time),
        group=group if group and number == str(item) else None,
        is_in_force=bool(is_in_force),
    )


def group_key(group: str, item: int) -> str:
    """Return the key of one event of a group: keys are unique per event."""
    return f"{group}:{item}"


def events_of_group(
    connection: sqlite3.Connection, source: str, annotator: str, group: str
) -> list[tuple[int, int]]:
    """Return the number and the item of each event that was stored with a key of a group."""
    return connection.execute(
        "SELECT e.event_id, i.item FROM label_event e JOIN item i ON i.id = e.id "
        "WHERE e.source = ? AND e.annotator = ? AND e.client_key BETWEEN ? AND ? "
        "ORDER BY e.event_id",
        (source, annotator, f"{group}:", f"{group}:~"),  # "~" is after all digits
    ).fetchall()


def check_is_open(connection: sqlite3.Connection, item: int, event_id: int | None = None) -> int:
    """Return the number of answers that an item requires.

    Args:
        connection: In a transaction.
        item: The item's number.
        event_id: An event of the item that is to be undone.

    Raises:
        LabelConflict: There is no such item, its batch is closed, or the event is of one before.
    """
    row = connection.execute(
        "SELECT b.is_open, b.labels_per_image, i.batch != coalesce(e.round, i.batch) FROM item i "
        "JOIN batch b ON b.batch = i.batch LEFT JOIN label_event e ON e.event_id = ? "
        "WHERE i.item = ?",
        (event_id, item),
    ).fetchone()
    if row is None:
        raise LabelConflict(f"there is no item {item}")
    if not row[0] or row[2]:
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
        DataError: The kind does not match the class, or there are a class and a text.
        LabelConflict: There is no such item or class, or the key belongs to another event.
    """
    row = connection.execute("SELECT id, batch FROM item WHERE item = ?", (new.item,)).fetchone()
    if row is None:
        raise LabelConflict(f"there is no item {new.item}")
    number = new.class_id
    if new.text is not None:
        if number is not None:
            raise DataError("expected the number of a class or the text of a label, found both")
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
        "SELECT s.kind, c.name, e.round = i.batch FROM standing s "
        "JOIN item i ON i.item = s.item JOIN label_event e ON e.event_id = s.event_id "
        "LEFT JOIN class c ON c.class_id = s.class_id WHERE s.item = ? AND s.annotator = ?",
        (new.item, new.annotator),
    ).fetchone()
    if mine is not None and not mine[2]:
        raise LabelConflict(
            "you have labeled this image in an earlier round; now another annotator is asked"
        )
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


def _update_standing(connection: sqlite3.Connection, item: int, annotator: str) -> None:
    """Record the answer in force of an annotator and an item: the newest that is not undone."""
    connection.execute("DELETE FROM standing WHERE item = ? AND annotator = ?", (item, annotator))
    # Answers on the page and accepted predictions are two chains of `supersedes`: the newest counts
    connection.execute(
        "INSERT INTO standing SELECT ?, ?, e.event_id, e.kind, CAST(e.label AS INTEGER) "  # noqa: S608
        "FROM label_event e WHERE e.id = (SELECT id FROM item WHERE item = ?) "
        f"AND e.annotator = ? AND e.source != ? AND {NOT_UNDONE} ORDER BY e.event_id DESC LIMIT 1",
        (item, annotator, item, annotator, REVIEW),
    )
