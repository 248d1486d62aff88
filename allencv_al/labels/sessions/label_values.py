"""Labels that are more than one class: boxes, or several classes of an image."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping

from allencv_al.common.errors import DataError
from allencv_al.labels.database import Database
from allencv_al.labels.label_store import LabelConflict
from allencv_al.tasks.base import LabelTask, label_task

SINGLE_LABEL = LabelTask.default_implementation
"""The kind of labels of a labeling for which none was set."""

# Other versions ignore the table, and read a labeling of one class per image as before
_CREATE = (
    "CREATE TABLE IF NOT EXISTS label_task "
    "(one INTEGER PRIMARY KEY CHECK (one = 1), name TEXT NOT NULL)"
)
WIDGETS = ("choices", "boxes", "tags", "mask")
"""The parts of the labeling page that edit labels."""

_MARK = "\n"  # no class name contains it
IS_CLASS = "substr(name, 1, 1) != char(10)"
"""SQL condition on rows of the table `class`: a class, and not a whole label."""


def check_editable(name: str) -> None:
    """Raise if the labeling page cannot edit labels of a kind.

    Args:
        name: The registered name of the task.

    Raises:
        ConfigurationError: No task has this name.
        DataError: The page has no part for such labels.
    """
    if label_task(name).widget not in WIDGETS:
        raise DataError(f"task: the labeling page cannot edit labels of the kind {name}")


class LabelValueStore:
    """The kind of labels of a labeling, and the labels given that are more than one class.

    Such a label is the text of its task with the numbers of classes (`c3`) in place of their names,
    so that a class can be renamed. Each distinct one is a row of the table `class`, with a line
    feed before the text: what counts, compares or undoes answers sees one number, whatever the kind
    of labels.

    Args:
        database: Of the labeling.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._tasks: dict[str, LabelTask] = {}

    @property
    def task_name(self) -> str:
        """The registered name of the kind of labels."""
        table = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'label_task'"
        if not self._database.rows(table):
            return SINGLE_LABEL
        rows = self._database.rows("SELECT name FROM label_task")
        return str(rows[0][0]) if rows else SINGLE_LABEL

    @property
    def task(self) -> LabelTask | None:
        """The kind of labels; None where a label is one class."""
        name = self.task_name
        if name == SINGLE_LABEL:  # tasks import torch, which a page of classes can do without
            return None
        if name not in self._tasks:
            self._tasks[name] = label_task(name)
        return self._tasks[name]

    @property
    def widget(self) -> str:
        """The part of the labeling page that edits such labels, of `WIDGETS`."""
        task = self.task
        return "choices" if task is None or task.widget is None else task.widget

    @property
    def names_by_place(self) -> bool:
        """Whether labels name classes by their place among all, from 1, as pixels of masks do."""
        return self.widget == "mask"

    def set_task(self, name: str) -> None:
        """Set the kind of labels of a labeling.

        Raises:
            ConfigurationError: No task has this name.
            DataError: The page cannot edit such labels.
            LabelConflict: The labeling has labels of another kind.
        """
        if name == self.task_name:
            return
        check_editable(name)
        with self._database.transaction() as connection:
            if connection.execute("SELECT 1 FROM label_event LIMIT 1").fetchone():
                raise LabelConflict(
                    f"this labeling has labels of the kind {self.task_name}, expected {name}; "
                    "label in another folder (-s)"
                )
            connection.execute(_CREATE)
            connection.execute("INSERT OR REPLACE INTO label_task VALUES (1, ?)", (name,))

    def number(self, connection: sqlite3.Connection, text: str) -> int:
        """Return the number of a label; it gets one when it is first given.

        Args:
            connection: In a transaction.
            text: The text of the label, with numbers of classes in place of names.

        Raises:
            DataError: It is no label of the task.
            LabelConflict: The labeling is one of single classes, or there is no such class.
        """
        task = self.task
        if task is None:
            raise LabelConflict("a label of this labeling is the number of a class")
        fault = task.problem(text)
        if fault is not None:
            raise DataError(f"label: {fault}")
        rows = connection.execute(f"SELECT class_id FROM class WHERE {IS_CLASS}")  # noqa: S608
        known = {f"c{number}" for (number,) in rows}
        for name in task.class_names(text):
            if name not in known:
                raise LabelConflict(f"there is no class {name[:40]!r}")
        stored = _MARK + task.renamed(text, str)
        found = connection.execute("SELECT class_id FROM class WHERE name = ?", (stored,))
        row = found.fetchone()
        if row is None:
            made = connection.execute("INSERT INTO class (name) VALUES (?)", (stored,))
            assert made.lastrowid is not None
            return made.lastrowid
        return int(row[0])

    def check_is_label(self, row: tuple[str] | None, number: int) -> None:
        """Raise if a number is not that of a label of the task.

        Args:
            row: The row of the table `class`, if there is one.
            number: The number.

        Raises:
            LabelConflict: There is none, or it is that of a class, which is a part of labels only.
        """
        if row is None:
            raise LabelConflict(f"there is no class {number}")
        if self.task is not None and not row[0].startswith(_MARK):
            raise LabelConflict(f"a label of this labeling is more than a class ({self.task_name})")

    def numbered_texts(self, numbers: Iterable[int | None]) -> dict[int, str]:
        """Return the text of each label with numbers of classes; of a class alone, its number."""
        return {
            number: name.removeprefix(_MARK) if name.startswith(_MARK) else f"c{number}"
            for number, name in self._rows(numbers).items()
        }

    def texts(self, numbers: Iterable[int | None]) -> dict[int, str]:
        """Return the text of each label, with the present names of its classes.

        Args:
            numbers: Numbers of labels; None is left out.
        """
        rows, task = self._rows(numbers), self.task
        if task is None:
            return rows
        names = {f"c{number}": name for number, name in self._names().items()}
        return {
            number: task.renamed(text.removeprefix(_MARK), names.__getitem__)
            if text[:1] == _MARK
            else text
            for number, text in rows.items()
        }

    def shown(self, texts: Mapping[int, str]) -> dict[int, str]:
        """Return labels as a person reads them.

        Args:
            texts: The result of `texts`.
        """
        task = self.task
        if task is None:
            return dict(texts)
        return {number: task.shown(text) for number, text in texts.items()}

    def class_counts(self) -> Counter[int]:
        """Return for each class the number of images whose agreed label has it."""
        found: Counter[int] = Counter()
        task = self.task
        if task is None or self.names_by_place:
            return found
        for text, count in self._database.rows(
            "SELECT c.name, count(i.item) FROM class c "  # noqa: S608  a constant
            f"JOIN item i ON i.class_id = c.class_id WHERE NOT {IS_CLASS} GROUP BY c.class_id"
        ):
            for name in set(task.class_names(text.removeprefix(_MARK))):
                found[int(name[1:])] += count
        return found

    def numbered(self, text: str) -> str:
        """Return a label, such as a prediction, with numbers of classes in place of names.

        Raises:
            LabelConflict: A class of it is none of the labeling.
        """
        task = self.task
        assert task is not None
        numbers = {name: f"c{number}" for number, name in self._names().items()}
        for name in task.class_names(text):
            if name not in numbers:
                raise LabelConflict(f"there is no class {name[:40]!r}")
        return task.renamed(text, numbers.__getitem__)

    def _rows(self, numbers: Iterable[int | None]) -> dict[int, str]:
        wanted = sorted({number for number in numbers if number is not None})
        rows = self._database.rows(
            "SELECT class_id, name FROM class WHERE class_id IN (SELECT value FROM json_each(?))",
            (json.dumps(wanted),),
        )
        return dict(rows)

    def _names(self) -> dict[int, str]:
        return dict(
            self._database.rows(f"SELECT class_id, name FROM class WHERE {IS_CLASS}")  # noqa: S608
        )


def within_labels(class_id: int) -> str:
    """Return the SQL pattern of rows of `class`: whole labels that have a class in them."""
    return f'{_MARK}%"c{class_id}"%'
