"""Label records as the JSON and JSON_MIN of Label Studio.

Formats: https://labelstud.io/guide/task_format and https://labelstud.io/guide/export (JSON_MIN).
What a file says besides labels is kept in `extra` and written back as it was.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from allencv_al.active_learning.exchange.record import LabelRecord
from allencv_al.common.errors import DataError
from allencv_al.data.dataset_readers.skipped import raise_problems

CONTROL, OBJECT, KEY = "choice", "image", "image"
"""Names of the control and the object tag, and the key of the task's data, in what is written."""

CONFIG = """\
<View>
  <Image name="image" value="$image"/>
  <Choices name="choice" toName="image" choice="single" showInLine="true">
{choices}
  </Choices>
</View>
"""

_OURS = "allencv_al"  # what Label Studio has no place for
_RAW, _RAW_MIN = "label_studio", "label_studio_min"
_ID = "allencv_al_id"
_KEPT = ("kind", "annotator", "time", "round", "source", "prediction", "score", "image", "extra")


def to_label_studio(records: Sequence[LabelRecord]) -> str:
    """Return tasks with annotations, in the order of their first records."""
    tasks: dict[str, dict[str, Any]] = {}
    for record in records:
        raw = record.extra.get(_RAW)
        key = json.dumps([record.id, None if raw is None else raw["task"].get("id")])
        if key not in tasks:
            tasks[key] = _new_task(record) if raw is None else dict(raw["task"])
        if raw is not None and raw["annotation"] is None and record.kind is None:
            if raw["has_annotations"]:
                tasks[key].setdefault("annotations", [])
            continue
        annotations = tasks[key].setdefault("annotations", [])
        if record.kind is not None or raw is not None:
            annotations.append(_annotation(record, None if raw is None else raw["annotation"]))
    ordered = [_in_order(task) for task in tasks.values()]
    return json.dumps(ordered, indent=2, ensure_ascii=False) + "\n"


def from_label_studio(text: str, where: str) -> list[LabelRecord]:
    """Return one record per annotation, and one per task without any.

    Raises:
        DataError: It is no such file, or tasks are wrong; they are named.
    """
    problems: list[str] = []
    found: list[LabelRecord] = []
    for number, task in enumerate(_list(text, where), start=1):
        try:
            found += _records_of_task(task)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            problems.append(f"task {number}: {error}")
    raise_problems(where, problems)
    return found


def to_label_studio_min(records: Sequence[LabelRecord]) -> str:
    """Return a list with one object per answer."""
    rows = [_min_row(number, record) for number, record in enumerate(records, start=1)]
    return json.dumps(rows, indent=2, ensure_ascii=False) + "\n"


def from_label_studio_min(text: str, where: str) -> list[LabelRecord]:
    """Return one record per object.

    Raises:
        DataError: It is no such file, or objects are wrong; they are named.
    """
    problems: list[str] = []
    found: list[LabelRecord] = []
    for number, row in enumerate(_list(text, where), start=1):
        try:
            found.append(_record_of_row(row))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            problems.append(f"entry {number}: {error}")
    raise_problems(where, problems)
    return found


def is_min(value: Any) -> bool:
    """Say whether a list that a file holds is JSON_MIN: its objects have no `data`."""
    return isinstance(value, list) and all(
        isinstance(one, dict) and "data" not in one for one in value
    )


def labeling_config(classes: Sequence[str]) -> str:
    """Return a labeling config of Label Studio for these classes."""
    from xml.sax.saxutils import quoteattr

    lines = [f"    <Choice value={quoteattr(name)}/>" for name in classes]
    return CONFIG.format(choices="\n".join(lines))


# -- Tasks with annotations ------------------------------------------------------------------------


def _records_of_task(task: Any) -> Iterator[LabelRecord]:
    if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
        raise ValueError('expected an object with "data"')
    raw = {key: value for key, value in task.items() if key != "annotations"}
    base = _base(task["data"], task.get("id"))
    annotations = task.get("annotations")
    if annotations is not None and not isinstance(annotations, list):
        raise ValueError("annotations: expected a list")
    if not annotations:
        kept = {"task": raw, "annotation": None, "has_annotations": annotations is not None}
        yield replace(base, extra={_RAW: kept})
    for annotation in annotations or ():
        record = _of_annotation(base, annotation)
        if _OURS in annotation:
            yield record  # we wrote it: nothing else has to be kept
        else:
            kept = {"task": raw, "annotation": annotation, "has_annotations": True}
            yield replace(record, extra={_RAW: kept})


def _base(data: Mapping[str, Any], task_id: Any) -> LabelRecord:
    image = next(
        (data[key] for key in (KEY, "img", "url") if isinstance(data.get(key), str)),
        next((value for value in data.values() if isinstance(value, str)), None),
    )
    id = data.get(_ID, image)
    if not isinstance(id, str) or not id:
        id = "" if task_id is None else str(task_id)
    if not id:
        raise ValueError("expected an image or an id, found neither")
    return LabelRecord(id, image)


def _of_annotation(base: LabelRecord, annotation: Any) -> LabelRecord:
    if not isinstance(annotation, dict):
        raise ValueError("annotations: expected objects")
    if _OURS in annotation:
        kept = annotation[_OURS]
        ours = {name: kept.get(name) for name in _KEPT}
        ours["extra"] = ours["extra"] or {}
        return LabelRecord(
            id=base.id, label=_choice(annotation), seconds=annotation.get("lead_time"), **ours
        )
    label = _choice(annotation)
    kind = "skip" if annotation.get("was_cancelled") else "label" if label is not None else None
    return replace(
        base,
        label=label if kind == "label" else None,
        kind=kind,
        annotator=_person(annotation.get("completed_by")),
        time=_seconds_of(annotation.get("created_at")),
        seconds=_number(annotation.get("lead_time")),
        source="label_studio",
    )


def _choice(annotation: Mapping[str, Any]) -> str | None:
    """Return the one class that was chosen; None where none was, or several."""
    chosen = [
        choice
        for result in annotation.get("result") or ()
        if result.get("type") == "choices"
        for choice in result.get("value", {}).get("choices", ())
    ]
    return chosen[0] if len(chosen) == 1 and isinstance(chosen[0], str) else None


def _new_task(record: LabelRecord) -> dict[str, Any]:
    task: dict[str, Any] = {"data": {KEY: record.image or record.id, _ID: record.id}}
    if record.prediction is not None:
        result = [_result(record.prediction)]
        task["predictions"] = [{"model_version": _OURS, "result": result}]
    return task


def _annotation(record: LabelRecord, raw: Mapping[str, Any] | None) -> dict[str, Any]:
    if raw is not None:
        before = _of_annotation(replace(record, label=None, kind=None), raw)
        if (before.label, before.kind) == (record.label, record.kind):
            return dict(raw)
        result = [] if record.label is None else [_result(record.label)]
        return {**raw, "result": result, "was_cancelled": record.kind == "skip"}
    kept = {name: getattr(record, name) for name in _KEPT}
    found: dict[str, Any] = {
        "result": [] if record.label is None else [_result(record.label)],
        "was_cancelled": record.kind == "skip",
        "ground_truth": False,
        "lead_time": record.seconds,
        _OURS: {name: value for name, value in kept.items() if value not in (None, {})},
    }
    if record.time is not None:
        found["created_at"] = _date(record.time)
    return found


def _result(label: str) -> dict[str, Any]:
    return {
        "from_name": CONTROL,
        "to_name": OBJECT,
        "type": "choices",
        "value": {"choices": [label]},
    }


def _in_order(task: dict[str, Any]) -> dict[str, Any]:
    """Return a task with its keys where Label Studio puts them."""
    first = [key for key in ("id", "annotations") if key in task]
    return {key: task[key] for key in [*first, *(key for key in task if key not in first)]}


# -- JSON_MIN --------------------------------------------------------------------------------------


def _min_row(number: int, record: LabelRecord) -> dict[str, Any]:
    raw = record.extra.get(_RAW_MIN)
    if raw is not None:
        before = _record_of_row(raw)
        if (before.label, before.kind) == (record.label, record.kind):
            return dict(raw)
        return {**raw, CONTROL: record.label}
    kept = {name: getattr(record, name) for name in _KEPT}
    row: dict[str, Any] = {KEY: record.image or record.id, "id": number, _ID: record.id}
    if record.label is not None:
        row[CONTROL] = record.label
    if record.annotator is not None:
        row["annotator"] = record.annotator
    row["lead_time"] = record.seconds
    if record.time is not None:
        row["created_at"] = _date(record.time)
    row[_OURS] = {name: value for name, value in kept.items() if value not in (None, {})}
    return row


def _record_of_row(row: Any) -> LabelRecord:
    if not isinstance(row, dict):
        raise ValueError("expected an object")
    base = _base(
        {key: value for key, value in row.items() if key in (KEY, "img", "url", _ID)}, row.get("id")
    )
    if isinstance(row.get(_OURS), dict):
        kept = {name: row[_OURS].get(name) for name in _KEPT}
        kept["extra"] = kept["extra"] or {}
        return LabelRecord(id=base.id, label=row.get(CONTROL), seconds=row.get("lead_time"), **kept)
    label = row.get(CONTROL)
    if isinstance(label, dict):  # several choices
        label = None
    if label is not None and not isinstance(label, str):
        raise ValueError(f"{CONTROL}: expected a text, found {label!r:.80}")
    return replace(
        base,
        label=label or None,
        kind="label" if label else None,
        annotator=_person(row.get("annotator")),
        time=_seconds_of(row.get("created_at")),
        seconds=_number(row.get("lead_time")),
        source="label_studio",
        extra={_RAW_MIN: row},
    )


# -- Values ----------------------------------------------------------------------------------------


def _list(text: str, where: str) -> list[Any]:
    try:
        value = json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: expected JSON: {error}") from None
    if not isinstance(value, list):
        raise DataError(f"{where}: expected a JSON list, as Label Studio exports it")
    return value


def _person(value: Any) -> str | None:
    if isinstance(value, dict):
        value = value.get("email") or value.get("id")
    return None if value in (None, "") else str(value)


def _number(value: Any) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        return float(value)
    return None


def _seconds_of(value: Any) -> float | None:
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _date(seconds: float) -> str | None:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return None
