"""Predictions that an annotator accepts unseen, after a random sample of them was labeled."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from allencv_al.labels.database import Database
from allencv_al.labels.label_store import LabelConflict, LabelKind
from allencv_al.labels.sessions.answers import AnswerStore
from allencv_al.labels.sessions.schema import MODEL
from allencv_al.metrics.accuracy_interval import wilson_interval

MOST_STORED = 1_000
"""Labels that one call stores: other annotators wait meanwhile."""

# Not part of the schema: files of older versions lack the tables, and older versions ignore them
_CREATE = (
    "CREATE TABLE IF NOT EXISTS acceptance (acceptance INTEGER PRIMARY KEY, "
    "annotator TEXT NOT NULL, threshold REAL NOT NULL, state TEXT NOT NULL "
    "CHECK (state IN ('open', 'stored', 'dropped')))",
    "CREATE TABLE IF NOT EXISTS accepted_item (acceptance INTEGER NOT NULL REFERENCES acceptance, "
    "item INTEGER NOT NULL REFERENCES item (item), class_id INTEGER NOT NULL, "
    "probability REAL NOT NULL, is_sample INTEGER NOT NULL, PRIMARY KEY (acceptance, item)) "
    "WITHOUT ROWID",
)
_EXISTS = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'acceptance'"
_LEFT = (
    "FROM accepted_item a JOIN item i ON i.item = a.item JOIN batch b ON b.batch = i.batch "
    "WHERE a.acceptance = ? AND NOT a.is_sample AND i.kind IS NULL AND NOT i.is_conflict "
    "AND i.answers < b.labels_per_image AND NOT EXISTS "
    "(SELECT 1 FROM standing s WHERE s.item = i.item AND s.annotator = ?)"
)


@dataclass(frozen=True)
class Acceptance:
    """Predictions above a threshold, and how many of a random sample of them are wrong.

    Args:
        number: Its number.
        annotator: The annotator who began it.
        threshold: The lowest probability.
        state: `open`, `stored` or `dropped`.
        total: Number of predictions, with the sample.
        sample: Number of images drawn from them.
        checked: Those of the sample that have a label, or are marked not sure or unreadable.
        wrong: Those of them whose label is not the prediction.
        left: Predictions that would be stored now.
    """

    number: int
    annotator: str
    threshold: float
    state: str
    total: int
    sample: int
    checked: int
    wrong: int
    left: int

    @property
    def group(self) -> str:
        """The key of its labels, by which all are undone."""
        return f"accept-{self.number}"

    @property
    def is_checked(self) -> bool:
        """Whether the whole sample has labels."""
        return self.checked == self.sample

    def error_interval(self, level: float = 0.95) -> tuple[float, float] | None:
        """Return Wilson's interval of the error rate; None before an image was checked."""
        if not self.checked:
            return None
        return wilson_interval(self.wrong / self.checked, self.checked, level)


class AcceptanceStore:
    """Keeps the predictions that are to be accepted, as they were when the sample was drawn.

    A model that learns meanwhile changes nothing: what was checked is what is stored.

    Args:
        database: Of the labeling.
        answers: The answers.
    """

    def __init__(self, database: Database, answers: AnswerStore) -> None:
        self._database = database
        self._answers = answers

    def start(
        self,
        annotator: str,
        threshold: float,
        predictions: Mapping[int, tuple[int, float]],
        sample: int,
    ) -> Acceptance:
        """Keep predictions, and draw a random sample of them; one that is open is dropped.

        Args:
            annotator: The author.
            threshold: The lowest probability.
            predictions: Class and probability by item.
            sample: Size of the sample; at most all of them.

        Raises:
            LabelConflict: There is no prediction.
        """
        if not predictions:
            raise LabelConflict(f"no image has a prediction of {threshold:g} or more")
        with self._database.transaction() as connection:
            for statement in _CREATE:
                connection.execute(statement)
            connection.execute("UPDATE acceptance SET state = 'dropped' WHERE state = 'open'")
            number = connection.execute(
                "INSERT INTO acceptance (annotator, threshold, state) VALUES (?, ?, 'open')",
                (annotator, threshold),
            ).lastrowid
            assert number is not None
            # Of the system's randomness: no order of the images foretells the sample
            drawn = set(
                random.SystemRandom().sample(sorted(predictions), min(sample, len(predictions)))
            )
            connection.executemany(
                "INSERT INTO accepted_item VALUES (?, ?, ?, ?, ?)",
                (
                    (number, item, class_id, probability, int(item in drawn))
                    for item, (class_id, probability) in predictions.items()
                ),
            )
            return _read(connection, number)

    def newest(self) -> Acceptance | None:
        """Return the newest acceptance that was not dropped, if any."""
        if not self._database.rows(_EXISTS):
            return None
        rows = self._database.rows(
            "SELECT max(acceptance) FROM acceptance WHERE state != 'dropped'"
        )
        number = rows[0][0]
        return None if number is None else _read(self._database.connection, number)

    def unchecked(self, number: int) -> list[int]:
        """Return the items of a sample that still need a label, in random order.

        Raises:
            LabelConflict: There is no such acceptance.
        """
        _read(self._database.connection, number)
        rows = self._database.rows(
            "SELECT a.item FROM accepted_item a JOIN item i ON i.item = a.item "
            "WHERE a.acceptance = ? AND a.is_sample AND i.kind IS NULL",
            (number,),
        )
        items = [item for (item,) in rows]
        random.Random(number).shuffle(items)
        return items

    def being_checked(self) -> set[int]:
        """Return the items of an open sample that have no label yet: these are labeled unseen."""
        if not self._database.rows(_EXISTS):
            return set()
        rows = self._database.rows(
            "SELECT a.item FROM acceptance c JOIN accepted_item a ON a.acceptance = c.acceptance "
            "JOIN item i ON i.item = a.item "
            "WHERE c.state = 'open' AND a.is_sample AND i.kind IS NULL"
        )
        return {item for (item,) in rows}

    def store(self, annotator: str, number: int) -> int:
        """Store up to `MOST_STORED` of the predictions as labels, with the source `model`.

        Images that have an answer meanwhile keep it. Repeated calls store the rest.

        Returns:
            The number of labels.

        Raises:
            LabelConflict: It is not open, or its sample is not labeled yet.
        """
        with self._database.transaction() as connection:
            found = self._open(connection, number)
            if not found.is_checked:
                raise LabelConflict(
                    f"{found.sample - found.checked} images of the sample have no label yet"
                )
            rows = connection.execute(
                f"SELECT a.item, a.class_id {_LEFT} ORDER BY a.item LIMIT ?",
                (number, annotator, MOST_STORED),
            ).fetchall()
            labels = {item: (LabelKind.LABEL, class_id) for item, class_id in rows}
            stored = 0
            if labels:
                given = self._answers.add_group(annotator, found.group, labels, source=MODEL)
                stored = len(given.stored)
            if len(rows) < MOST_STORED:
                self._set(connection, number, "stored")
        return stored

    def drop(self, number: int) -> None:
        """Give up; the labels of the sample stay.

        Raises:
            LabelConflict: It is not open.
        """
        with self._database.transaction() as connection:
            self._open(connection, number)
            self._set(connection, number, "dropped")

    def undo(self, annotator: str, number: int) -> int:
        """Undo all labels that were stored, and give up; the labels of the sample stay.

        Returns:
            The number of labels.

        Raises:
            LabelConflict: There is no such label of this annotator, or the batch is closed.
        """
        with self._database.transaction() as connection:
            items = self._answers.undo_group(annotator, _read(connection, number).group)
            self._set(connection, number, "dropped")
        return len(items)

    def _open(self, connection: sqlite3.Connection, number: int) -> Acceptance:
        found = _read(connection, number)
        if found.state != "open":
            raise LabelConflict(f"these predictions are {found.state} already")
        return found

    def _set(self, connection: sqlite3.Connection, number: int, state: str) -> None:
        connection.execute("UPDATE acceptance SET state = ? WHERE acceptance = ?", (state, number))


def _read(connection: sqlite3.Connection, number: int) -> Acceptance:
    has_table = connection.execute(_EXISTS).fetchone()
    row = (
        has_table
        and connection.execute(
            "SELECT acceptance, annotator, threshold, state FROM acceptance WHERE acceptance = ?",
            (number,),
        ).fetchone()
    )
    if not row:
        raise LabelConflict(f"there are no predictions {number} to accept")
    total, sample, checked, wrong = connection.execute(
        "SELECT count(*), sum(a.is_sample), "
        "sum(a.is_sample AND i.kind IS NOT NULL), sum(a.is_sample AND i.kind IS NOT NULL "
        "AND (i.kind != 'label' OR i.class_id IS NOT a.class_id)) "
        "FROM accepted_item a JOIN item i ON i.item = a.item WHERE a.acceptance = ?",
        (number,),
    ).fetchone()
    [left] = connection.execute(f"SELECT count(*) {_LEFT}", (number, row[1])).fetchone()
    number, annotator, threshold, state = row
    counts = (total, sample, checked, wrong, left)
    return Acceptance(number, annotator, threshold, state, *counts)
