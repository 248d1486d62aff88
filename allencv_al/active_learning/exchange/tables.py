"""Label records as CSV and as JSON lines."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from allencv_al.active_learning.exchange.record import (
    FIELDS,
    LabelRecord,
    record_of,
    strict_json,
)
from allencv_al.data.dataset_readers.skipped import raise_problems

_EXTRA = "extra"
_MARK = "\ufeff"
_DELIMITERS = ",;\t"  # spreadsheets of some languages and .tsv files have other ones

csv.field_size_limit(2**24)


def to_csv(records: Sequence[LabelRecord]) -> str:
    """Return a table with one row a record; what else a file has said gets columns of its own."""
    rows = [_csv_row(record) for record in records]
    columns = [*FIELDS, *dict.fromkeys(name for row in rows for name in row if name not in FIELDS)]
    columns.sort(key=lambda name: name == _EXTRA)
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, columns, restval="", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def from_csv(text: str, where: str) -> list[LabelRecord]:
    """Return the records of a table; columns that are no field are kept.

    Cells are divided by what divides the header: commas, semicolons or tabs.

    Args:
        text: The table.
        where: What messages call it.

    Raises:
        DataError: Rows are wrong; they are named by their lines.
    """
    text = text.removeprefix(_MARK)
    delimiter = next((mark for mark in text.partition("\n")[0] if mark in _DELIMITERS), ",")
    stream = io.StringIO(text, newline="")
    rows = csv.DictReader(stream, strict=True, delimiter=delimiter)
    problems: list[str] = []
    found: list[LabelRecord] = []
    try:
        columns = rows.fieldnames or ()
        twice = sorted({name for name in columns if columns.count(name) > 1})
        if twice:
            problems.append(f"line 1: the columns {', '.join(map(ascii, twice))} are there twice")
        for row in rows:
            if None in row or None in row.values():
                problems.append(f"line {rows.line_num}: more or fewer cells than the header has")
                continue
            _take(found, problems, rows.line_num, row)
    except csv.Error as error:
        problems.append(f"line {rows.line_num}: {error}")
    raise_problems(where, problems)
    return found


def to_json_lines(records: Iterable[LabelRecord]) -> str:
    """Return one JSON object a line."""
    return "".join(f"{json.dumps(_json_row(record), ensure_ascii=False)}\n" for record in records)


def from_json_lines(text: str, where: str) -> list[LabelRecord]:
    """Return the records of JSON lines; keys that are no field are kept.

    Raises:
        DataError: Lines are wrong; they are named.
    """
    problems: list[str] = []
    found: list[LabelRecord] = []
    for number, line in enumerate(text.removeprefix(_MARK).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = strict_json(line)
        except ValueError as error:
            problems.append(f"line {number}: no JSON: {error}")
            continue
        if not isinstance(value, dict):
            problems.append(f"line {number}: expected an object")
            continue
        _take(found, problems, number, value)
    raise_problems(where, problems)
    return found


def _take(
    found: list[LabelRecord], problems: list[str], number: int, values: dict[str, Any]
) -> None:
    extra = dict(_extra(values))
    try:
        found.append(record_of(values, extra, f"line {number}"))
    except ValueError as error:
        problems.append(f"line {number}: {error}")


def _extra(values: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if name in FIELDS or value == "":
            continue
        if name != _EXTRA:
            yield name, value
            continue
        nested = _object(value)
        if nested is None:
            yield name, value
        else:
            yield from nested.items()


def _object(value: Any) -> dict[str, Any] | None:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, dict) else None


def _is_plain(name: str) -> bool:
    return bool(name) and name not in FIELDS and name != _EXTRA


def _csv_row(record: LabelRecord) -> dict[str, Any]:
    row = {name: _cell(getattr(record, name)) for name in FIELDS}
    nested = {}
    for name, value in record.extra.items():
        if _is_plain(name) and isinstance(value, str) and value:
            row[name] = value
        else:
            nested[name] = value
    if nested:
        row[_EXTRA] = json.dumps(nested, ensure_ascii=False)
    return row


def _cell(value: Any) -> str:
    return "" if value is None else repr(value) if isinstance(value, float) else str(value)


def _json_row(record: LabelRecord) -> dict[str, Any]:
    row = {name: value for name in FIELDS if (value := getattr(record, name)) is not None}
    nested = {}
    for name, value in record.extra.items():
        if _is_plain(name) and value != "":
            row[name] = value
        else:
            nested[name] = value
    return {**row, _EXTRA: nested} if nested else row
