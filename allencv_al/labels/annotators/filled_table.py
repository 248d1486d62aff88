"""The table that an annotator has filled in: its labels and its faults."""

from __future__ import annotations

import difflib
import logging
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from allencv_al.common.errors import DataError, raise_problems
from allencv_al.common.files.json_values import repr_json
from allencv_al.common.files.tables import Row, Table, listed_columns, parse_table
from allencv_al.common.files.text_files import decode_text
from allencv_al.common.names import class_name, did_you_mean
from allencv_al.labels.annotators.base import LabelRequest
from allencv_al.tasks.base import LabelTask

logger = logging.getLogger(__name__)

ID, LABEL, PATH = "id", "label", "path"
WORDS = ("?skip", "?unsure", "?unreadable")
"""Decisions in place of a class name; the question mark keeps them apart from classes."""

_LIKENESS = 0.8  # "catt" and "cat" have 0.86, "cat" and "bat" 0.67


@dataclass(frozen=True, slots=True)
class FilledTable:
    """The labels of a table.

    Args:
        labels: A class name or one of `WORDS` by id, in the order of the query.
        empty: Lines of the images without a label.
        lines: Line number by id, from 1.
        wrong: Faulty labels and missing rows; their images have no label.
    """

    labels: Mapping[str, str]
    empty: Sequence[int]
    lines: Mapping[str, int]
    wrong: Sequence[str] = ()


def read_filled_table(
    path: Path, content: bytes, request: LabelRequest, folder: Path
) -> FilledTable:
    """Read the labels that a table holds so far.

    Args:
        path: The file, for messages.
        content: Its bytes, as a spreadsheet or an editor has saved them.
        request: The images and classes that the table was written for.
        folder: The folder where it was written, which its paths are relative to.

    Raises:
        DataError: The table cannot be read, or has rows of other images; the message lists them.
    """
    rows = _table(path, content).rows
    reading = _Reading(request, folder)
    for row in rows:
        reading.take(row)
    if rows and not reading.lines:
        raise DataError(
            f"{path}: none of its rows is among the {len(request.items)} images that are asked "
            "for: it is of another round or run, and labels in it do not count; close it where it "
            "is open, move it away, and run the same command again to get the right one"
        )
    wrong = [*reading.wrong.values(), *reading.missing()]
    # Where an id is in doubt, no label of the table is safe, so that a partial round stops too
    if reading.problems:
        lines = sorted((reading.problems | reading.wrong).items())
        raise_problems(path, [*(problem for _, problem in lines), *reading.missing()])
    for written, name in reading.respelled.items():
        logger.warning('%s: "%s" is taken for the class "%s"', path, written, name)
    given = {id: reading.labels[id] for item in request.items if (id := item.id) in reading.labels}
    return FilledTable(
        labels={id: label for id, label in given.items() if label},
        empty=sorted(reading.lines[id] for id, label in given.items() if not label),
        lines=reading.lines,
        wrong=wrong,
    )


class _Reading:
    """Matches rows with images and collects faults."""

    def __init__(self, request: LabelRequest, folder: Path) -> None:
        self.labels: dict[str, str] = {}
        self.lines: dict[str, int] = {}
        self.problems: dict[int, str] = {}  # by line
        self.wrong: dict[int, str] = {}
        self.respelled: dict[str, str] = {}
        self._dropped = _by_stripped(list(request.dropped))
        self._folder = folder
        self._task = request.task
        self._asked = [item.id for item in request.items]
        self._ids = _by_stripped(self._asked)
        self._files = {
            os.path.realpath(item.image): item.id
            for item in request.items
            if isinstance(item.image, str | Path)
        }
        self._classes = None if request.classes is None else _by_stripped(request.classes)
        self._known = _by_stripped(request.classes or request.seen)

    def take(self, row: Row) -> None:
        if row.problem is not None:
            self.problems[row.line] = f"line {row.line}: {row.problem}"
            return
        id = self._id(row)
        # Its image was dropped after the table was written: its label is not needed
        if id is None and class_name(row.values[ID]) in self._dropped:
            return
        if id is None:
            written = repr_json(row.values[ID])
            self.problems[row.line] = f"line {row.line}: the id {written} was not asked for"
        elif id in self.lines:
            first = self.lines[id]
            self.problems[row.line] = (
                f"line {row.line}: the id {repr_json(id)} is already in line {first}"
            )
        else:
            self.lines[id] = row.line
            written = class_name(row.values[LABEL])
            label = self._text(written)
            problem = self._problem_with(label)
            if problem is not None:
                self.wrong[row.line] = f"line {row.line}: {problem}"
                return
            self.labels[id] = label

    def missing(self) -> Iterator[str]:
        for id in self._asked:
            if id not in self.lines:
                yield f"the row of the id {repr_json(id)} is missing"

    def _id(self, row: Row) -> str | None:
        written = row.values[ID]
        id = self._ids.get(written, self._ids.get(class_name(written)))
        path = row.values.get(PATH, "").strip()
        if id is None and path and "\0" not in path:
            # A spreadsheet changes the id 007 to 7 and =.jpg to a formula, but no path
            id = self._files.get(os.path.realpath(self._folder / path))
        return id

    def _text(self, written: str) -> str:
        """Return the text of the label in a cell, with classes in their own spelling."""
        if not written or written.startswith("?"):
            return written
        text = self._task.read(written)
        return text if self._task.problem(text) else self._task.renamed(text, self._respelled)

    def _respelled(self, name: str) -> str:
        """Return the class whose name differs in case and blanks only, if unique."""
        if name in self._known:
            return self._known[name]
        near = {known for known in self._known if _folded(known) == _folded(name)}
        if len(near) != 1:
            return name
        self.respelled[name] = near.pop()
        return self._known[self.respelled[name]]

    def _problem_with(self, label: str) -> str | None:
        if not label or label in WORDS:
            return None
        if self._classes is None and label.startswith("?"):
            hint = did_you_mean(label, WORDS) or f"; known: {', '.join(WORDS)}"
            return f"{repr_json(label)} is none of the words with a question mark{hint}"
        problem = self._task.problem(label, self._classes)
        if problem is None or "did you mean" in problem:
            return problem
        return f"{problem}{did_you_mean(label, WORDS)}"


def _folded(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


def _by_stripped(names: Sequence[str]) -> dict[str, str]:
    """Return each name by itself and by its normalized spelling."""
    # Names themselves last: one that is spelled exactly goes before one that is spelled alike
    return {class_name(name): name for name in names} | {name: name for name in names}


def _table(path: Path, content: bytes) -> Table:
    text = decode_text(content, str(path), 'save it as "CSV UTF-8"')
    if not text.strip():
        raise DataError(
            f"{path}: it is empty; remove it, and run the same command again for a new one"
        )
    table = parse_table(text, str(path), (ID, LABEL, PATH))
    missing = [
        f'the column "{name}" is missing' for name in (ID, LABEL) if name not in table.columns
    ]
    if missing:
        found = listed_columns(table.columns)
        raise DataError(f"{path}: {'; '.join(missing)}; found the columns {found}")
    return table


def without_typos(table: FilledTable, seen: Sequence[str], task: LabelTask) -> FilledTable:
    """Return the table with new class names that resemble a more frequent one as wrong labels.

    They are rejected because a class that was added once cannot be removed.

    Args:
        table: The table, in which any class name is allowed.
        seen: Class names of earlier rounds, which count as correct.
        task: The kind of labels.
    """
    problems = {}
    classes = {
        id: () if text in WORDS else task.class_names(text) for id, text in table.labels.items()
    }
    counts = Counter(name for names in classes.values() for name in names)
    known = [*dict.fromkeys(seen)]
    for name, _ in counts.most_common():  # the more frequent one counts as correct
        if name in known:
            continue
        near = next((other for other in known if _look_alike(name, other)), None)
        if near is not None:
            lines = [table.lines[id] for id, names in classes.items() if name in names]
            problems[name] = f'line {min(lines)}: "{name}" looks like "{near}" misspelt'
        known.append(name)
    return replace(
        table,
        labels={
            id: text for id, text in table.labels.items() if problems.keys().isdisjoint(classes[id])
        },
        wrong=[*table.wrong, *problems.values()],
    )


def _look_alike(name: str, other: str) -> bool:
    first, second = (" ".join(re.split(r"[\s_-]+", text.casefold())) for text in (name, other))
    if first == second:
        return True
    if re.sub(r"\d+", "", first) == re.sub(r"\d+", "", second):
        return False  # type 1, type 2
    return difflib.SequenceMatcher(None, first, second).ratio() >= _LIKENESS
