"""Label entries as the JSON of Label Studio: tasks with annotations.

Format: https://labelstud.io/guide/task_format and https://labelstud.io/guide/export. Other values
of a file are kept in `extra` and written back unchanged.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from allencv_al.common.errors import DataError, raise_problems
from allencv_al.common.files.json_values import parse_json, repr_json
from allencv_al.data.dataset_readers.objects.image_objects import Annotation
from allencv_al.data.dataset_readers.objects.label_studio_tasks import (
    image_of_task,
    label_studio_result,
    regions_of_result,
)
from allencv_al.labels.exchange.entry_objects import objects_of
from allencv_al.labels.exchange.label_entry import (
    FIELDS,
    LabelEntry,
    Objects,
    entry_of,
    seconds_of,
)

if TYPE_CHECKING:
    from allencv_al.data.image_io import ImageFrame

CONTROL, OBJECT, KEY = "choice", "image", "image"
"""Names of the control and of the object tag, and the key of a task's data, in our exports."""

OURS = "allencv_al"  # fields that Label Studio does not have
ID = "allencv_al_id"
SOURCE = "label_studio"
_ELSEWHERE = ("id", "label", "seconds")  # fields that Label Studio has
_RAW = "label_studio"  # {"task": without annotations, "place", "annotation": None where none is}
_ANNOTATIONS = "annotations"
_RESULT = "result"  # the digest of a result that stands for the text of the label beside it
_EXACT = ("label", _RESULT)


def to_label_studio(entries: Sequence[LabelEntry]) -> str:
    """Return tasks with annotations, in the order of their first entries."""
    return json.dumps(_tasks_of(entries), indent=2, ensure_ascii=False) + "\n"


def from_label_studio(text: str, where: str) -> list[LabelEntry]:
    """Return one entry per annotation, and one per task without annotations.

    Raises:
        DataError: The file is not such JSON, or tasks are invalid; the message lists them.
    """
    return read_list(text, where, "task", _entries_of)


def with_local_addresses(entries: Sequence[LabelEntry], root: Path) -> list[LabelEntry]:
    """Return entries with the addresses under which Label Studio serves local files.

    Args:
        entries: Entries whose images are paths.
        root: Label Studio's LOCAL_FILES_DOCUMENT_ROOT.

    Raises:
        DataError: Images do not lie below `root`.
    """
    # resolve() would follow links, whose names the images may bear
    start = Path(os.path.abspath(root))  # noqa: PTH100
    outside = [one for one in entries if one.image is None or start not in Path(one.image).parents]
    if outside:
        raise DataError(
            f"{len(outside)} images do not lie below {root}; the first is "
            f"{repr_json(outside[0].image or outside[0].id, 200)}"
        )
    found = []
    for entry in entries:
        path = Path(str(entry.image)).relative_to(start).as_posix()
        found.append(replace(entry, image=f"/data/local-files/?d={quote(path)}"))
    return found


def _entries_of(task: Any, place: str) -> Iterator[LabelEntry]:
    if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
        raise ValueError('expected an object with "data"')
    annotations = task.get(_ANNOTATIONS)
    if annotations is not None and not isinstance(annotations, list):
        raise ValueError(f"{_ANNOTATIONS}: expected a list")
    base = base_entry(task["data"], task.get("id"), place)
    if not annotations:
        yield _with_raw(base, task, None)
        return
    entries = [_of_annotation(base, annotation) for annotation in annotations]
    if not (all(OURS in one for one in annotations) and _tasks_of(entries) == [task]):
        # Not only our own export: keep the other values
        bare = {key: value for key, value in task.items() if key != _ANNOTATIONS}
        pairs = zip(entries, annotations, strict=True)
        entries = [_with_raw(entry, bare, annotation) for entry, annotation in pairs]
    for number, entry in enumerate(entries, start=1):
        yield replace(entry, place=f"{place}, annotation {number}") if entries[1:] else entry


def _with_raw(entry: LabelEntry, task: Mapping[str, Any], annotation: Any) -> LabelEntry:
    kept = {"task": task, "place": entry.place, "annotation": annotation}
    return replace(entry, extra={**entry.extra, _RAW: kept})


def _raw_of(entry: LabelEntry) -> Mapping[str, Any] | None:
    """Return the kept task and annotation; ignore a column of another program with this name."""
    raw = entry.extra.get(_RAW)
    is_ours = isinstance(raw, dict) and isinstance(raw.get("task"), dict)
    return raw if is_ours else None


def _of_annotation(base: LabelEntry, annotation: Any) -> LabelEntry:
    if not isinstance(annotation, dict):
        raise ValueError(f"{_ANNOTATIONS}: expected objects")
    ours = annotation.get(OURS)
    if isinstance(ours, dict) and _RESULT in ours:
        if ours[_RESULT] == _digest(annotation.get("result")):
            label, ours = ours.get("label"), {k: v for k, v in ours.items() if k not in _EXACT}
            entry = annotated(base, {**annotation, OURS: ours}, label, None)
            if label is None:
                entry = replace(entry, objects=_regions(annotation.get("result"), base.place))
            return entry
        # Changed there: what it is now stands in the result alone
        annotation = {key: value for key, value in annotation.items() if key != OURS}
    label = _choice(annotation)
    if OURS in annotation:
        return annotated(base, annotation, label, annotation.get("completed_by"))
    is_skip, is_rejected = annotation.get("was_cancelled"), _is_rejected(annotation)
    if is_skip or is_rejected:
        label = None
    entry = annotated(base, annotation, label, annotation.get("completed_by"))
    if is_skip:
        return replace(entry, kind="skip")
    result = annotation.get("result")
    return entry if is_rejected else replace(entry, objects=_regions(result, base.place))


def _regions(result: Any, place: str | None) -> Objects:
    def regions(frame: ImageFrame | None, problems: list[str]) -> Annotation | None:
        try:
            found = regions_of_result(result or [], place or "")
        except ValueError as error:
            problems.append(f"{place}: {error}")
            return None
        where = place or ""
        return Annotation(where, found.objects, found.size, {}, found.tags, found.left_out)

    return regions


def _digest(result: Any) -> str:
    """Return what tells a `result` from a changed one, whatever Label Studio adds to it."""
    kept = [
        [one.get("type"), one.get("value")]
        for one in (result if isinstance(result, list) else ())
        if isinstance(one, dict)
    ]
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:32]


def _is_rejected(annotation: Mapping[str, Any]) -> bool:
    """Return whether the last review of an annotation (Label Studio Enterprise) rejected it."""
    reviews = annotation.get("reviews")
    last = reviews[-1] if isinstance(reviews, list) and reviews else None
    return isinstance(last, Mapping) and last.get("accepted") is False


def _choice(annotation: Mapping[str, Any]) -> str | None:
    """Return the chosen class, if exactly one is chosen."""
    chosen = [
        choice
        for result in annotation.get("result") or ()
        if result.get("type") == "choices"
        for choice in result.get("value", {}).get("choices", ())
    ]
    return (chosen[0] or None) if len(chosen) == 1 and isinstance(chosen[0], str) else None


def _tasks_of(entries: Sequence[LabelEntry]) -> list[dict[str, Any]]:
    tasks: dict[str, dict[str, Any]] = {}
    for entry in entries:
        raw = _raw_of(entry)
        kept = None if raw is None else [raw["task"], raw.get("place")]
        task = tasks.setdefault(json.dumps([entry.id, kept]), _task(entry, raw))
        annotation = None if raw is None else raw.get("annotation")
        if entry.kind is not None or annotation is not None:
            before = task.get(_ANNOTATIONS) or []
            task[_ANNOTATIONS] = [*before, _annotation(entry, annotation)]
    return [_in_order(task) for task in tasks.values()]


def _task(entry: LabelEntry, raw: Mapping[str, Any] | None) -> dict[str, Any]:
    if raw is not None:
        return dict(raw["task"])
    task: dict[str, Any] = {"data": {KEY: entry.image or entry.id, ID: entry.id}}
    if entry.prediction is not None:
        result = [_result(entry.prediction)]
        task["predictions"] = [{"model_version": OURS, "result": result}]
    return task


def _annotation(entry: LabelEntry, raw: Mapping[str, Any] | None) -> dict[str, Any]:
    annotation = objects_of(entry) if raw is None else None
    if annotation is not None:
        result = label_studio_result(annotation)
    else:
        result = [] if entry.label is None else [_result(entry.label)]
    if raw is not None:
        before = _of_annotation(LabelEntry(entry.id), raw)
        if (before.label, before.kind) == (entry.label, entry.kind):
            return dict(raw)
        return changed(raw, entry, result=result, was_cancelled=entry.kind == "skip")
    found: dict[str, Any] = {
        "result": result,
        "was_cancelled": entry.kind == "skip",
        "ground_truth": False,
        "lead_time": entry.seconds,
        OURS: kept_fields(entry),
    }
    if annotation is not None and str(entry.label).startswith("{"):
        # The text of a mask names classes by their places, which differ in another labeling
        del found[OURS]["kind"]
        found[OURS] |= {_RESULT: _digest(result)}
    elif annotation is not None:
        found[OURS] |= {"label": entry.label, _RESULT: _digest(result)}
    if entry.time is not None:
        found["created_at"] = date_of(entry.time)
    return found


def _result(label: str) -> dict[str, Any]:
    return {
        "from_name": CONTROL,
        "to_name": OBJECT,
        "type": "choices",
        "value": {"choices": [label]},
    }


def _in_order(task: dict[str, Any]) -> dict[str, Any]:
    """Return a task with its keys in the order of Label Studio."""
    first = [key for key in ("id", _ANNOTATIONS) if key in task]
    return {key: task[key] for key in [*first, *(key for key in task if key not in first)]}


# -- Shared with JSON_MIN -----------------------------------------------------------------------


def read_list(
    text: str, where: str, what: str, read: Callable[[Any, str], Iterable[LabelEntry]]
) -> list[LabelEntry]:
    """Return the label entries of a JSON list.

    Args:
        text: The JSON.
        where: Name of the file in messages.
        what: Name of an item of the list in messages.
        read: Converts an item to entries, given the item and its place.

    Raises:
        DataError: The JSON is not a list, or items are invalid; the message lists them.
    """
    try:
        value = parse_json(text.removeprefix("\ufeff"))
    except ValueError as error:
        raise DataError(f"{where}: expected JSON: {error}") from None
    if not isinstance(value, list):
        raise DataError(f"{where}: expected a JSON list, as Label Studio exports it")
    problems: list[str] = []
    found: list[LabelEntry] = []
    for number, item in enumerate(value, start=1):
        try:
            found += read(item, f"{what} {number}")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            problems.append(f"{what} {number}: {error}")
    raise_problems(where, problems)
    return found


def base_entry(data: Mapping[str, Any], task_id: Any, place: str) -> LabelEntry:
    """Return an entry without a decision.

    Args:
        data: The data of the task.
        task_id: The id of the entry if the data name no image.
        place: Its place in the file.

    Raises:
        ValueError: There is neither an image nor an id.
    """
    image = image_of_task(data)
    id = data.get(ID, image)
    if not isinstance(id, str) or not id:
        id = "" if task_id is None else str(task_id)
    return entry_of({"id": id, "image": image}, {}, place)


def kept_fields(entry: LabelEntry) -> dict[str, Any]:
    """Return the fields to write under `OURS`, to be read by `annotated`."""
    kept = {name: getattr(entry, name) for name in FIELDS if name not in _ELSEWHERE}
    kept["extra"] = dict(entry.extra)
    return {name: value for name, value in kept.items() if value not in (None, {})}


def annotated(
    base: LabelEntry, values: Mapping[str, Any], label: Any, annotator: Any
) -> LabelEntry:
    """Return the entry of an annotation: our own fields where we wrote them, or Label Studio's.

    Args:
        base: The entry of its image.
        values: The annotation.
        label: The chosen class, if any.
        annotator: The author, as Label Studio writes it: an object, an e-mail address or a number.

    Raises:
        ValueError: Our fields were changed to invalid values.
    """
    if OURS in values:
        kept, place = values[OURS], base.place or ""
        if not isinstance(kept, dict) or not isinstance(kept.get("extra", {}), dict):
            raise ValueError(f"{OURS}: expected an object")
        fields = {**kept, "id": base.id, "label": label, "seconds": values.get("lead_time")}
        return entry_of(fields, kept.get("extra", {}), place)
    if isinstance(annotator, dict):
        annotator = annotator.get("email") or annotator.get("id")
    return replace(
        base,
        label=label or None,
        kind="label" if label else None,
        annotator=None if annotator in (None, "") else str(annotator),
        time=seconds_of(values.get("created_at")),
        seconds=_duration(values.get("lead_time")),
        source=SOURCE,
    )


def changed(values: Mapping[str, Any], entry: LabelEntry, **others: Any) -> dict[str, Any]:
    """Return an annotation with another decision, everything else unchanged."""
    found = {**values, **others}
    if OURS in values:
        found[OURS] = {**values[OURS], "kind": entry.kind}
    return found


def _duration(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value < 1e12 else None


def date_of(seconds: float) -> str | None:
    """Return seconds since 1970 as a date in ISO 8601, or None beyond year 9999."""
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return None
