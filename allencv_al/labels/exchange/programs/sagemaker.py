"""Label entries as manifests of SageMaker Ground Truth.

Format: https://docs.aws.amazon.com/sagemaker/latest/dg/sms-data-output.html: one JSON object a line
with the address of an image and a label attribute. Other keys are kept and written back.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from allencv_al.common.files.tables import parse_table
from allencv_al.common.names import class_name, listed
from allencv_al.data.dataset_readers.objects.image_objects import (
    AnnotatedObject,
    Annotation,
    numbers_of,
    short,
)
from allencv_al.labels.exchange.annotation_entries import always, name_in, tagged
from allencv_al.labels.exchange.annotation_writers import class_names, form_of, labeled_entries
from allencv_al.labels.exchange.label_entry import LabelEntry, Objects, with_address
from allencv_al.labels.exchange.label_studio import date_of
from allencv_al.labels.exchange.row_formats import entries_of_rows

ADDRESS = "source-ref"

_KEPT = "sagemaker"  # the key of what is kept
_ATTRIBUTE = "label"
_METADATA = "-metadata"
_TYPES = {
    "class": "groundtruth/image-classification",
    "classes": "groundtruth/image-classification-multilabel",
    "boxes": "groundtruth/object-detection",
}


def to_sagemaker(entries: Sequence[LabelEntry]) -> str:
    """Return a manifest with the attribute `label`: one class, several classes or boxes.

    Args:
        entries: Entries with objects.
    """
    labeled = list(labeled_entries(entries))
    form = form_of(labeled)
    names = class_names([(entry.id, annotation) for entry, annotation in labeled])
    numbers = {name: number for number, name in enumerate(names)}
    lines = []
    for entry, annotation in labeled:
        value, metadata = _WRITERS[form](annotation, numbers)
        metadata |= {"type": _TYPES[form], "human-annotated": "yes", "job-name": "allencv-al"}
        if entry.time is not None:
            metadata["creation-date"] = (date_of(entry.time) or "").removesuffix("Z")
        row = with_address(entry, ADDRESS, _KEPT)
        row |= {_ATTRIBUTE: value, f"{_ATTRIBUTE}{_METADATA}": metadata}
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    return "".join(lines)


def from_sagemaker(text: str, where: str) -> list[LabelEntry]:
    """Return the entries of a manifest; an image without a label attribute has no label.

    Raises:
        DataError: Lines are invalid, or have several label attributes; the message lists them.
    """
    return entries_of_rows(parse_table(text, where, (), is_json=True), where, _entries_of)


Numbers = Mapping[str, int]
"""The number of each class."""


def _class(annotation: Annotation, numbers: Numbers) -> tuple[Any, dict[str, Any]]:
    [tag] = annotation.tags
    return numbers[tag], {"class-name": tag, "confidence": 1}


def _classes(annotation: Annotation, numbers: Numbers) -> tuple[Any, dict[str, Any]]:
    chosen = {numbers[tag]: tag for tag in annotation.tags}
    names = {str(number): tag for number, tag in chosen.items()}
    return list(chosen), {"class-map": names, "confidence-map": dict.fromkeys(names, 1)}


def _boxes(annotation: Annotation, numbers: Numbers) -> tuple[Any, dict[str, Any]]:
    width, height = annotation.size or (0, 0)
    boxes, names = [], {}
    for one in annotation.objects:
        left, top, right, bottom = one.box or (0, 0, 0, 0)
        number = numbers[one.name or ""]
        names[str(number)] = one.name
        sides = {"left": left, "top": top, "width": right - left, "height": bottom - top}
        boxes.append({"class_id": number, **sides})
    size = [{"width": width, "height": height, "depth": 3}]
    metadata = {"class-map": names, "objects": [{"confidence": 1} for _ in boxes]}
    return {"image_size": size, "annotations": boxes}, metadata


_WRITERS = {"class": _class, "classes": _classes, "boxes": _boxes}


def _entries_of(row: Mapping[str, Any], place: str) -> Iterator[LabelEntry]:
    address = row.get(ADDRESS)
    if not isinstance(address, str) or not address:
        found = short(address)
        raise ValueError(f"{ADDRESS}: expected the address of an image, found {found}")
    kinds = {name: kind for name in row if (kind := _kind_of_attribute(row, name)) is not None}
    if len(kinds) > 1:
        raise ValueError(f"expected one label attribute, found {listed(sorted(kinds))}")
    objects = None
    kept = dict(row)
    for name, kind in kinds.items():
        objects = _READERS[kind](kept.pop(name), kept.pop(f"{name}{_METADATA}"))
    yield LabelEntry(address, address, extra={_KEPT: kept}, place=place, objects=objects)


def _kind_of_attribute(row: Mapping[str, Any], name: str) -> str | None:
    metadata = row.get(f"{name}{_METADATA}")
    kind = metadata.get("type") if isinstance(metadata, Mapping) else None
    # Others are of texts and point clouds, or verify the labels of another job
    return kind if kind in _READERS and row[name] is not None else None


def _of_class(value: Any, metadata: Mapping[str, Any]) -> Objects:
    return tagged(name_in(metadata, "class-name"))


def _of_classes(value: Any, metadata: Mapping[str, Any]) -> Objects:
    if not isinstance(value, list):
        raise ValueError(f"expected a list of classes, found {short(value)}")
    return tagged(*(_name(number, metadata) for number in value))


def _of_boxes(value: Any, metadata: Mapping[str, Any]) -> Objects:
    boxes = value.get("annotations") if isinstance(value, Mapping) else None
    sizes = value.get("image_size") if isinstance(value, Mapping) else None
    size = sizes[0] if isinstance(sizes, list) and sizes else None
    sides = [size.get(key) if isinstance(size, Mapping) else None for key in ("width", "height")]
    if not isinstance(boxes, list) or not numbers_of(sides, 2):
        raise ValueError("expected annotations and an image_size")
    objects = []
    for number, one in enumerate(boxes):
        keys = ("left", "top", "width", "height")
        values = [one.get(key) if isinstance(one, Mapping) else None for key in keys]
        if not numbers_of(values, 4):
            raise ValueError(f"annotations[{number}]: expected left, top, width and height")
        left, top, width, height = values
        name = _name(one.get("class_id"), metadata)
        box = (left, top, left + width, top + height)
        objects.append(AnnotatedObject(f"annotations[{number}] ({name})", box, name))
    return always(Annotation("", objects, (int(sides[0]), int(sides[1]))))


def _name(number: Any, metadata: Mapping[str, Any]) -> str:
    classes = metadata.get("class-map")
    name = classes.get(str(number)) if isinstance(classes, Mapping) else None
    if not isinstance(name, str) or not class_name(name):
        raise ValueError(f"class-map: expected the name of class {short(number)}, found none")
    return class_name(name)


_READERS = {
    _TYPES["class"]: _of_class,
    _TYPES["classes"]: _of_classes,
    _TYPES["boxes"]: _of_boxes,
}
