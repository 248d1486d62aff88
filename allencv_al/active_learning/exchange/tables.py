"""Label records as CSV and as JSON lines."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from allencv_al.active_learning.exchange.record import (
    FIELDS,
    LabelRecord,
    record_of,
)
from allencv_al.common.tables import GUARDED, Table, csv_text, parse_table
from allencv_al.data.dataset_readers.skipped import raise_problems

_EXTRA = "extra"


def to_csv(records: Sequence[LabelRecord]) -> str:
    """Return a table with one row a record; what else a file has said gets columns of its own."""
    rows = [_csv_row(record) for record in records]
    columns = [*FIELDS, *dict.fromkeys(name for row in rows for name in row if name not in FIELDS)]
    columns.sort(key=lambda name: name == _EXTRA)
    return csv_text(columns, rows, line_end="\r\n")


def from_csv(text: str, where: str) -> list[LabelRecord]:
    """Return the records of a table; columns that are no field are kept.

    Args:
        text: The table, as `parse_table` takes it.
        where: What messages call it.

    Raises:
        DataError: Rows are wrong; they are named by their lines.
    """
    return _records_of(parse_table(text, where, FIELDS), where)


def to_json_lines(records: Iterable[LabelRecord]) -> str:
    """Return one JSON object a line."""
    return "".join(f"{json.dumps(_json_row(record), ensure_ascii=False)}\n" for record in records)


def from_json_lines(text: str, where: str) -> list[LabelRecord]:
    """Return the records of JSON lines; keys that are no field are kept.

    Raises:
        DataError: Lines are wrong; they are named.
    """
    return _records_of(parse_table(text, where, FIELDS, is_json=True), where)


def _records_of(table: Table, where: str) -> list[LabelRecord]:
    problems: list[str] = []
    found: list[LabelRecord] = []
    for row in table.rows:
        if row.problem is not None:
            problems.append(f"{row.place}: {row.problem}")
            continue
        try:
            extra = dict(_extra(row.values))
            json.dumps(extra, allow_nan=False)  # it could not be written again
            found.append(record_of(row.values, extra, row.place))
        except ValueError as error:
            problems.append(f"{row.place}: {error}")
    raise_problems(where, problems)
    return found


def _extra(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
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
    """Return whether a name can be that of a column, which is found in any case and stripped."""
    return (
        re.fullmatch(r"[^\W\d][\w .-]*", name) is not None
        and name.strip() == name
        and (name.casefold() not in (*FIELDS, _EXTRA, GUARDED))
    )


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
