"""Label entries as data sets of FiftyOne.

Formats: https://docs.voxel51.com/user_guide/import_datasets.html. `labels.json` of its
classification and detection data sets is written and read, `samples.json` of a FiftyOneDataset
read. The images of the first lie in `data`, under their names without extension in the file.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from allencv_al.common.errors import DataError, raise_problems
from allencv_al.common.files.json_values import parse_json, repr_json
from allencv_al.data.dataset_readers.objects.image_objects import (
    AnnotatedObject,
    Annotation,
    Box,
    numbers_of,
    short,
)
from allencv_al.labels.exchange.annotation_entries import in_shares, name_in, tagged
from allencv_al.labels.exchange.annotation_writers import form_of, labeled_entries, shares_of
from allencv_al.labels.exchange.label_entry import LabelEntry, Objects

LABELS_FILE = "labels.json"
SAMPLES_FILE = "samples.json"

_CLASSES = ("Classification", "Classifications")
_BOXES = "Detections"
_TRUTH = "ground_truth"  # the field of labels in most data sets
_PREDICTED = "predictions"


def to_fiftyone(entries: Sequence[LabelEntry]) -> str:
    """Return the `labels.json` of a data set of classifications or detections.

    Args:
        entries: Entries with objects.

    Raises:
        DataError: Two images have one name without extension.
    """
    labeled = list(labeled_entries(entries))
    form = form_of(labeled)
    labels: dict[str, Any] = {}
    for entry, annotation in labeled:
        name = str(PurePosixPath(entry.id).with_suffix(""))
        if name in labels:
            raise DataError(f"two images have the name {repr_json(name)} for FiftyOne; rename one")
        if form == "boxes":
            labels[name] = [_detection(one, annotation) for one in annotation.objects]
        else:
            labels[name] = annotation.tags[0] if form == "class" else list(annotation.tags)
    return json.dumps({"labels": labels}, ensure_ascii=False, indent=1) + "\n"


def from_fiftyone(text: str, where: str) -> list[LabelEntry]:
    """Return the entries of `labels.json` or `samples.json`.

    Raises:
        DataError: The file is no such JSON, or labels are invalid; the message lists them.
    """
    try:
        content = parse_json(text)
    except ValueError as error:
        raise DataError(f"{where}: expected JSON: {error}") from None
    problems: list[str] = []
    labels = content.get("labels") if isinstance(content, Mapping) else None
    samples = content.get("samples") if isinstance(content, Mapping) else None
    if isinstance(labels, Mapping):
        found = list(_of_labels(labels, content.get("classes"), problems))
    elif isinstance(samples, list):
        found = list(_of_samples(samples, problems))
    else:
        raise DataError(f"{where}: expected an object with labels or samples of FiftyOne")
    raise_problems(where, problems)
    return found


def _detection(one: AnnotatedObject, annotation: Annotation) -> dict[str, Any]:
    x_min, y_min, x_max, y_max = shares_of(one, annotation.size)
    return {"label": one.name, "bounding_box": [x_min, y_min, x_max - x_min, y_max - y_min]}


def _of_labels(
    labels: Mapping[str, Any], classes: Any, problems: list[str]
) -> Iterator[LabelEntry]:
    names = classes if isinstance(classes, list) else []
    for name, target in labels.items():
        try:
            yield LabelEntry(name, place=f"labels: {name}", objects=_objects_of(target, names))
        except ValueError as error:
            problems.append(f"labels: {repr_json(name)}: {error}")


def _objects_of(target: Any, classes: Sequence[Any]) -> Objects | None:
    if target is None:
        return None
    several = target if isinstance(target, list) else [target]
    boxes = [one for one in several if isinstance(one, Mapping) and "bounding_box" in one]
    if boxes:
        named = [(_class_of(one.get("label"), classes), _box(one)) for one in boxes]
        return in_shares(named)
    values = [one.get("label") if isinstance(one, Mapping) else one for one in several]
    return tagged(*(_class_of(value, classes) for value in values))


def _class_of(value: Any, classes: Sequence[Any]) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        if not 0 <= value < len(classes):
            raise ValueError(f"expected a class from 0 to {len(classes) - 1}, found {value}")
        value = classes[value]
    return name_in({"label": value}, "label")


def _box(one: Mapping[str, Any]) -> Box:
    sides = one.get("bounding_box")
    if not numbers_of(sides, 4):
        raise ValueError(f"bounding_box: expected four numbers, found {short(sides)}")
    x, y, width, height = sides
    return x, y, x + width, y + height


# -- samples.json --------------------------------------------------------------------------------


def _of_samples(samples: Sequence[Any], problems: list[str]) -> Iterator[LabelEntry]:
    fields = Counter(field for one in samples for field in _fields_of(one))
    known = [name for name in fields if name != _PREDICTED]
    field = _TRUTH if _TRUTH in fields else known[0] if len(known) == 1 else None
    if fields and field is None:
        problems.append(
            f"expected one field of labels, or {_TRUTH}, found {', '.join(sorted(fields))}"
        )
        return
    for number, one in enumerate(samples, start=1):
        place = f"sample {number}"
        path = one.get("filepath") if isinstance(one, Mapping) else None
        if not isinstance(path, str) or not path:
            problems.append(f"{place}: filepath: expected a path, found {short(path)}")
            continue
        value = one.get(field) if field is not None else None
        try:
            yield LabelEntry(path, path, place=place, objects=_objects_of_field(value))
        except ValueError as error:
            problems.append(f"{place}: {error}")


def _fields_of(sample: Any) -> Iterator[str]:
    for name, value in sample.items() if isinstance(sample, Mapping) else ():
        if isinstance(value, Mapping) and value.get("_cls") in (*_CLASSES, _BOXES):
            yield name


def _objects_of_field(value: Any) -> Objects | None:
    if not isinstance(value, Mapping):
        return None
    kind = value.get("_cls")
    if kind == _CLASSES[0]:
        return tagged(name_in(value, "label"))
    key = "classifications" if kind == _CLASSES[1] else "detections"
    several = value.get(key)
    if not isinstance(several, list) or not all(isinstance(one, Mapping) for one in several):
        raise ValueError(f"{key}: expected a list of objects, found {short(several)}")
    if kind == _CLASSES[1]:
        return tagged(*(name_in(one, "label") for one in several))
    return in_shares([(name_in(one, "label"), _box(one)) for one in several])
