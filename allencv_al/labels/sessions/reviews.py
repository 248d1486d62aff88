"""Reviews: all answers to an image, and decisions that override them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from allencv_al.common.errors import DataError
from allencv_al.labels.database import Database
from allencv_al.labels.label_store import PER_ANNOTATOR, LabelConflict, LabelKind, LabelStore
from allencv_al.labels.sessions.agreement import NOT_UNDONE, update_agreed_label
from allencv_al.labels.sessions.answers import (
    IN_ITEMS,
    SELECT_ANSWER,
    Answer,
    AnswerStore,
    NewAnswer,
    add_event,
    answer_of,
    check_is_open,
    events_of_group,
    group_key,
)
from allencv_al.labels.sessions.items import SELECT_ITEM, Item, item_of
from allencv_al.labels.sessions.label_values import LabelValueStore, within_labels
from allencv_al.labels.sessions.schema import MODEL, REVIEW


@dataclass(frozen=True, slots=True)
class ReviewFilter:
    """The items that a review shows.

    Args:
        batch: Items of this batch; None for all.
        class_id: Items with this agreed class, or with it in their agreed label.
        kind: Items with an agreed label of this kind.
        annotator: Items that this annotator has answered.
        conflicts: Only items in conflict.
        accepted: Only items with an answer that is a prediction, accepted unseen.
    """

    batch: int | None = None
    class_id: int | None = None
    kind: LabelKind | None = None
    annotator: str | None = None
    conflicts: bool = False
    accepted: bool = False


@dataclass(frozen=True, slots=True)
class Reviewed:
    """An item with all its answers.

    Args:
        item: The item.
        answers: Each annotator's answer in force.
        decision: The decision of a review, if any.
    """

    item: Item
    answers: tuple[Answer, ...]
    decision: Answer | None


class ReviewStore:
    """Shows answers and stores the decisions of reviews, as label events.

    Args:
        database: Of the labeling.
        answers: The answers.
        values: The labels that are more than one class.
    """

    def __init__(self, database: Database, answers: AnswerStore, values: LabelValueStore) -> None:
        self._database = database
        self._values = values
        self._answers = answers
        self._events = LabelStore(database, PER_ANNOTATOR)

    def items(self, of: ReviewFilter, after: int | None, limit: int) -> list[Reviewed]:
        """Return items that have answers, in the order of asking.

        Args:
            of: The filter.
            after: Return only items behind this one.
            limit: Maximal number of items.
        """
        # Pages continue behind an image, not at a number: answers that come in shift no page
        behind = "(i.batch, i.rank) > (SELECT batch, rank FROM item WHERE item = :after)"
        where = f"{_where(of)} AND {behind}" if after is not None else _where(of)
        rows = self._database.rows(
            f"{SELECT_ITEM} WHERE {where} ORDER BY i.batch, i.rank LIMIT :limit",
            {**_values(of), "after": after, "limit": limit},
        )
        return self._reviewed([item_of(row) for row in rows])

    def numbers(self, of: ReviewFilter) -> list[int]:
        """Return the numbers of all items that have answers, in the order of asking."""
        rows = self._database.rows(
            f"SELECT i.item FROM item i WHERE {_where(of)} ORDER BY i.batch, i.rank",  # noqa: S608
            _values(of),
        )
        return [item for (item,) in rows]

    def of_numbers(self, numbers: Sequence[int]) -> list[Reviewed]:
        """Return items with their answers, in the given order."""
        rows = self._database.rows(f"{SELECT_ITEM} WHERE {IN_ITEMS}", (json.dumps(list(numbers)),))
        items = {item.item: item for item in map(item_of, rows)}
        return self._reviewed([items[number] for number in numbers])

    def _reviewed(self, items: Sequence[Item]) -> list[Reviewed]:
        numbers = [item.item for item in items]
        answers, decisions = self._answers.in_force(numbers), self.decisions(numbers)
        return [
            Reviewed(item, tuple(answers[item.item]), decisions.get(item.item)) for item in items
        ]

    def decisions(self, items: Sequence[int]) -> dict[int, Answer]:
        """Return the decisions in force, by item."""
        rows = self._database.rows(
            f"{SELECT_ANSWER} WHERE {IN_ITEMS} AND e.source = ? AND e.round = i.batch "
            f"AND {NOT_UNDONE} ORDER BY e.event_id",
            (json.dumps(list(items)), REVIEW),
        )
        return {row[1]: answer_of((*row[:-1], True)) for row in rows}  # the newest one stays

    def decide(
        self,
        annotator: str,
        client_key: str,
        items: Sequence[int],
        kind: LabelKind,
        class_id: int | None = None,
    ) -> int:
        """Decide the labels of items, overriding their answers; all of them, or none.

        Returns:
            The number of items.

        Raises:
            DataError: The kind is a skip, or does not match the class.
            LabelConflict: There is no such item or class, or its batch is closed.
        """
        if kind in (LabelKind.SKIP, LabelKind.UNDO):
            raise DataError(f"a review decides for a class, unsure or unreadable, found {kind}")
        with self._database.transaction() as connection:
            # An image that was given twice is decided once
            numbers = dict.fromkeys(items)
            for item in numbers:
                labels_per_image = check_is_open(connection, item)
                key = group_key(client_key, item)
                new = NewAnswer(annotator, key, item, kind, class_id)
                add_event(connection, self._events, self._values, new, REVIEW)
                update_agreed_label(connection, item, labels_per_image)
        return len(numbers)

    def undo(self, annotator: str, client_key: str) -> int:
        """Undo the decisions of one call of `decide`; the labels before them count again.

        A repeated call stores nothing more.

        Returns:
            The number of items.

        Raises:
            LabelConflict: There is no such decision of this annotator, a later decision has
                superseded one of them, or the batch is closed.
        """
        with self._database.transaction() as connection:
            rows = events_of_group(connection, REVIEW, annotator, client_key)
            if not rows:
                raise LabelConflict(f"there is no such decision of {annotator}")
            for event_id, item in rows:
                labels_per_image = check_is_open(connection, item)
                self._events.undo(event_id, annotator)
                update_agreed_label(connection, item, labels_per_image)
        return len(rows)


def _values(of: ReviewFilter) -> dict[str, Any]:
    """Return the values that the condition of a filter names."""
    return {**asdict(of), "within": None if of.class_id is None else within_labels(of.class_id)}


def _where(of: ReviewFilter) -> str:
    """Return the condition of a filter on the table `item`, with the filter's names."""
    filters = (
        ("i.batch = :batch", of.batch),
        (
            "(i.class_id = :class_id OR i.class_id IN (SELECT class_id FROM class "
            "WHERE name LIKE :within))",
            of.class_id,
        ),
        ("i.kind = :kind", of.kind),
        ("i.item IN (SELECT item FROM standing WHERE annotator = :annotator)", of.annotator),
        ("i.is_conflict", of.conflicts or None),
        (
            "i.item IN (SELECT s.item FROM standing s JOIN label_event e "  # noqa: S608
            f"ON e.event_id = s.event_id WHERE e.source = '{MODEL}')",
            of.accepted or None,
        ),
    )
    conditions = [sql for sql, value in filters if value is not None]
    return " AND ".join(["(i.kind IS NOT NULL OR i.answers > 0)", *conditions])
