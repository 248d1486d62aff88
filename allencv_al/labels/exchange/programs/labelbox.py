"""Label entries as NDJSON of Labelbox.

Formats: https://docs.labelbox.com/reference/import-image-annotations, an annotation a line, which
is written and read, and https://docs.labelbox.com/reference/export-image-annotations, an image a
line, which is read.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from PIL import Image

from allencv_al.common.errors import ImageDecodeError
from allencv_al.common.files.tables import parse_table
from allencv_al.data.dataset_readers.objects.image_objects import (
    AnnotatedObject,
    Annotation,
    Box,
    Size,
    numbers_of,
    short,
)
from allencv_al.data.drawn_masks import Region
from allencv_al.data.image_io import load_mask
from allencv_al.labels.exchange.annotation_entries import always, name_in
from allencv_al.labels.exchange.annotation_writers import form_of, labeled_entries
from allencv_al.labels.exchange.label_entry import LabelEntry
from allencv_al.labels.exchange.row_formats import entries_of_rows

QUESTION = "class"
"""Name of the radio or checklist of classes, which the ontology of the project must have."""

IMPORTED, EXPORTED = "dataRow", "data_row"
"""The key of the image in a line of the two formats."""

_NAMESPACE = uuid.UUID("7f0c6a52-7a51-5f2c-9d36-0a3a1f6f3b0e")
_NAMES = ("globalKey", "externalId", "id")
_EXPORTED_NAMES = ("global_key", "external_id", "row_data", "id")
_ANSWERS = ("radio_answer", "checklist_answers", "answer", "answers")


def to_labelbox(entries: Sequence[LabelEntry]) -> str:
    """Return an annotation a line: classes, boxes or masks, with the id as the global key.

    An image without objects has no line, as Labelbox has none for it. The same annotation gets the
    same id each time, so that a second import there adds nothing.

    Args:
        entries: Entries with objects.
    """
    labeled = list(labeled_entries(entries))
    form = form_of(labeled)
    lines = []
    for entry, annotation in labeled:
        rows: list[dict[str, Any]] = []
        if form == "class":
            rows.append({"name": QUESTION, "answer": {"name": annotation.tags[0]}})
        elif form == "classes":
            rows.append({"name": QUESTION, "answer": [{"name": tag} for tag in annotation.tags]})
        rows += [_object_row(one, annotation.size) for one in annotation.objects]
        for number, row in enumerate(rows):
            id = str(uuid.uuid5(_NAMESPACE, f"{entry.id} {number} {json.dumps(row)}"))
            whole = {"uuid": id, IMPORTED: {"globalKey": entry.id}, **row}
            lines.append(json.dumps(whole, ensure_ascii=False) + "\n")
    return "".join(lines)


def from_labelbox(text: str, where: str) -> list[LabelEntry]:
    """Return an entry for each image, from lines of either format.

    Raises:
        DataError: Lines are invalid; the message lists them.
    """
    table = parse_table(text, where, (), is_json=True)
    return _joined(entries_of_rows(table, where, _entries_of))


def _object_row(one: AnnotatedObject, size: Size | None) -> dict[str, Any]:
    x_min, y_min, x_max, y_max = one.box or (0, 0, 0, 0)
    if one.region is None or size is None:
        box = {"top": y_min, "left": x_min, "height": y_max - y_min, "width": x_max - x_min}
        return {"name": one.name, "bbox": box}
    stream = io.BytesIO()
    Image.fromarray(one.region.pixels(size)).save(stream, "PNG")
    return {"name": one.name, "mask": {"png": base64.b64encode(stream.getvalue()).decode()}}


def _joined(entries: Sequence[LabelEntry]) -> list[LabelEntry]:
    """Return one entry for each image; each line of the import format is an entry of its own."""
    found: dict[str, list[LabelEntry]] = {}
    for entry in entries:
        found.setdefault(entry.id, []).append(entry)
    joined = []
    for id, parts in found.items():
        annotations = [one.objects(None, []) for one in parts if one.objects is not None]
        there = [one for one in annotations if one is not None]
        whole = Annotation(
            *("", [one for part in there for one in part.objects]),
            size=next((part.size for part in there if part.size is not None), None),
            tags=[tag for part in there for tag in part.tags],
            left_out=sum((Counter(part.left_out) for part in there), Counter()),
        )
        objects = always(whole) if there else None
        joined.append(LabelEntry(id, parts[0].image, place=parts[0].place, objects=objects))
    return joined


def _entries_of(row: Mapping[str, Any], place: str) -> Iterator[LabelEntry]:
    is_export = EXPORTED in row
    image = row.get(EXPORTED if is_export else IMPORTED)
    keys = _EXPORTED_NAMES if is_export else _NAMES
    values = [image.get(key) for key in keys] if isinstance(image, Mapping) else []
    names = [one for one in values if isinstance(one, str) and one]
    if not names:
        raise ValueError(f"expected {IMPORTED} or {EXPORTED} with one of {', '.join(keys)}")
    if not is_export:
        annotation: Annotation | None = _annotation([row], None)
    else:
        labels = list(_exported_labels(row))
        annotation = None
        if labels:
            # Several annotators of one image: the first, which Labelbox lists as the winner
            found = labels[0]
            parts = [*_listed(found, "objects"), *_listed(found, "classifications")]
            annotation = _annotation(parts, _size_of(row))
    objects = None if annotation is None else always(annotation)
    # A global key may be any text; the next name is then that of the file
    yield LabelEntry(names[0], names[min(1, len(names) - 1)], place=place, objects=objects)


def _exported_labels(row: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    projects = row.get("projects")
    for project in projects.values() if isinstance(projects, Mapping) else ():
        for label in _listed(project, "labels"):
            annotations = label.get("annotations")
            if isinstance(annotations, Mapping):
                yield annotations


def _listed(values: Any, key: str) -> list[Mapping[str, Any]]:
    found = values.get(key) if isinstance(values, Mapping) else None
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(one, Mapping) for one in found):
        raise ValueError(f"{key}: expected a list of objects, found {short(found)}")
    return found


def _size_of(row: Mapping[str, Any]) -> Size | None:
    sides = row.get("media_attributes")
    found = [sides.get(key) for key in ("width", "height")] if isinstance(sides, Mapping) else []
    return (int(found[0]), int(found[1])) if numbers_of(found, 2) else None


def _annotation(parts: Sequence[Mapping[str, Any]], size: Size | None) -> Annotation:
    objects: list[AnnotatedObject] = []
    tags: list[str] = []
    left_out: Counter[str] = Counter()
    for number, part in enumerate(parts):
        answers = next((part[key] for key in _ANSWERS if part.get(key) is not None), None)
        if answers is not None:
            tags += _answers(answers)
            continue
        shape = _shape(part, size)
        if shape is None:
            left_out[str(part.get("annotation_kind") or "object of another kind")] += 1
            continue
        name = name_in(part, "name")
        box, region = shape
        objects.append(AnnotatedObject(f"objects[{number}] ({name})", box, name, region=region))
    return Annotation("", objects, size, {}, tags, left_out)


def _answers(value: Any) -> list[str]:
    several = value if isinstance(value, list) else [value]
    # A text is the answer to a question without choices, which is no class
    return [name_in(one, "name") for one in several if isinstance(one, Mapping)]


def _shape(part: Mapping[str, Any], size: Size | None) -> tuple[Box, Region | None] | None:
    box = part.get("bounding_box", part.get("bbox"))
    if isinstance(box, Mapping):
        keys = ("left", "top", "width", "height")
        sides = [box.get(key) for key in keys]
        if not numbers_of(sides, 4):
            raise ValueError(f"bbox: expected {', '.join(keys)}, found {short(box)}")
        left, top, width, height = sides
        return (left, top, left + width, top + height), None
    points = part.get("polygon")
    if isinstance(points, list):
        pairs: list[Any] = [
            [one.get("x"), one.get("y")] if isinstance(one, Mapping) else [] for one in points
        ]
        if len(pairs) < 3 or not all(numbers_of(pair, 2) for pair in pairs):
            raise ValueError(f"polygon: expected three points or more, found {short(points)}")
        region = Region((tuple(number for pair in pairs for number in pair),))
        return region.bounds((0, 0)) or (0, 0, 0, 0), region
    mask = part.get("mask")
    # A mask of an export is an address behind the key of an account, which is never fetched
    if not isinstance(mask, Mapping) or not isinstance(mask.get("png"), str):
        return None
    try:
        pixels = load_mask(base64.b64decode(mask["png"], validate=True)) > 0
    except (binascii.Error, ImageDecodeError) as error:
        raise ValueError(f"mask: expected a PNG in base64: {error}") from None
    region = Region.of_mask(pixels)
    box_around = region.bounds((pixels.shape[1], pixels.shape[0]))
    return box_around or (0, 0, 0, 0), region
