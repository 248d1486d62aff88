"""Label entries as import files of Vertex AI.

Format: https://cloud.google.com/vertex-ai/docs/image-data/object-detection/prepare-data. JSON lines
are written, JSON lines and CSV read. Other keys of a line are kept and written back.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from allencv_al.common.errors import raise_problems
from allencv_al.common.files.tables import is_json_text, parse_table, records
from allencv_al.common.names import class_name
from allencv_al.data.dataset_readers.objects.image_objects import (
    AnnotatedObject,
    Annotation,
    Box,
    numbers_of,
    short,
)
from allencv_al.labels.exchange.annotation_entries import in_shares, name_in, tagged
from allencv_al.labels.exchange.annotation_writers import form_of, labeled_entries, shares_of
from allencv_al.labels.exchange.label_entry import LabelEntry, Objects, with_address
from allencv_al.labels.exchange.row_formats import entries_of_rows

ADDRESS = "imageGcsUri"

_KEPT = "vertex"  # the key of what is kept
_KEYS = {
    "class": "classificationAnnotation",
    "classes": "classificationAnnotations",
    "boxes": "boundingBoxAnnotations",
}
_NAME = "displayName"
_BUCKET = "gs://"
_USES = ("TRAIN", "TRAINING", "VALIDATE", "VALIDATION", "TEST", "UNASSIGNED", "")
_SLACK = 0.01  # of rounded shares


def to_vertex(entries: Sequence[LabelEntry]) -> str:
    """Return JSON lines: one class, several classes or boxes of each image.

    Args:
        entries: Entries with objects.
    """
    labeled = list(labeled_entries(entries))
    form = form_of(labeled)
    lines = []
    for entry, annotation in labeled:
        row: dict[str, Any] = with_address(entry, ADDRESS, _KEPT)
        if form == "boxes":
            row[_KEYS[form]] = [_box_row(one, annotation) for one in annotation.objects]
        else:
            tags = [{_NAME: tag} for tag in annotation.tags]
            row[_KEYS[form]] = tags[0] if form == "class" else tags
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    return "".join(lines)


def from_vertex(text: str, where: str) -> list[LabelEntry]:
    """Return the entries of an import file of Vertex AI, of JSON lines or of CSV.

    Raises:
        DataError: Lines are invalid; the message lists them.
    """
    if not is_json_text(text):
        return _from_csv(text, where)
    return entries_of_rows(parse_table(text, where, (), is_json=True), where, _entries_of)


def _box_row(one: AnnotatedObject, annotation: Annotation) -> dict[str, Any]:
    x_min, y_min, x_max, y_max = shares_of(one, annotation.size)
    return {_NAME: one.name, "xMin": x_min, "yMin": y_min, "xMax": x_max, "yMax": y_max}


def _entries_of(row: Mapping[str, Any], place: str) -> Iterator[LabelEntry]:
    address = row.get(ADDRESS)
    if not isinstance(address, str) or not address:
        raise ValueError(f"{ADDRESS}: expected the address of an image, found {short(address)}")
    kept = {key: value for key, value in row.items() if key not in _KEYS.values()}
    objects = _objects_of(row)
    yield LabelEntry(address, address, extra={_KEPT: kept}, place=place, objects=objects)


def _objects_of(row: Mapping[str, Any]) -> Objects | None:
    if row.get(_KEYS["boxes"]) is not None:
        keys = ("xMin", "yMin", "xMax", "yMax")
        return in_shares(
            [
                (name_in(box, _NAME), _box([box.get(key) for key in keys]))
                for box in _listed(row, _KEYS["boxes"])
            ]
        )
    if row.get(_KEYS["classes"]) is not None:
        return tagged(*(name_in(tag, _NAME) for tag in _listed(row, _KEYS["classes"])))
    one = row.get(_KEYS["class"])
    if one is None:
        return None
    if not isinstance(one, Mapping):
        raise ValueError(f"{_KEYS['class']}: expected an object, found {short(one)}")
    return tagged(name_in(one, _NAME))


def _from_csv(text: str, where: str) -> list[LabelEntry]:
    tags: dict[str, list[str]] = {}
    boxes: dict[str, list[tuple[str, Box]]] = {}
    places: dict[str, str] = {}
    problems: list[str] = []
    for line, cells in records(text, where):
        values = [cell.strip() for cell in cells]
        if not any(values):
            continue
        try:
            # The use of an image may be left out, its address may not
            if not values[0].startswith(_BUCKET) and values.pop(0).upper() not in _USES:
                raise ValueError(f"expected TRAIN, VALIDATION or TEST, found {cells[0]!a:.40}")
            address, *rest = values or [""]
            if not address.startswith(_BUCKET):
                raise ValueError(f"expected the address of an image, found {address!a:.80}")
            places.setdefault(address, f"line {line}")
            if len(rest) < 9 and not any(map(_is_number, rest[1:])):
                tags.setdefault(address, []).extend(map(class_name, filter(None, rest)))
            else:
                found = boxes.setdefault(address, [])
                if rest[0]:  # a row of commas is an image without objects
                    found.append((class_name(rest[0]), _box_of_cells(rest[1:])))
        except ValueError as error:
            problems.append(f"line {line}: {error}")
    raise_problems(where, problems)
    return [
        LabelEntry(
            *(address, address),
            place=place,
            objects=in_shares(boxes[address])
            if address in boxes
            else tagged(*tags[address])
            if tags[address]
            else None,
        )
        for address, place in places.items()
    ]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _box_of_cells(cells: Sequence[str]) -> Box:
    """Return the box around the corners of a row: two opposite ones, or all four."""
    try:
        pairs = [
            (float(cells[at]), float(cells[at + 1]))
            for at in range(0, len(cells) - 1, 2)
            if cells[at] or cells[at + 1]
        ]
    except ValueError:
        raise ValueError(f"expected corners of a box, found {','.join(cells)[:80]}") from None
    if len(pairs) < 2:
        raise ValueError(f"expected two corners of a box or more, found {len(pairs)}")
    columns, rows = zip(*pairs, strict=True)
    return _box([min(columns), min(rows), max(columns), max(rows)])


def _box(corners: Sequence[Any]) -> Box:
    if not numbers_of(list(corners), 4):
        raise ValueError(f"expected four numbers of a box, found {short(list(corners))}")
    x_min, y_min, x_max, y_max = corners
    if not all(-_SLACK <= side <= 1 + _SLACK for side in corners):
        raise ValueError(f"expected shares of width and height, 0 to 1, found {short(corners)}")
    return x_min, y_min, x_max, y_max


def _listed(row: Mapping[str, Any], key: str) -> Iterable[Mapping[str, Any]]:
    found = row[key]
    if not isinstance(found, list) or not all(isinstance(one, Mapping) for one in found):
        raise ValueError(f"{key}: expected a list of objects, found {short(found)}")
    return found
