"""Tables and lists of images: which column has the paths, which rows a split has."""

from __future__ import annotations

import csv
import logging
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from allencv_al.common.errors import DataError
from allencv_al.common.files.json_values import repr_json
from allencv_al.common.files.paths import path_problem, written_path
from allencv_al.common.files.tables import (
    CSV_SUFFIXES,
    DELIMITERS,
    SEPARATOR_LINE,
    Row,
    Table,
    cell_text,
    listed_columns,
    raw_cell_text,
)
from allencv_al.common.names import class_name, did_you_mean

logger = logging.getLogger(__name__)

PATH_COLUMNS = ("path", "image_path")
"""The columns with a path: relative to the table, and relative to the current folder."""

_LINE_END = re.compile(rb"\r\n|\r|\n")


def is_path_table(name: str, head: str) -> bool:
    """Return whether a text is a CSV table with a column of paths, and no list of files.

    Args:
        name: The name of the file.
        head: The beginning of the text.
    """
    if Path(name).suffix.lower() in CSV_SUFFIXES or SEPARATOR_LINE.match(head):
        return True
    line, cells = _header(head)
    return bool(cells) and (len(cells) > 1 or not Path(line.strip()).exists())


def path_columns(head: str) -> set[str]:
    """Return which of `PATH_COLUMNS` the header of a CSV table has.

    Args:
        head: The beginning of its text.
    """
    return set(_header(head)[1]) & set(PATH_COLUMNS)


def _header(head: str) -> tuple[str, list[str]]:
    """Return the first line that is not blank, and its cells if there is a column of paths."""
    text = head.removeprefix("\ufeff")
    separator = SEPARATOR_LINE.match(text)
    delimiters: tuple[str, ...] = DELIMITERS
    if separator is not None:
        text, delimiters = text[separator.end() :], (separator.group(1),)
    line = next((line for line in re.split(r"\r\n|\r|\n", text) if line.strip()), "")
    # A file name may hold commas: only a delimiter that gives a known column counts
    for delimiter in delimiters:
        cells = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
        names = [cell.strip().casefold() for cell in cells]
        if set(names) & set(PATH_COLUMNS):
            return line, names
    return line, []


def file_of_row(row: Row, folder: Path) -> tuple[str, Path]:
    """Return the path in a row as it is written, and the file that it means.

    Args:
        row: A row of a table, or a JSON object.
        folder: Base of the paths in the column `path`.

    Raises:
        ValueError: The row has none, or it can be none here.
    """
    if row.problem is not None:
        raise ValueError(row.problem)
    # `image_path` first, where a table has both, as `predict` writes it
    for name in reversed(PATH_COLUMNS):
        if not isinstance(row.values.get(name), str | None):
            raise ValueError(f"{name}: expected a text, found {repr_json(row.values[name])}")
        found = file_of_cell(row.values, name, folder if name == "path" else None)
        if found is not None:
            return found
    raise ValueError("path: expected the path of an image, found nothing")


def file_of_cell(
    values: Mapping[str, Any], name: str, folder: Path | None
) -> tuple[str, Path] | None:
    """Return the path in a cell without blanks around it, and its file; None for an empty cell.

    Args:
        values: The row by column.
        name: The column.
        folder: Base of relative paths; the current folder by default.

    Raises:
        ValueError: The cell holds no path that there can be here.
    """
    text = cell_text(values, name)
    if not text:
        return None
    if (problem := path_problem(text)) is not None:
        raise ValueError(f"{name}: {problem}")
    # As it stands, with blanks around it, if that is a file: names may have them
    raw = raw_cell_text(values, name)
    exact = (folder or Path()) / raw
    if raw != text and exact.is_file():
        return text, exact
    return text, written_path(text, folder)


def path_lines(content: bytes) -> Iterator[tuple[int, str]]:
    """Yield the lines of a list with their numbers; names of files need not be UTF-8."""
    for number, line in enumerate(_LINE_END.split(content), start=1):
        if stripped := line.removeprefix(b"\xef\xbb\xbf").strip():
            yield number, os.fsdecode(stripped)


def rows_of_split(table: Table, column: str, split: str | None, where: Path) -> list[Row]:
    """Return the rows of a split, in upper or lower case; rows that are left out are counted.

    Args:
        table: The table.
        column: The column that names the split of a row.
        split: The one that is wanted; None for all rows.
        where: The table's file, for messages.

    Raises:
        DataError: No row is of this split.
    """
    names = [_name(row, column) for row in table.rows]
    sound = [name for name, row in zip(names, table.rows, strict=True) if row.problem is None]
    counts = Counter(sound)
    if split is None:
        if len(counts) > 1:
            logger.warning("%s: reading the rows of all splits: %s", where, _shown(counts))
        return list(table.rows)
    wanted = class_name(split).casefold()
    left_out = {name: count for name, count in counts.items() if name.casefold() != wanted}
    if sum(left_out.values()) == len(sound) and sound:
        raise DataError(
            f"{where}: no rows of split {repr_json(split)}; {_found(table, column, counts)}"
        )
    if left_out:
        # Rows of no split at all were hardly left out on purpose
        level = logging.WARNING if "" in left_out else logging.INFO
        logger.log(
            level,
            "%s: left out, because not of split %s: %d of %d rows: %s",
            *(where, repr_json(split), sum(left_out.values()), len(sound), _shown(left_out)),
        )
    return [
        row
        for row, name in zip(table.rows, names, strict=True)
        if row.problem is not None or name.casefold() == wanted
    ]


def _name(row: Row, column: str) -> str:
    value = row.values.get(column)
    return "" if value is None else class_name(str(value))


def _found(table: Table, column: str, counts: Mapping[str, int]) -> str:
    if column not in table.columns:  # as where all cells are empty
        hint = did_you_mean(column, table.columns)
        return f'its column "{column}" has no value: it has {listed_columns(table.columns)}{hint}'
    named = {name: count for name, count in counts.items() if name}
    return f'its column "{column}" has {_shown(named) if named else "no value"}'


def _shown(counts: Mapping[str, int]) -> str:
    return ", ".join(
        f'"{name}" ({count})' if name else f"no split ({count})"
        for name, count in sorted(counts.items())
    )
