"""A table of images: CSV or JSON lines with paths and labels."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from overrides import overrides

from allencv_al.common.errors import ConfigurationError, DataError, raise_problems
from allencv_al.common.files.json_values import repr_json
from allencv_al.common.files.paths import (
    absence_hint,
    shown_path,
    split_path,
)
from allencv_al.common.files.tables import (
    LABELS_NAME,
    Row,
    Table,
    cell_text,
    listed_columns,
    read_table,
)
from allencv_al.common.names import class_name, did_you_mean
from allencv_al.data.box_texts import boxes_problem, with_boxes
from allencv_al.data.dataset_readers.base import DatasetReader
from allencv_al.data.dataset_readers.image_tables import file_of_cell, rows_of_split
from allencv_al.data.instance import Instance
from allencv_al.data.transforms import ImageTransform

logger = logging.getLogger(__name__)

_LABEL = "label"
_SEPARATOR = ";"


@dataclass(frozen=True, slots=True)
class Columns:
    """The names of the columns."""

    path: str
    label: str
    id: str
    split: str
    labels: str


@DatasetReader.register("manifest")
class ManifestReader(DatasetReader):
    """Read the images that a table lists: a CSV file with a header, or JSON lines.

        path,label,split
        photos/0001.jpg,cat,train
        photos/0002.jpg,dog,test
        photos/0003.jpg,,train

    A folder stands for the `labels.csv` in it, as `label` and `active-learn` write it. A path that
    is not absolute starts at the table's folder. An empty label is an unlabeled image.
    Where an image has several classes they stand in a column `labels`: as `cat; dog`, or as a JSON
    array, `["cat", "dog"]`; `[]` says that it shows none of them, and an empty cell that it is
    unlabeled. An array of names in the column `label`, as `active-learn` writes it, is read, too;
    so is one of boxes, `[{"label": "cat", "x": 4, "y": 6, "width": 20, "height": 10}]`, in pixels
    of the upright image. In a table of boxes, `[]` says that no object is there.
    Without an id column the id is the path as written. Which rows of a table with splits are meant
    can stand behind two colons, so that one reader serves all paths of a config:
    `train_data_path: "images.csv::train"`; "Train" is that split too, and the rows that are left
    out are counted in the log. Further columns come into the instance's metadata.

    A CSV file is UTF-8 or UTF-16, its columns set apart by commas, semicolons or tabs; names of
    columns are found in upper and lower case, blanks around names and cells do not count, and empty
    cells at the end of a row may be absent. Files named .jsonl, .ndjson or .json hold one JSON
    object a line, or a list of objects. A class name is taken in Unicode's composed form (NFC), and
    a path in the form that the disk has. A missing label column is reported with the columns
    of the table. All bad rows are reported at once, with their line numbers.

    Args:
        augmentation: Transforms, applied to each image in the order given. Default: none.
        split: Read only the rows of this split, where the path does not name one. Default: all.
        path_column: Name of the column with the path of the image, which must be there.
        label_column: Name of the column with the class name.
        id_column: Name of the column with the id.
        split_column: Name of the column with the split.
        labels_column: Name of the column with the names of several classes.
        check_files: If true, a row whose file does not exist is a bad row; if false, the missing
            file is found when the image is needed, and counts as unreadable.
        kwargs: The parameters that all readers have.
    """

    layout: ClassVar[str] = "a CSV file with a header or JSON lines, one image a row"
    expects_labels = True
    """Whether a table without a column of labels is worth a warning."""

    def __init__(
        self,
        augmentation: list[ImageTransform] | None = None,
        split: str | None = None,
        path_column: str = "path",
        label_column: str = _LABEL,
        id_column: str = "id",
        split_column: str = "split",
        check_files: bool = True,
        labels_column: str = "labels",
        **kwargs: Any,
    ) -> None:
        super().__init__(augmentation, **kwargs)
        self.split = split
        self.columns = Columns(path_column, label_column, id_column, split_column, labels_column)
        names = [*astuple(self.columns)]
        if len(set(names)) < len(names):
            raise ConfigurationError(f"expected five different column names, found {names}")
        self.check_files = check_files

    @overrides
    def _read(self, path: Path) -> Iterable[Instance]:
        location, part = split_path(path)
        if (location / LABELS_NAME).is_file():
            location /= LABELS_NAME
        if not location.is_file():
            found = "a folder" if location.is_dir() else "nothing"
            raise DataError(
                f"{location}: expected a CSV or JSON lines file, or a folder with {LABELS_NAME}, "
                f"found {found}"
            )
        table = read_table(location, [*astuple(self.columns)])
        self._check_columns(location, table)
        checked = _CheckedRows(location, self.columns, self.check_files)
        rows = rows_of_split(table, self.columns.split, part or self.split, location)
        instances = [instance for row in rows if (instance := checked.instance(row)) is not None]
        if any(instance.boxes is not None for instance in instances):
            instances = checked.of_boxes(instances)
        # All at once: a table of thousands of rows is corrected in one go
        raise_problems(location, checked.problems)
        return instances

    def _check_columns(self, path: Path, table: Table) -> None:
        table.require(
            path, [self.columns.path], "; path_column of the dataset reader names the one to read"
        )
        label = self.columns.label
        is_there = {label, self.columns.labels} & {*table.columns}
        if is_there or not table.rows or not self.expects_labels:
            return
        found = listed_columns(table.columns)
        hint = did_you_mean(label, [name for name in table.columns if name != self.columns.path])
        message = f'no column "{label}", so no image has a label; found {found}'
        # A column that the config names must be there; a table without the usual one has no labels
        if label != _LABEL:
            raise DataError(f"{path}: {message}{hint}")
        logger.warning("%s: %s%s; label_column of the reader names it", path, message, hint)


class _CheckedRows:
    """Converts rows to instances and collects their problems."""

    def __init__(self, path: Path, columns: Columns, check_files: bool) -> None:
        self.problems: list[str] = []
        self._folder = path.parent
        self._columns = columns
        self._check_files = check_files
        self._first_of_id: dict[str, tuple[str, str]] = {}

    def instance(self, row: Row) -> Instance | None:
        try:
            return self._instance(row)
        except ValueError as error:
            self.problems.append(f"{row.place}: {error}")
            return None

    def of_boxes(self, instances: Iterable[Instance]) -> list[Instance]:
        """Return the images of a table of boxes, where an empty list says that none is there."""
        found = []
        for one in instances:
            if one.label is not None or one.labels:
                names = one.label or ", ".join(one.labels or ())
                self.problems.append(
                    f"{one.id}: expected boxes, as other rows have them, found the class {names}"
                )
            is_empty = one.labels is not None
            found.append(replace(one, labels=None, boxes=(), box_labels=()) if is_empty else one)
        return found

    def _instance(self, row: Row) -> Instance:
        columns = self._columns
        if row.problem is not None:
            raise ValueError(row.problem)
        label, id = (cell_text(row.values, name) for name in (columns.label, columns.id))
        found = file_of_cell(row.values, columns.path, self._folder)
        if found is None:
            raise ValueError(f"{columns.path}: expected the path of an image, found nothing")
        path, file = found
        id = id or self._id_of(file, path)
        # Twice the same id would train and count one image twice, perhaps with two labels
        first, first_label = self._first_of_id.setdefault(id, (row.place, label))
        if first != row.place:
            other = "" if label == first_label else f", labeled {repr_json(first_label)}"
            raise ValueError(f'the id "{id}" is already in {first}{other}')
        if self._check_files and not file.is_file():
            raise ValueError(f"no file at {shown_path(file)}{absence_hint(str(file))}")
        known = (columns.path, columns.label, columns.id, columns.labels)
        metadata = {key: value for key, value in row.values.items() if key not in known}
        if _lists_boxes(label):
            fault = boxes_problem(label)
            if fault is not None:
                raise ValueError(f"{columns.label}: {fault}")
            return with_boxes(Instance(id, file, metadata=metadata), label)
        several = _names(row.values.get(columns.labels), columns.labels)
        if several is None and (found_names := _listed_names(label)) is not None:
            several, label = found_names, ""
        return Instance(id, file, label or None, metadata=metadata, labels=several)

    def _id_of(self, file: Path, written: str) -> str:
        # Found under another spelling or by another root: the id is that of the file, so that it
        # stays
        is_other = class_name(str(self._folder / written)) != class_name(str(file))
        folder = self._folder
        if Path(written).is_absolute():
            folder = folder.absolute()  # the table may have been given by a relative path
        if (Path(written).is_absolute() or is_other) and file.is_relative_to(folder):
            return file.relative_to(folder).as_posix()
        return Path(written).as_posix()


def _names(value: Any, column: str) -> tuple[str, ...] | None:
    """Return the class names in a cell; None for an empty one.

    Raises:
        ValueError: It holds something else.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    names = value
    if isinstance(value, str):
        names = _listed_names(value)
        if names is None:
            names = [name for name in value.split(_SEPARATOR) if name.strip()] or [value]
    if not isinstance(names, list | tuple) or not all(
        isinstance(name, str) and name.strip(f" {_SEPARATOR}") for name in names
    ):
        raise ValueError(f'{column}: expected names such as ["cat", "dog"], found {value!r}')
    return tuple(names)


def _lists_boxes(text: str) -> bool:
    """Return whether a text is a JSON array of boxes, perhaps with something wrong in it."""
    if not text.startswith("[") or "{" not in text:
        return False
    try:
        boxes = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(boxes, list) and any(isinstance(box, dict) for box in boxes)


def _listed_names(text: str) -> tuple[str, ...] | None:
    """Return the strings of a JSON array; None for any other text."""
    if not text.startswith("["):
        return None
    try:
        names = json.loads(text)
    except ValueError:
        return None
    is_names = isinstance(names, list) and all(isinstance(n, str) and n.strip() for n in names)
    return tuple(names) if is_names else None
