"""The classes of a labeling: they can be added, renamed and removed, with a history."""

from __future__ import annotations

import sqlite3
import time
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from allencv_al.common.errors import DataError
from allencv_al.common.files.json_values import repr_json
from allencv_al.common.names import class_name, warn_about_similar_names
from allencv_al.labels.database import Database, is_encodable
from allencv_al.labels.label_store import LabelConflict
from allencv_al.labels.sessions.label_values import IS_CLASS, LabelValueStore, within_labels

MOST_CHARACTERS = 100

# run.sqlite holds the names of finished rounds, which a renaming here could not follow
_USED = (
    "SELECT 1 FROM item i JOIN batch b ON b.batch = i.batch "
    "JOIN class c ON c.class_id = i.class_id WHERE (i.class_id = ? OR c.name LIKE ?) "
    "AND b.round IS NOT NULL AND NOT b.is_open LIMIT 1"
)


@dataclass(frozen=True, slots=True)
class LabelClass:
    """A class of a labeling.

    Args:
        class_id: Its number, which a renaming keeps.
        name: Its name.
        count: Number of items with this agreed label.
    """

    class_id: int
    name: str
    count: int = 0


@dataclass(frozen=True, slots=True)
class ClassChange:
    """A change of a class.

    Args:
        class_id: The class.
        old: Its name before; None if it was added.
        new: Its name afterwards; empty if it was removed.
        annotator: The author.
        time: Seconds since 1970.
    """

    class_id: int
    old: str | None
    new: str
    annotator: str
    time: float


class ClassStore:
    """The classes, in the order in which they were added.

    Args:
        database: Of the labeling.
        values: The labels that are more than one class.
    """

    def __init__(self, database: Database, values: LabelValueStore) -> None:
        self._database = database
        self._values = values

    def all(self) -> list[LabelClass]:
        """Return the classes with their counts."""
        rows = self._database.rows(  # a constant
            "SELECT c.class_id, c.name, count(i.item) FROM class c "  # noqa: S608
            f"LEFT JOIN item i ON i.class_id = c.class_id WHERE {IS_CLASS} "
            "GROUP BY c.class_id ORDER BY c.class_id"
        )
        inside = self._values.class_counts()
        return [LabelClass(number, name, count + inside[number]) for number, name, count in rows]

    def names(self) -> dict[int, str]:
        """Return the name of each class by its number."""
        return dict(self._database.rows(f"SELECT class_id, name FROM class WHERE {IS_CLASS}"))  # noqa: S608

    def add(self, names: Sequence[str], annotator: str) -> None:
        """Add classes; keep existing ones.

        Raises:
            DataError: A name is invalid.
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
            DataError: The name is invalid.
            LabelConflict: A class has this name, or one that differs in case only.
        """
        name = check_class_name(name)
        with self._database.transaction() as connection:
            self._check_is_new(connection, name, None)
            return LabelClass(self._insert(connection, name, annotator), name)

    def rename(self, class_id: int, name: str, annotator: str) -> None:
        """Rename a class; its labels stay with it.

        Raises:
            DataError: The name is invalid.
            LabelConflict: There is no such class, another one has the name, or a finished round has
                used it.
        """
        name = check_class_name(name)
        with self._database.transaction() as connection:
            old = _name_of(connection, class_id)
            if old == name:
                return
            if connection.execute(_USED, (class_id, within_labels(class_id))).fetchone():
                raise LabelConflict(
                    f"the class {repr_json(old)} has labels of rounds that are over, and keeps "
                    "its name"
                )
            self._check_is_new(connection, name, class_id)
            connection.execute("UPDATE class SET name = ? WHERE class_id = ?", (name, class_id))
            _record_change(connection, class_id, old, name, annotator)

    def remove(self, class_id: int, annotator: str) -> None:
        """Remove a class without labels.

        Raises:
            LabelConflict: There is no such class, or it has labels.
        """
        with self._database.transaction() as connection:
            old = _name_of(connection, class_id)
            if self._values.names_by_place:
                raise LabelConflict(
                    f"masks name their classes by place, so that {repr_json(old)} stays; it can "
                    "be renamed"
                )
            used = (
                "SELECT 1 FROM label_event WHERE label = ? "
                "UNION ALL SELECT 1 FROM class WHERE name LIKE ? LIMIT 1"
            )
            if connection.execute(used, (str(class_id), within_labels(class_id))).fetchone():
                raise LabelConflict(
                    f"the class {repr_json(old)} has been chosen, and stays; it can be renamed"
                )
            # Its number is never given again (AUTOINCREMENT): the history stays unambiguous
            connection.execute("DELETE FROM class WHERE class_id = ?", (class_id,))
            _record_change(connection, class_id, old, "", annotator)

    def history(self) -> list[ClassChange]:
        """Return the changes of the classes, oldest first."""
        return [
            ClassChange(*row)
            for row in self._database.rows(
                "SELECT class_id, old, new, annotator, time FROM class_change ORDER BY sequence"
            )
        ]

    def _check_is_new(self, connection: sqlite3.Connection, name: str, but: int | None) -> None:
        """Raise if another class has the name, or one that differs in case only."""
        # In Python: SQLite compares without case in ASCII only
        for class_id, other in connection.execute("SELECT class_id, name FROM class"):
            if class_id != but and other.casefold() == name.casefold():
                raise LabelConflict(f"there is a class {repr_json(other)} already")

    def _insert(self, connection: sqlite3.Connection, name: str, annotator: str) -> int:
        class_id = connection.execute("INSERT INTO class (name) VALUES (?)", (name,)).lastrowid
        assert class_id is not None
        _record_change(connection, class_id, None, name, annotator)
        return class_id


def check_class_name(name: str) -> str:
    """Return a class name in its normalized spelling.

    Raises:
        DataError: It is empty, too long, or has unprintable characters.
    """
    text = class_name(name)
    if not is_encodable(text) or any(unicodedata.category(mark) in ("Cc", "Cs") for mark in text):
        raise DataError(f"the name of a class: expected printable text, found {ascii(name)[:80]}")
    if not 0 < len(text) <= MOST_CHARACTERS:
        raise DataError(
            f"the name of a class: expected 1 to {MOST_CHARACTERS} characters, found {len(text)}"
        )
    return text


def _name_of(connection: sqlite3.Connection, class_id: int) -> str:
    row = connection.execute("SELECT name FROM class WHERE class_id = ?", (class_id,)).fetchone()
    if row is None:
        raise LabelConflict(f"there is no class {class_id}")
    return str(row[0])


def _record_change(
    connection: sqlite3.Connection, class_id: int, old: str | None, new: str, annotator: str
) -> None:
    connection.execute(
        "INSERT INTO class_change (class_id, old, new, annotator, time) VALUES (?, ?, ?, ?, ?)",
        (class_id, old, new, annotator, time.time()),
    )
