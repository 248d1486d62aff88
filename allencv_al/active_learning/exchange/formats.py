"""The formats by their names, and which one a file has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from allencv_al.active_learning.exchange import FORMATS
from allencv_al.active_learning.exchange.class_folders import read_class_folders
from allencv_al.active_learning.exchange.label_studio import from_label_studio, to_label_studio
from allencv_al.active_learning.exchange.label_studio_min import (
    from_label_studio_min,
    is_min,
    to_label_studio_min,
)
from allencv_al.active_learning.exchange.record import LabelRecord, strict_json
from allencv_al.active_learning.exchange.tables import (
    from_csv,
    from_json_lines,
    to_csv,
    to_json_lines,
)
from allencv_al.common.errors import DataError

FOLDERS = "folders"


class TextFormat(NamedTuple):
    """A format that is one text file.

    Args:
        write: Makes the text of records.
        read: Makes records of the text; the second argument is what messages call the file.
    """

    write: Callable[[Sequence[LabelRecord]], str]
    read: Callable[[str, str], list[LabelRecord]]


TEXT_FORMATS = {
    "csv": TextFormat(to_csv, from_csv),
    "jsonl": TextFormat(to_json_lines, from_json_lines),
    "label-studio": TextFormat(to_label_studio, from_label_studio),
    "label-studio-min": TextFormat(to_label_studio_min, from_label_studio_min),
}

_SUFFIXES = {".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}


def format_of(path: Path) -> str:
    """Return the name of the format that a file or a folder has.

    Raises:
        DataError: It cannot be told.
    """
    if path.is_dir():
        return FOLDERS
    suffix = path.suffix.lower()
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    if suffix != ".json":
        raise DataError(f"{path}: which format is it? --format says one of {', '.join(FORMATS)}")
    try:
        value = strict_json(_text_of(path))
    except ValueError as error:
        raise DataError(f"{path}: expected JSON: {error}") from None
    return "label-studio-min" if is_min(value) else "label-studio"


def read_file(path: Path, name: str) -> list[LabelRecord]:
    """Return the records of a file or folder.

    Args:
        path: The file, or the folder.
        name: Its format.

    Raises:
        DataError: It is not of this format, or entries are wrong.
    """
    if name == FOLDERS:
        return read_class_folders(path)
    return TEXT_FORMATS[name].read(_text_of(path), str(path))


def _text_of(path: Path) -> str:
    try:
        # read_text() would change the ends of lines, also those that stand in names
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: expected UTF-8, found another byte at {error.start}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
