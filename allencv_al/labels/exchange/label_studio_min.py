"""Label entries as the JSON_MIN of Label Studio: one flat object per annotation.

Format: https://labelstud.io/guide/export (JSON_MIN). In an object that its converter
(`convert_to_json_min` of label_studio_sdk) writes, the data of the task come before `id`, and the
choices between `id` and `annotator`, each under the name of its control.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from allencv_al.common.files.json_values import parse_json
from allencv_al.labels.exchange.label_entry import LabelEntry
from allencv_al.labels.exchange.label_studio import (
    CONTROL,
    ID,
    KEY,
    OURS,
    annotated,
    base_entry,
    changed,
    date_of,
    kept_fields,
    read_list,
)

_RAW = "label_studio_min"
_TASK_ID, _ANNOTATOR = "id", "annotator"


def to_label_studio_min(entries: Sequence[LabelEntry]) -> str:
    """Return a list with one object per entry."""
    rows = [_row(number, entry) for number, entry in enumerate(entries, start=1)]
    return json.dumps(rows, indent=2, ensure_ascii=False) + "\n"


def from_label_studio_min(text: str, where: str) -> list[LabelEntry]:
    """Return one entry per object.

    Raises:
        DataError: The file is not such JSON, or objects are invalid; the message lists them.
    """
    return read_list(text, where, "entry", _entries_of)


def is_min(value: Any) -> bool:
    """Return whether a value is a JSON_MIN list: its objects have no `data`."""
    return isinstance(value, list) and all(
        isinstance(one, dict) and "data" not in one for one in value
    )


def entries_of_table_row(row: Mapping[str, Any], place: str) -> Iterator[LabelEntry]:
    """Yield the entry of a row of Label Studio's CSV or TSV, whose cells are texts.

    Raises:
        ValueError: The row is not as Label Studio writes it.
    """
    values = {key: _value_of_cell(cell) for key, cell in row.items()}
    try:
        values["lead_time"] = float(values["lead_time"])
    except (KeyError, TypeError, ValueError):
        values["lead_time"] = None
    yield from _entries_of(values, place)


def _value_of_cell(cell: Any) -> Any:
    """Parse several choices, which Label Studio writes as JSON."""
    if isinstance(cell, str) and cell.startswith(('{"choices"', "[")):
        try:
            return parse_json(cell)
        except ValueError:
            return cell
    return cell


def _entries_of(row: Any, place: str) -> Iterator[LabelEntry]:
    entry = _entry_of(row, place)
    if OURS in row:
        number = row.get(_TASK_ID)
        # As we wrote it, so there is nothing that only the raw object holds
        if isinstance(number, int) and _new_row(number, entry) == row:
            yield entry
            return
    yield replace(entry, extra={**entry.extra, _RAW: row})


def _entry_of(row: Any, place: str) -> LabelEntry:
    if not isinstance(row, dict):
        raise ValueError("expected an object")
    base = base_entry(_data_of(row), row.get(_TASK_ID), place)
    control = _control_of(row)
    label = row.get(control)
    if OURS not in row:
        if isinstance(label, dict | list):  # several choices
            label = None
        if label is not None and not isinstance(label, str):
            raise ValueError(f"{control}: expected a text, found {label!r:.80}")
    return annotated(base, row, label, row.get(_ANNOTATOR))


def _data_of(row: Mapping[str, Any]) -> dict[str, Any]:
    keys = list(row)
    # The task's data stand before its id, and controls behind it: the one sign that tells them
    # apart
    before = keys[: keys.index(_TASK_ID)] if _TASK_ID in keys else keys
    return {key: row[key] for key in keys if key in before or key in (KEY, ID)}


def _control_of(row: Mapping[str, Any]) -> str:
    """Return the name of the only control with a choice, or else of ours."""
    keys = list(row)
    if CONTROL in keys or _TASK_ID not in keys or _ANNOTATOR not in keys:
        return CONTROL
    between = keys[keys.index(_TASK_ID) + 1 : keys.index(_ANNOTATOR)]
    chosen = [key for key in between if isinstance(row[key], str)]
    return chosen[0] if len(chosen) == 1 else CONTROL


def _row(number: int, entry: LabelEntry) -> dict[str, Any]:
    raw = entry.extra.get(_RAW)
    if not isinstance(raw, dict):
        return _new_row(number, entry)
    before = _entry_of(raw, "")
    if (before.label, before.kind) == (entry.label, entry.kind):
        return dict(raw)
    return changed(raw, entry, **{_control_of(raw): entry.label})


def _new_row(number: int, entry: LabelEntry) -> dict[str, Any]:
    row: dict[str, Any] = {KEY: entry.image or entry.id, ID: entry.id, _TASK_ID: number}
    if entry.label is not None:
        row[CONTROL] = entry.label
    if entry.annotator is not None:
        row[_ANNOTATOR] = entry.annotator
    row["lead_time"] = entry.seconds
    if entry.time is not None:
        row["created_at"] = date_of(entry.time)
    row[OURS] = kept_fields(entry)
    return row
