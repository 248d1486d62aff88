"""Label entries as tables of class names: those of Kaggle and the `_classes.csv` of Roboflow.

A table of Kaggle has the image and its class, or its classes with blanks between them, in two
columns of any name. One of Roboflow has a column for each class, with 1 where an image shows it
(https://roboflow.com/formats/multiclass-classification-csv); names of its columns may have a blank
before them. Its `_annotations.csv` with a box in each row, the CSV of TensorFlow, is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from allencv_al.common.errors import DataError
from allencv_al.common.files.json_values import repr_json
from allencv_al.common.files.tables import Table, cell_text, csv_text, listed_columns, parse_table
from allencv_al.common.names import class_name
from allencv_al.data.dataset_readers.objects.image_objects import (
    AnnotatedObject,
    Annotation,
    Size,
    numbers_of,
)
from allencv_al.labels.exchange.annotation_entries import always, tagged
from allencv_al.labels.exchange.annotation_writers import class_names, form_of, labeled_entries
from allencv_al.labels.exchange.label_entry import LabelEntry
from allencv_al.labels.exchange.row_formats import IMAGE_COLUMNS, entries_of_rows

ROBOFLOW_NAME = "_classes.csv"

_KEYS = ("id", "image_id", "image_name", "img", "image_file", "uuid", *IMAGE_COLUMNS)
_SEVERAL = ("tags", "labels", "classes")  # columns of classes with blanks between them
_NO_CLASSES = ("split", "fold", "use", "kind", "time", "score", "width", "height", "annotator")
_BOX_COLUMNS = ("class", "xmin", "ymin", "xmax", "ymax")
_MARKS = {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False}


def to_kaggle(entries: Sequence[LabelEntry]) -> str:
    """Return a table of `id` and `label`, or of `id` and `tags` where images have several classes.

    Args:
        entries: Entries with objects.

    Raises:
        DataError: The name of one of several classes has a blank in it.
    """
    labeled = list(labeled_entries(entries))
    if form_of(labeled) == "class":
        rows = [{"id": entry.id, "label": one.tags[0]} for entry, one in labeled]
        return csv_text(("id", "label"), rows)
    blank = [tag for _, one in labeled for tag in one.tags if len(tag.split()) != 1]
    if blank:
        raise DataError(
            f"kaggle: blanks set the classes of an image apart there, and {repr_json(blank[0])} "
            "has one; rename it, or write the format roboflow"
        )
    rows = [{"id": entry.id, "tags": " ".join(one.tags)} for entry, one in labeled]
    return csv_text(("id", "tags"), rows)


def from_kaggle(text: str, where: str) -> list[LabelEntry]:
    """Return the entries of a table of images and classes; an empty cell is no label.

    Raises:
        DataError: It has other columns than an image and its classes.
    """
    table = parse_table(text, where, (*_KEYS, *_SEVERAL))
    key = _key_of(table, where)
    others = [name for name in table.columns if name != key]
    if len(others) != 1:
        raise DataError(
            f"{where}: expected one column besides {key}, found {listed_columns(others)}"
        )
    [column] = others
    is_several = column in _SEVERAL

    def read(values: Mapping[str, Any], place: str) -> Iterator[LabelEntry]:
        image, cell = cell_text(values, key), class_name(cell_text(values, column))
        if not image:
            raise ValueError(f"{key}: expected an image, found nothing")
        tags = cell.split() if is_several else [cell] if cell else []
        objects = tagged(*tags) if tags or is_several else None
        yield LabelEntry(image, image, place=place, objects=objects)

    return entries_of_rows(table, where, read)


def to_roboflow(entries: Sequence[LabelEntry]) -> str:
    """Return a table of `filename` and a column for each class.

    Args:
        entries: Entries with objects.

    Raises:
        DataError: A class has the name of the first column.
    """
    labeled = list(labeled_entries(entries))
    names = class_names([(entry.id, annotation) for entry, annotation in labeled])
    if "filename" in map(str.casefold, names):
        raise DataError('roboflow: the class "filename" has the name of the column of images')
    rows = [
        {"filename": entry.id, **{name: int(name in one.tags) for name in names}}
        for entry, one in labeled
    ]
    return csv_text(("filename", *names), rows)


def from_roboflow(text: str, where: str) -> list[LabelEntry]:
    """Return the entries of a table with a column for each class, or with a box in each row.

    Raises:
        DataError: There is no column of images, or cells are neither 0 nor 1.
    """
    table = parse_table(text, where, (*_KEYS, *_BOX_COLUMNS))
    key = _key_of(table, where)
    if {*table.columns} >= {*_BOX_COLUMNS}:
        return _entries_of_boxes(table, key, where)
    names = [name for name in table.columns if name and name != key]

    def read(values: Mapping[str, Any], place: str) -> Iterator[LabelEntry]:
        image = cell_text(values, key)
        if not image:
            raise ValueError(f"{key}: expected an image, found nothing")
        marks = {name: cell_text(values, name) for name in names}
        wrong = [name for name, mark in marks.items() if mark.lower() not in _MARKS]
        if wrong:
            raise ValueError(f"{wrong[0]}: expected 0 or 1, found {repr_json(marks[wrong[0]])}")
        tags = [class_name(name) for name, mark in marks.items() if _MARKS[mark.lower()]]
        yield LabelEntry(image, image, place=place, objects=tagged(*tags))

    return entries_of_rows(table, where, read)


def _entries_of_boxes(table: Table, key: str, where: str) -> list[LabelEntry]:
    """Return one entry for each image; each row is an entry of its own."""
    boxes: dict[str, list[AnnotatedObject]] = {}
    sizes: dict[str, Size] = {}

    def read(values: Mapping[str, Any], place: str) -> Iterator[LabelEntry]:
        image, name = cell_text(values, key), class_name(cell_text(values, "class"))
        try:
            sides = [float(table.number(cell_text(values, side))) for side in _BOX_COLUMNS[1:]]
        except ValueError:
            sides = []
        if not image or not name or not numbers_of(sides, 4):
            raise ValueError(f"expected an image, a class and {', '.join(_BOX_COLUMNS[1:])}")
        width, height = (str(values.get(side) or "") for side in ("width", "height"))
        if width.isdecimal() and height.isdecimal():
            sizes[image] = (int(width), int(height))
        x_min, y_min, x_max, y_max = sides
        one = AnnotatedObject(f"{place} ({name})", (x_min, y_min, x_max, y_max), name)
        if image not in boxes:
            yield LabelEntry(image, image, place=place)
        boxes.setdefault(image, []).append(one)

    return [
        replace(one, objects=always(Annotation(where, boxes[one.id], sizes.get(one.id))))
        for one in entries_of_rows(table, where, read)
    ]


def table_format(table: Table) -> str | None:
    """Return the format of a table that has no column `label`, or None for neither of the two."""
    key = next((name for name in _KEYS if name in table.columns), None)
    others = [name for name in table.columns if name and name != key]
    if key is None or not others:
        return None
    rows = [row.values for row in table.rows if row.problem is None]
    cells = {str(values.get(name)).strip().lower() for values in rows for name in others}
    if {*others} >= {*_BOX_COLUMNS} or (rows and cells <= _MARKS.keys()):
        return "roboflow"
    is_class = len(others) == 1 and others[0].casefold() not in (*_KEYS, *_NO_CLASSES)
    return "kaggle" if is_class else None


def _key_of(table: Table, where: str) -> str:
    table.require(where, _KEYS)
    return next(name for name in _KEYS if name in table.columns)
