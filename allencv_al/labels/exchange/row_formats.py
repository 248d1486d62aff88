"""Label entries as CSV and as JSON lines."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from allencv_al.common.errors import raise_problems
from allencv_al.common.files.tables import GUARDED, Table, csv_text, parse_table
from allencv_al.common.names import class_name
from allencv_al.labels.annotators.filled_table import WORDS
from allencv_al.labels.exchange.label_entry import FIELDS, NUMBERS, LabelEntry, entry_of
from allencv_al.labels.exchange.label_studio_min import entries_of_table_row

IMAGE_COLUMNS = ("image", "path", "image_path", "file", "file_name", "filename")
"""Columns with the image; the first is ours, the second that of the reader `manifest`."""

SAYING = ("label", "kind", "answer", "accept")
"""Columns and keys with a decision: two of ours, two of Prodigy."""

SEVERAL = "labels"
"""The column of several classes of an image, where there is none of one decision."""

_EXTRA = "extra"
_ANSWER = "answer"
_NAMES = (*FIELDS, *IMAGE_COLUMNS, SEVERAL)
_LABEL_STUDIO = {"annotation_id", "annotator", "lead_time"}


def to_csv(entries: Sequence[LabelEntry]) -> str:
    """Return a table with one row per entry; other values of a file get their own columns."""
    rows = [_csv_row(entry) for entry in entries]
    columns = [*FIELDS, *dict.fromkeys(name for row in rows for name in row if name not in FIELDS)]
    if not any(row.get("use") for row in rows):
        columns.remove("use")
    # Last, as its cells are long; sorting is stable, so the other columns stay in order
    columns.sort(key=lambda name: name == _EXTRA)
    return csv_text(columns, rows, line_end="\r\n")


def from_csv(text: str, where: str) -> list[LabelEntry]:
    """Return the entries of a table; other columns are kept.

    A table exported by Label Studio is read as its JSON_MIN: its `id` is that of a task, and the
    label is in the column of the control.

    Args:
        text: The table, in any form that `parse_table` reads.
        where: Name of the file in messages.

    Raises:
        DataError: There is no column with labels, or rows are invalid; the message lists them.
    """
    table = parse_table(text, where, _NAMES)
    if set(table.columns) >= _LABEL_STUDIO:
        return entries_of_rows(table, where, entries_of_table_row)
    table.require(where, ("id", *IMAGE_COLUMNS))

    def read(values: Mapping[str, Any], place: str) -> Iterator[LabelEntry]:
        numbers = {name: table.number(values[name]) for name in NUMBERS if name in values}
        return _entry_of_row({**values, **numbers}, place)

    found = entries_of_rows(table, where, read)
    # After the rows: their own faults say more than a missing column
    table.require(where, (*SAYING[:2], SEVERAL))
    return found


def to_json_lines(entries: Iterable[LabelEntry]) -> str:
    """Return one JSON object per line."""
    return "".join(f"{json.dumps(_json_row(entry), ensure_ascii=False)}\n" for entry in entries)


def from_json_lines(text: str, where: str) -> list[LabelEntry]:
    """Return the entries of JSON lines; other keys are kept.

    Raises:
        DataError: Lines are invalid; the message lists them.
    """
    return entries_of_rows(parse_table(text, where, _NAMES, is_json=True), where, _entry_of_row)


def entries_of_rows(
    table: Table, where: str, read: Callable[[Mapping[str, Any], str], Iterable[LabelEntry]]
) -> list[LabelEntry]:
    """Return the entries of the rows of a table.

    Args:
        table: The table.
        where: Name of its file in messages.
        read: Converts the values of a row, and its place, to entries.

    Raises:
        DataError: Rows are invalid; the message lists them.
    """
    problems: list[str] = []
    found: list[LabelEntry] = []
    for row in table.rows:
        if row.problem is not None:
            problems.append(f"{row.place}: {row.problem}")
            continue
        try:
            found += read(row.values, row.place)
        except ValueError as error:
            problems.append(f"{row.place}: {error}")
    raise_problems(where, problems)
    return found


def _entry_of_row(values: Mapping[str, Any], place: str) -> Iterator[LabelEntry]:
    values = _of_prodigy(values) if _ANSWER in values else dict(values)
    if SEVERAL in values and not {*SAYING[:2]} & values.keys():
        values["label"] = _text_of_several(values.pop(SEVERAL))
    if not values.get("image") and values.get("id") in (None, ""):
        named = next((name for name in IMAGE_COLUMNS[1:] if values.get(name)), None)
        if named is not None:
            values["image"] = values.pop(named)
    word = values.get("label")
    if isinstance(word, str) and word.strip() in WORDS and not values.get("kind"):
        values |= {"label": None, "kind": word.strip().removeprefix("?")}
    extra = dict(_extra(values))
    json.dumps(extra, allow_nan=False)  # raises for NaN, which could not be exported again
    yield entry_of(values, extra, place)


def _text_of_several(value: Any) -> str | None:
    """Return the text of the label in a column of several classes, as `manifest` reads it."""
    if isinstance(value, str):
        value = value.strip()
        if not value or value.startswith("["):
            return value or None
        value = [name for name in value.split(";") if name.strip()]
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValueError(f"{SEVERAL}: expected names, found {value!r:.80}")
    return json.dumps(sorted({class_name(name) for name in value}), ensure_ascii=False)


def _of_prodigy(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a Prodigy answer; a rejected or ignored label is dropped.

    Format: https://prodi.gy/docs/api-interfaces
    """
    found, answer = dict(values), values[_ANSWER]
    # A column of the user's own with that name
    if answer not in ("accept", "reject", "ignore"):
        return found
    chosen = found.get("accept")
    if not found.get("label") and isinstance(chosen, list) and len(chosen) == 1:
        found["label"] = chosen[0]
    if answer != "accept":
        found |= {"label": None, "kind": None}
    image, meta = found.get("image"), found.get("meta")
    # Prodigy inlines images; the file it read is in `meta`
    if isinstance(image, str) and image.startswith("data:"):
        found["image"] = meta.get("file") if isinstance(meta, dict) else None
    people = (found.get(name) for name in ("annotator", "_annotator_id", "_session_id"))
    found["annotator"] = next((one for one in people if one), None)
    found.setdefault("time", found.get("_timestamp"))
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
    """Return whether a key can name a column: names are stripped and compared without case."""
    return (
        re.fullmatch(r"[^\W\d][\w .-]*", name) is not None
        and name.strip() == name
        and (name.casefold() not in (*FIELDS, _EXTRA, GUARDED, SEVERAL))
    )


def _csv_row(entry: LabelEntry) -> dict[str, Any]:
    columns = {name: value for name, value in _plain_extra(entry) if isinstance(value, str)}
    nested = {name: value for name, value in entry.extra.items() if name not in columns}
    row = {name: _cell(getattr(entry, name)) for name in FIELDS} | columns
    return {**row, _EXTRA: json.dumps(nested, ensure_ascii=False)} if nested else row


def _cell(value: Any) -> str:
    # repr has all digits of a float, so that a time reads back as it was
    return "" if value is None else repr(value) if isinstance(value, float) else str(value)


def _json_row(entry: LabelEntry) -> dict[str, Any]:
    columns = dict(_plain_extra(entry))
    nested = {name: value for name, value in entry.extra.items() if name not in columns}
    row = {name: value for name in FIELDS if (value := getattr(entry, name)) is not None} | columns
    return {**row, _EXTRA: nested} if nested else row


def _plain_extra(entry: LabelEntry) -> Iterator[tuple[str, Any]]:
    """Yield the other values that can have columns of their own; an empty one would be lost."""
    for name, value in entry.extra.items():
        if _is_plain(name) and value != "":
            yield name, value
