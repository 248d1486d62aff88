"""Label entries as the metadata of an `imagefolder` of Hugging Face data sets.

Format: https://huggingface.co/docs/datasets/image_dataset: `metadata.jsonl`, `.csv` or `.parquet`
with `file_name` and `label`, `labels`, or `objects` (`bbox` as x, y, width, height in pixels, and
`categories`). Other columns are kept and written back.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from allencv_al.common.errors import ConfigurationError, DataError
from allencv_al.common.files.json_values import parse_json
from allencv_al.common.files.tables import Row, Table, cell_text, read_table
from allencv_al.common.names import class_name
from allencv_al.data.dataset_readers.objects.image_objects import (
    AnnotatedObject,
    Annotation,
    numbers_of,
    short,
)
from allencv_al.labels.exchange.annotation_entries import always, name_in, tagged
from allencv_al.labels.exchange.annotation_writers import Files, form_of, labeled_entries
from allencv_al.labels.exchange.label_entry import LabelEntry, Objects, kept_values
from allencv_al.labels.exchange.row_formats import entries_of_rows

METADATA_NAMES = ("metadata.jsonl", "metadata.csv", "metadata.parquet")

_FILE, _CLASS, _CLASSES, _OBJECTS = "file_name", "label", "labels", "objects"
_KEPT = "huggingface"  # the key of what is kept
_BOXES, _NAMES = "bbox", ("categories", "category", "label", "labels")


def image_folder_files(entries: Sequence[LabelEntry]) -> Files:
    """Yield `metadata.jsonl`: one class, several classes or boxes of each image."""
    labeled = list(labeled_entries(entries))
    form = form_of(labeled)
    lines = []
    for entry, annotation in labeled:
        row: dict[str, Any] = {_FILE: entry.id, **kept_values(entry, _KEPT)}
        if form == "class":
            row[_CLASS] = annotation.tags[0]
        elif form == "classes":
            row[_CLASSES] = list(annotation.tags)
        else:
            boxes = [one.box or (0, 0, 0, 0) for one in annotation.objects]
            row[_OBJECTS] = {
                _BOXES: [[x, y, right - x, bottom - y] for x, y, right, bottom in boxes],
                _NAMES[0]: [one.name for one in annotation.objects],
            }
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    yield METADATA_NAMES[0], "".join(lines).encode()


def read_image_folder(folder: Path) -> list[LabelEntry]:
    """Return the entries of the metadata in a folder, and in the folders of its splits.

    Raises:
        DataError: There is no such file, or rows are invalid; the message lists them.
        ConfigurationError: It is Parquet, and pyarrow is not installed.
    """
    files = [file for name in METADATA_NAMES for file in sorted(folder.rglob(name))]
    if not files:
        raise DataError(f"{folder}: expected {' or '.join(METADATA_NAMES)}, found none")
    found: list[LabelEntry] = []
    for file in files:
        above = file.parent.relative_to(folder).as_posix()
        prefix = "" if above == "." else f"{above}/"
        table = _parquet_table(file) if file.suffix == ".parquet" else _table(file)
        table.require(file, (_FILE,))

        def read(
            values: Mapping[str, Any], place: str, prefix: str = prefix
        ) -> Iterator[LabelEntry]:
            yield _entry(values, place, prefix)

        found += entries_of_rows(table, str(file), read)
    return found


def has_metadata(folder: Path) -> bool:
    """Return whether a folder, or the folder of a split in it, has metadata of images."""
    places = (folder, *(folder / split for split in ("train", "validation", "test")))
    return any((place / name).is_file() for place in places for name in METADATA_NAMES)


def _table(file: Path) -> Table:
    return read_table(file, (_FILE, _CLASS, _CLASSES, _OBJECTS))


def _parquet_table(file: Path) -> Table:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise ConfigurationError(
            f'{file}: Parquet files need pyarrow; pip install "allencv-al[parquet]" adds it'
        ) from None
    try:
        found = parquet.read_table(file)
    except (ArrowException, OSError) as error:
        raise DataError(f"{file}: expected a Parquet file: {error}") from None
    rows = [Row(n, values, unit="row") for n, values in enumerate(found.to_pylist(), start=1)]
    return Table(tuple(found.column_names), tuple(rows), is_json=True)


def _entry(values: Mapping[str, Any], place: str, prefix: str) -> LabelEntry:
    file = cell_text(values, _FILE)
    if not file:
        raise ValueError(f"{_FILE}: expected the path of an image, found nothing")
    known = (_FILE, _CLASS, _CLASSES, _OBJECTS)
    kept = {key: value for key, value in values.items() if key not in known and value != ""}
    image = prefix + file
    extra = {_KEPT: kept} if kept else {}
    return LabelEntry(image, image, extra=extra, place=place, objects=_objects_of(values))


def _objects_of(values: Mapping[str, Any]) -> Objects | None:
    boxes, several = (_parsed(values.get(key)) for key in (_OBJECTS, _CLASSES))
    if isinstance(boxes, Mapping):
        return always(_boxes(boxes))
    if isinstance(several, list):
        return tagged(*(name_in({_CLASSES: one}, _CLASSES) for one in several))
    if isinstance(several, str) and several.strip():  # as the reader `manifest` writes it
        return tagged(*(class_name(name) for name in several.split(";") if name.strip()))
    label = cell_text(values, _CLASS)
    return tagged(class_name(label)) if label else None


def _parsed(value: Any) -> Any:
    """Return the value of a cell of CSV, where lists and objects are JSON."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        return parse_json(value)
    return value


def _boxes(values: Mapping[str, Any]) -> Annotation:
    boxes = values.get(_BOXES)
    names = next((values[key] for key in _NAMES if isinstance(values.get(key), list)), None)
    if not isinstance(boxes, list) or names is None or len(names) != len(boxes):
        raise ValueError(f"{_OBJECTS}: expected {_BOXES} and as many {_NAMES[0]}")
    objects = []
    for number, (box, name) in enumerate(zip(boxes, names, strict=True)):
        if not numbers_of(box, 4):
            raise ValueError(f"{_BOXES}[{number}]: expected four numbers, found {short(box)}")
        x, y, width, height = box
        # Numbers stand for names in the card of the data set, which is no part of the folder
        named = name_in({_NAMES[0]: str(name) if isinstance(name, int) else name}, _NAMES[0])
        place = f"{_BOXES}[{number}] ({named})"
        objects.append(AnnotatedObject(place, (x, y, x + width, y + height), named))
    return Annotation("", objects)
