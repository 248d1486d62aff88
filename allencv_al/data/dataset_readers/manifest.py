"""A table of images: CSV or JSON lines with paths and labels."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from overrides import overrides

from allencv_al.common.errors import ConfigurationError, DataError
from allencv_al.data.dataset_readers.base import DatasetReader
from allencv_al.data.dataset_readers.manifest_rows import Row, read_rows
from allencv_al.data.dataset_readers.skipped import raise_problems
from allencv_al.data.dataset_readers.split_path import split_path
from allencv_al.data.instance import Instance
from allencv_al.data.transforms import ImageTransform

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Columns:
    """What the columns are called."""

    path: str
    label: str
    id: str
    split: str


@DatasetReader.register("manifest")
class ManifestReader(DatasetReader):
    """Read the images that a table lists: a CSV file with a header, or JSON lines.

        path,label,split
        photos/0001.jpg,cat,train
        photos/0002.jpg,dog,test
        photos/0003.jpg,,train

    A path that is not absolute starts at the table's folder. An empty label is an unlabeled image.
    Without an id column the id is the path as written. Which rows of a table with splits are meant
    can stand behind two colons, so that one reader serves all paths of a config:
    `train_data_path: "images.csv::train"`. Further columns come into the instance's metadata.

    A CSV file is UTF-8, with or without a byte order mark, its columns set apart by commas,
    semicolons or tabs. Files named .jsonl, .ndjson or .json hold one JSON object a line. All bad
    rows are told at once, with their line numbers.

    Args:
        augmentation: Transforms, applied to each image in the order given. Default: none.
        split: Read only the rows of this split, where the path does not name one. Default: all.
        path_column: Name of the column with the path of the image, which must be there.
        label_column: Name of the column with the class name.
        id_column: Name of the column with the id.
        split_column: Name of the column with the split.
        check_files: If true, a row whose file does not exist is a bad row; if false, the missing
            file is found when the image is needed, and counts as unreadable.
        kwargs: The parameters that all readers have.
    """

    layout: ClassVar[str] = "a CSV file with a header or JSON lines, one image a row"

    def __init__(
        self,
        augmentation: list[ImageTransform] | None = None,
        split: str | None = None,
        path_column: str = "path",
        label_column: str = "label",
        id_column: str = "id",
        split_column: str = "split",
        check_files: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(augmentation, **kwargs)
        self.split = split
        self.columns = Columns(path_column, label_column, id_column, split_column)
        names = [path_column, label_column, id_column, split_column]
        if len(set(names)) < len(names):
            raise ConfigurationError(f"expected four different column names, found {names}")
        self.check_files = check_files

    @overrides
    def _read(self, path: Path) -> Iterable[Instance]:
        location, part = split_path(path)
        if not location.is_file():
            found = "a folder" if location.is_dir() else "nothing"
            raise DataError(f"{location}: expected a CSV or JSON lines file, found {found}")
        rows = self._rows_of_split(location, part or self.split)
        checked = _CheckedRows(location, self.columns, self.check_files)
        instances = [instance for row in rows if (instance := checked.instance(row)) is not None]
        raise_problems(location, checked.problems)
        return instances

    def _rows_of_split(self, path: Path, split: str | None) -> Iterator[Row]:
        rows = list(read_rows(path, self.columns.path))
        name = self.columns.split
        splits = Counter(str(row.values.get(name) or "") for row in rows if not row.problem)
        named = ", ".join(f'"{key}" ({count})' for key, count in sorted(splits.items()) if key)
        if split is not None and splits and not splits[split]:
            raise DataError(
                f'{path}: no rows of split "{split}"; its column "{name}" has {named or "no value"}'
            )
        if split is None and len(splits) > 1:
            logger.warning("%s: reading the rows of all splits: %s", path, named)
        for row in rows:
            if split is None or row.problem or str(row.values.get(name) or "") == split:
                yield row


class _CheckedRows:
    """Turns rows into instances and keeps what is wrong with them."""

    def __init__(self, path: Path, columns: Columns, check_files: bool) -> None:
        self.problems: list[str] = []
        self._folder = path.parent
        self._columns = columns
        self._check_files = check_files
        self._line_of_id: dict[str, int] = {}

    def instance(self, row: Row) -> Instance | None:
        columns = self._columns
        texts = {name: row.values.get(name) for name in (columns.path, columns.label, columns.id)}
        problem = row.problem or _problem_with_form(texts, columns.path)
        if problem is None:
            path, label, id = (_text(value) for value in texts.values())
            file = self._folder / path
            id = id or self._id_of(file, path)
            problem = self._problem_with(file, id, row.line)
        if problem is not None:
            self.problems.append(f"line {row.line}: {problem}")
            return None
        metadata = {key: value for key, value in row.values.items() if key not in texts}
        return Instance(id, file, label or None, metadata=metadata)

    def _id_of(self, file: Path, written: str) -> str:
        if Path(written).is_absolute() and file.is_relative_to(self._folder):
            return file.relative_to(self._folder).as_posix()
        return Path(written).as_posix()

    def _problem_with(self, file: Path, id: str, line: int) -> str | None:
        first = self._line_of_id.setdefault(id, line)
        if first != line:
            return f'the id "{id}" is already in line {first}'
        if self._check_files and not file.is_file():
            return f"no file at {file}"
        return None


def _problem_with_form(values: Mapping[str, Any], path_column: str) -> str | None:
    for name, value in values.items():
        if isinstance(value, bool | float | list | dict):
            return f'{name}: expected a text, found "{value}"'
    if not _text(values[path_column]):
        return f"{path_column}: expected the path of an image, found nothing"
    return None


def _text(value: Any) -> str:
    return "" if value is None else str(value)
