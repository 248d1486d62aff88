"""The classes of a labeling: they can be added and renamed, and every change is kept."""

from __future__ import annotations

import sqlite3
import time
import unicodedata
from collections.abc import Sequence

from allencv_al.common.class_names import class_name, warn_about_similar_names
from allencv_al.common.errors import DataError
from allencv_al.common.files.json_values import repr_json
from allencv_al.labels.database import Database, is_encodable
from allencv_al.labels.label_store import LabelConflict
from allencv_al.labels.sessions.session_records import ClassChange, LabelClass

MOST_CHARACTERS = 100

_USED = (
    "SELECT 1 FROM item i JOIN batch b ON b.batch = i.batch "
    "WHERE i.class_id = ? AND b.round IS NOT NULL AND NOT b.is_open LIMIT 1"
)


class ClassStore:
    """The classes, in the order in which they came.

    Args:
        database: Where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[LabelClass]:
        """Return the classes."""
        rows = self._database.rows(
            "SELECT c.class_id, c.name, count(i.item) FROM class c "
            "LEFT JOIN item i ON i.class_id = c.class_id GROUP BY c.class_id ORDER BY c.class_id"
        )
        return [LabelClass(*row) for row in rows]

    def names(self) -> dict[int, str]:
        """Return the name of each class by its number; nothing is counted."""
        return dict(self._database.rows("SELECT class_id, name FROM class"))

    def add(self, names: Sequence[str], annotator: str) -> None:
        """Add classes; those that are there already stay as they are.

        Raises:
            DataError: A name is no name.
        """
        checked = [check_class_name(name) for name in names]
        with self._database.transaction() as connection:
            known = {name for (name,) in connection.execute("SELECT name FROM class")}
            new = [name for name in dict.fromkeys(checked) if name not in known]
            for name in new:
                self._insert(connection, name, annotator)
        if new:
            counts = {one.name: one.count for one in self.all()}
            warn_about_similar_names("the classes to choose from", counts)

    def add_one(self, name: str, annotator: str) -> LabelClass:
        """Add a class.

        Raises:
            DataError: The name is no name.
            LabelConflict: There is such a class.
        """
        name = check_class_name(name)
        with self._database.transaction() as connection:
            self._check_is_new(connection, name, None)
            return LabelClass(self._insert(connection, name, annotator), name)

    def rename(self, class_id: int, name: str, annotator: str) -> None:
        """Give a class another name; the labels that were given stay with the class.

        Raises:
            DataError: The name is no name.
            LabelConflict: There is no such class, another one has the name, or a round that is over
                has used it.
        """
        name = check_class_name(name)
        with self._database.transaction() as connection:
            row = connection.execute(
                "SELECT name FROM class WHERE class_id = ?", (class_id,)
            ).fetchone()
            if row is None:
                raise LabelConflict(f"there is no class {class_id}")
            if row[0] == name:
                return
            if connection.execute(_USED, (class_id,)).fetchone():
                raise LabelConflict(
                    f"the class {repr_json(row[0])} has labels of rounds that are over, and keeps "
                    "its name"
                )
            self._check_is_new(connection, name, class_id)
            connection.execute("UPDATE class SET name = ? WHERE class_id = ?", (name, class_id))
            _record(connection, class_id, row[0], name, annotator)

    def remove(self, class_id: int, annotator: str) -> None:
        """Remove a class that nobody has chosen yet.

        Raises:
            LabelConflict: There is no such class, or it has been chosen.
        """
        with self._database.transaction() as connection:
            row = connection.execute(
                "SELECT name FROM class WHERE class_id = ?", (class_id,)
            ).fetchone()
            if row is None:
                raise LabelConflict(f"there is no class {class_id}")
            used = "SELECT 1 FROM label_event WHERE label = ? LIMIT 1"
            if connection.execute(used, (str(class_id),)).fetchone():
                raise LabelConflict(
                    f"the class {repr_json(row[0])} has been chosen, and stays; it can be renamed"
                )
            connection.execute("DELETE FROM class WHERE class_id = ?", (class_id,))
            _record(connection, class_id, row[0], "", annotator)

    def history(self) -> list[ClassChange]:
        """Return what was done to the classes, the oldest first."""
        return [
            ClassChange(*row)
            for row in self._database.rows(
                "SELECT class_id, old, new, annotator, time FROM class_change ORDER BY sequence"
            )
        ]

    def _check_is_new(self, connection: sqlite3.Connection, name: str, but: int | None) -> None:
        """Raise where a class has the name, or one that differs in upper and lower case only."""
        for class_id, other in connection.execute("SELECT class_id, name FROM class"):
            if class_id != but and other.casefold() == name.casefold():
                raise LabelConflict(f"there is a class {repr_json(other)} already")

    def _insert(self, connection: sqlite3.Connection, name: str, annotator: str) -> int:
        class_id = connection.execute("INSERT INTO class (name) VALUES (?)", (name,)).lastrowid
        assert class_id is not None
        _record(connection, class_id, None, name, annotator)
        return class_id


def check_class_name(name: str) -> str:
    """Return a name without space around it and in Unicode's composed form (NFC).

    Raises:
        DataError: It is empty, too long, or holds what cannot be seen.
    """
    text = class_name(name)
    if not is_encodable(text) or any(unicodedata.category(mark) in ("Cc", "Cs") for mark in text):
        raise DataError(f"the name of a class: expected printable text, found {ascii(name)[:80]}")
    if not 0 < len(text) <= MOST_CHARACTERS:
        raise DataError(
            f"the name of a class: expected 1 to {MOST_CHARACTERS} characters, found {len(text)}"
        )
    return text


def _record(
    connection: sqlite3.Connection, class_id: int, old: str | None, new: str, annotator: str
) -> None:
    connection.execute(
        "INSERT INTO class_change (class_id, old, new, annotator, time) VALUES (?, ?, ?, ?, ?)",
        (class_id, old, new, annotator, time.time()),
    )
