"""Label records as the JSON_MIN of Label Studio: one flat object per annotation.

Format: https://labelstud.io/guide/export (JSON_MIN). As its converter (`convert_to_json_min` of
label_studio_sdk) writes an object, the data of the task stand before `id`, what was chosen between
`id` and `annotator`, each under the name of its control.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from allencv_al.common.files.json_values import parse_json
from allencv_al.labels.exchange.label_studio_values import (
    CONTROL,
    ID,
    KEY,
    OURS,
    SOURCE,
    base_record,
    date_of,
    duration,
    kept_fields,
    person,
    read_list,
    record_of_kept,
)
from allencv_al.labels.exchange.record import LabelRecord, seconds_of

_RAW = "label_studio_min"
_TASK_ID, _ANNOTATOR = "id", "annotator"


def to_label_studio_min(records: Sequence[LabelRecord]) -> str:
    """Return a list with one object per answer."""
    rows = [_row(number, record) for number, record in enumerate(records, start=1)]
    return json.dumps(rows, indent=2, ensure_ascii=False) + "\n"


def from_label_studio_min(text: str, where: str) -> list[LabelRecord]:
    """Return one record per object.

    Raises:
        DataError: It is no such file, or objects are wrong; they are named.
    """
    return read_list(text, where, "entry", _records_of)


def is_min(value: Any) -> bool:
    """Return whether a list that a file holds is JSON_MIN: its objects have no `data`."""
    return isinstance(value, list) and all(
        isinstance(one, dict) and "data" not in one for one in value
    )


def records_of_table_row(row: Mapping[str, Any], place: str) -> Iterator[LabelRecord]:
    """Yield the record of a row of Label Studio's CSV or TSV, whose cells are texts.

    Raises:
        ValueError: The row is not as Label Studio writes it.
    """
    values = {key: _value_of_cell(cell) for key, cell in row.items()}
    try:
        values["lead_time"] = float(values["lead_time"])
    except (KeyError, TypeError, ValueError):
        values["lead_time"] = None
    yield from _records_of(values, place)


def _value_of_cell(cell: Any) -> Any:
    """Return several choices, which Label Studio writes as JSON, as what they are."""
    if isinstance(cell, str) and cell.startswith(('{"choices"', "[")):
        try:
            return parse_json(cell)
        except ValueError:
            return cell
    return cell


def _records_of(row: Any, place: str) -> Iterator[LabelRecord]:
    record = _record_of(row, place)
    if OURS in row:
        number = row.get(_TASK_ID)
        if isinstance(number, int) and _new_row(number, record) == row:
            yield record
            return
    yield replace(record, extra={**record.extra, _RAW: row})


def _record_of(row: Any, place: str) -> LabelRecord:
    if not isinstance(row, dict):
        raise ValueError("expected an object")
    base = base_record(_data_of(row), row.get(_TASK_ID), place)
    control = _control_of(row)
    label = row.get(control)
    if OURS in row:
        return record_of_kept(row[OURS], base.id, label, row.get("lead_time"), place)
    if isinstance(label, dict | list):  # several choices
        label = None
    if label is not None and not isinstance(label, str):
        raise ValueError(f"{control}: expected a text, found {label!r:.80}")
    return replace(
        base,
        label=label or None,
        kind="label" if label else None,
        annotator=person(row.get(_ANNOTATOR)),
        time=seconds_of(row.get("created_at")),
        seconds=duration(row.get("lead_time")),
        source=SOURCE,
    )


def _data_of(row: Mapping[str, Any]) -> dict[str, Any]:
    keys = list(row)
    before = keys[: keys.index(_TASK_ID)] if _TASK_ID in keys else keys
    return {key: row[key] for key in keys if key in before or key in (KEY, ID)}


def _control_of(row: Mapping[str, Any]) -> str:
    """Return the name of the one control with a choice; of several, that which we write."""
    keys = list(row)
    if CONTROL in keys or _TASK_ID not in keys or _ANNOTATOR not in keys:
        return CONTROL
    between = keys[keys.index(_TASK_ID) + 1 : keys.index(_ANNOTATOR)]
    chosen = [key for key in between if isinstance(row[key], str)]
    return chosen[0] if len(chosen) == 1 else CONTROL


def _row(number: int, record: LabelRecord) -> dict[str, Any]:
    raw = record.extra.get(_RAW)
    if not isinstance(raw, dict):
        return _new_row(number, record)
    before = _record_of(raw, "")
    if (before.label, before.kind) == (record.label, record.kind):
        return dict(raw)
    changed = {**raw, _control_of(raw): record.label}
    if OURS in raw:
        changed[OURS] = {**raw[OURS], "kind": record.kind}
    return changed


def _new_row(number: int, record: LabelRecord) -> dict[str, Any]:
    row: dict[str, Any] = {KEY: record.image or record.id, ID: record.id, _TASK_ID: number}
    if record.label is not None:
        row[CONTROL] = record.label
    if record.annotator is not None:
        row[_ANNOTATOR] = record.annotator
    row["lead_time"] = record.seconds
    if record.time is not None:
        row["created_at"] = date_of(record.time)
    row[OURS] = kept_fields(record)
    return row
