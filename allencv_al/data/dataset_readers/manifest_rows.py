"""The rows of a manifest, each with its line number and what is wrong with its form."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from allencv_al.common.errors import DataError

DELIMITERS = (",", ";", "\t")
JSON_LINES = (".jsonl", ".ndjson", ".json")


@dataclass(frozen=True, slots=True)
class Row:
    """One row.

    Args:
        line: Number of its first line in the file, from 1.
        values: Its values by column name.
        problem: What is wrong with its form; None if nothing.
    """

    line: int
    values: Mapping[str, Any] = field(default_factory=dict)
    problem: str | None = None


def read_rows(
    path: Path, column: str, hint: str = "; path_column of the dataset reader names it"
) -> Iterator[Row]:
    """Yield the rows of a CSV or JSON lines file; blank lines are passed over.

    Args:
        path: The file.
        column: The column that a CSV file must have.
        hint: What the error says of it where it is absent.

    Raises:
        DataError: It is not UTF-8, or the header has no such column.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: expected UTF-8, found byte {error.object[error.start]:#04x} at position "
            f"{error.start}; save it as CSV UTF-8"
        ) from error
    if path.suffix.lower() in JSON_LINES:
        return _json_rows(text)
    return _csv_rows(path, text, column, hint)


def _json_rows(text: str) -> Iterator[Row]:
    # Not splitlines: it also splits at characters that JSON allows inside a string.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            yield Row(number, problem=f"not JSON: {error.msg} at column {error.colno}")
            continue
        if isinstance(value, dict):
            yield Row(number, value)
        else:
            yield Row(number, problem=f"expected a JSON object, found {line.strip()[:40]}")


def _csv_rows(path: Path, text: str, column: str, hint: str) -> Iterator[Row]:
    delimiter = _delimiter(text, column)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    line = 1
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise DataError(f"{path} line {line}: {error}") from error
        if cells is None:
            break
        if any(cell.strip() for cell in cells):
            if header is None:
                header = _checked_header(path, cells, column, hint)
            else:
                yield _csv_row(line, header, cells)
        line = reader.line_num + 1
    if header is None:
        raise DataError(f"{path}: expected a header with the column {column}, found nothing")


def _csv_row(line: int, header: list[str], cells: list[str]) -> Row:
    if len(cells) != len(header):
        return Row(line, problem=f"expected {len(header)} columns, found {len(cells)}")
    return Row(line, {name: cell.strip() for name, cell in zip(header, cells, strict=True)})


def _checked_header(path: Path, cells: list[str], column: str, hint: str) -> list[str]:
    header = [cell.strip() for cell in cells]
    if column not in header:
        raise DataError(
            f'{path}: expected a column "{column}" in the header, found {", ".join(header)}{hint}'
        )
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise DataError(f"{path}: the header has a column twice: {', '.join(twice)}")
    return header


def _delimiter(text: str, column: str) -> str:
    """Return what sets the columns of the header apart: spreadsheets of many countries write ;"""
    first = next((line for line in io.StringIO(text) if line.strip()), "")
    for delimiter in DELIMITERS:
        if column in [cell.strip() for cell in next(csv.reader([first], delimiter=delimiter))]:
            return delimiter
    return ","
