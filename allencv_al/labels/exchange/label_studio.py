"""Label records as the JSON of Label Studio: tasks with annotations.

Format: https://labelstud.io/guide/task_format and https://labelstud.io/guide/export. What a file
says besides labels is kept in `extra` and written back as it was.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from allencv_al.common.errors import DataError
from allencv_al.common.files.json_values import repr_json
from allencv_al.labels.exchange.label_studio_values import (
    CONTROL,
    ID,
    KEY,
    OBJECT,
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

CONFIG = """\
<View>
  <Image name="image" value="$image"/>
  <Choices name="choice" toName="image" choice="single" showInLine="true">
{choices}
  </Choices>
</View>
"""

_RAW = "label_studio"  # {"task": without annotations, "place", "annotation": None where none is}
_ANNOTATIONS = "annotations"


def to_label_studio(records: Sequence[LabelRecord]) -> str:
    """Return tasks with annotations, in the order of their first records."""
    return json.dumps(_tasks_of(records), indent=2, ensure_ascii=False) + "\n"


def from_label_studio(text: str, where: str) -> list[LabelRecord]:
    """Return one record per annotation, and one per task without any.

    Raises:
        DataError: It is no such file, or tasks are wrong; they are named.
    """
    return read_list(text, where, "task", _records_of)


def labeling_config(classes: Sequence[str]) -> str:
    """Return a labeling config of Label Studio for these classes."""
    lines = [f"    <Choice value={quoteattr(name)}/>" for name in classes]
    return CONFIG.format(choices="\n".join(lines))


def with_local_addresses(records: Sequence[LabelRecord], root: Path) -> list[LabelRecord]:
    """Return records whose images have the addresses under which Label Studio serves local files.

    Args:
        records: The label records; their images are paths.
        root: Its LOCAL_FILES_DOCUMENT_ROOT.

    Raises:
        DataError: Images do not lie below it.
    """
    # resolve() would follow links, by which an image may have its name
    start = Path(os.path.abspath(root))  # noqa: PTH100
    outside = [one for one in records if one.image is None or start not in Path(one.image).parents]
    if outside:
        raise DataError(
            f"{len(outside)} images do not lie below {root}; the first is "
            f"{repr_json(outside[0].image or outside[0].id, 200)}"
        )
    found = []
    for record in records:
        path = Path(str(record.image)).relative_to(start).as_posix()
        found.append(replace(record, image=f"/data/local-files/?d={quote(path)}"))
    return found


def _records_of(task: Any, place: str) -> Iterator[LabelRecord]:
    if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
        raise ValueError('expected an object with "data"')
    annotations = task.get(_ANNOTATIONS)
    if annotations is not None and not isinstance(annotations, list):
        raise ValueError(f"{_ANNOTATIONS}: expected a list")
    base = base_record(task["data"], task.get("id"), place)
    if not annotations:
        yield _with_raw(base, task, None)
        return
    records = [_of_annotation(base, annotation) for annotation in annotations]
    if not (all(OURS in one for one in annotations) and _tasks_of(records) == [task]):
        # We did not write it alone: what else it says has to be kept
        bare = {key: value for key, value in task.items() if key != _ANNOTATIONS}
        pairs = zip(records, annotations, strict=True)
        records = [_with_raw(record, bare, annotation) for record, annotation in pairs]
    for number, record in enumerate(records, start=1):
        yield replace(record, place=f"{place}, annotation {number}") if records[1:] else record


def _with_raw(record: LabelRecord, task: Mapping[str, Any], annotation: Any) -> LabelRecord:
    kept = {"task": task, "place": record.place, "annotation": annotation}
    return replace(record, extra={**record.extra, _RAW: kept})


def _raw_of(record: LabelRecord) -> Mapping[str, Any] | None:
    """Return what was kept; a column that another program calls so is none of ours."""
    raw = record.extra.get(_RAW)
    is_ours = isinstance(raw, dict) and isinstance(raw.get("task"), dict)
    return raw if is_ours else None


def _of_annotation(base: LabelRecord, annotation: Any) -> LabelRecord:
    if not isinstance(annotation, dict):
        raise ValueError(f"{_ANNOTATIONS}: expected objects")
    label, place = _choice(annotation), base.place or ""
    if OURS in annotation:
        seconds = annotation.get("lead_time")
        return record_of_kept(annotation[OURS], base.id, label, seconds, place)
    kind = "skip" if annotation.get("was_cancelled") else "label" if label is not None else None
    if kind == "label" and _is_rejected(annotation):
        kind = None
    return replace(
        base,
        label=label if kind == "label" else None,
        kind=kind,
        annotator=person(annotation.get("completed_by")),
        time=seconds_of(annotation.get("created_at")),
        seconds=duration(annotation.get("lead_time")),
        source=SOURCE,
    )


def _is_rejected(annotation: Mapping[str, Any]) -> bool:
    """Return whether the last review of an annotation (Label Studio Enterprise) has rejected it."""
    reviews = annotation.get("reviews")
    last = reviews[-1] if isinstance(reviews, list) and reviews else None
    return isinstance(last, Mapping) and last.get("accepted") is False


def _choice(annotation: Mapping[str, Any]) -> str | None:
    """Return what was chosen, if it is one thing."""
    chosen = [
        choice
        for result in annotation.get("result") or ()
        if result.get("type") == "choices"
        for choice in result.get("value", {}).get("choices", ())
    ]
    return (chosen[0] or None) if len(chosen) == 1 and isinstance(chosen[0], str) else None


def _tasks_of(records: Sequence[LabelRecord]) -> list[dict[str, Any]]:
    tasks: dict[str, dict[str, Any]] = {}
    for record in records:
        raw = _raw_of(record)
        kept = None if raw is None else [raw["task"], raw.get("place")]
        task = tasks.setdefault(json.dumps([record.id, kept]), _task(record, raw))
        annotation = None if raw is None else raw.get("annotation")
        if record.kind is not None or annotation is not None:
            before = task.get(_ANNOTATIONS) or []
            task[_ANNOTATIONS] = [*before, _annotation(record, annotation)]
    return [_in_order(task) for task in tasks.values()]


def _task(record: LabelRecord, raw: Mapping[str, Any] | None) -> dict[str, Any]:
    if raw is not None:
        return dict(raw["task"])
    task: dict[str, Any] = {"data": {KEY: record.image or record.id, ID: record.id}}
    if record.prediction is not None:
        result = [_result(record.prediction)]
        task["predictions"] = [{"model_version": OURS, "result": result}]
    return task


def _annotation(record: LabelRecord, raw: Mapping[str, Any] | None) -> dict[str, Any]:
    result = [] if record.label is None else [_result(record.label)]
    if raw is not None:
        before = _of_annotation(LabelRecord(record.id), raw)
        if (before.label, before.kind) == (record.label, record.kind):
            return dict(raw)
        changed = {**raw, "result": result, "was_cancelled": record.kind == "skip"}
        if OURS in raw:
            changed[OURS] = {**raw[OURS], "kind": record.kind}
        return changed
    found: dict[str, Any] = {
        "result": result,
        "was_cancelled": record.kind == "skip",
        "ground_truth": False,
        "lead_time": record.seconds,
        OURS: kept_fields(record),
    }
    if record.time is not None:
        found["created_at"] = date_of(record.time)
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
    first = [key for key in ("id", _ANNOTATIONS) if key in task]
    return {key: task[key] for key in [*first, *(key for key in task if key not in first)]}
