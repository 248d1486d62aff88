"""Inputs of `allencv-al predict`: JSON lines, lists of files, folders, images, datasets."""

from __future__ import annotations

import io
import json
import logging
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from allencv_al.common.errors import DataError
from allencv_al.common.files.json_values import repr_json
from allencv_al.common.files.paths import (
    absent,
    expanded,
    path_problem,
    written_path,
)
from allencv_al.common.files.tables import CSV_SUFFIXES, JSON_SUFFIXES, Row, parse_table
from allencv_al.common.files.text_files import decode_text, is_text
from allencv_al.common.process import standard_input
from allencv_al.data.dataset_readers.base import Dataset
from allencv_al.data.dataset_readers.image_files import count_images, is_image_name
from allencv_al.data.dataset_readers.image_tables import PATH_COLUMNS, file_of_row, is_path_table

logger = logging.getLogger(__name__)

STANDARD_INPUT = "-"
# Not only "[": "[2021] a.jpg" is a file name
_JSON_LIST = re.compile(rb"\[\s*([\[\]{\"]|$)")
MAX_LINE_BYTES = 256 << 20  # an image of 20 megapixels as a list of numbers


@dataclass(frozen=True, slots=True)
class PredictItem:
    """One input.

    Args:
        value: Input of the predictor (a JSON object, a path or an instance), or its error.
        on_success: Fields of the output line besides the prediction.
        on_failure: Fields of the output line besides the error.
    """

    value: Any
    on_success: dict[str, Any] = field(default_factory=dict)
    on_failure: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PredictInput:
    """All inputs, and their number if it is known."""

    items: Iterable[PredictItem]
    total: int | None = None


def open_input(text: str) -> PredictInput:
    """Open the inputs that the argument INPUT names.

    Args:
        text: A folder of images (read at any depth, in sorted order), an image, a table with a
            column of paths, JSON objects (one a line, in a list, or over several lines), a text
            file whose lines are paths of images, or `-` for all but a folder and an image on stdin.

    Raises:
        DataError: The path does not exist, or holds no images or no column of paths.
    """
    if not text:  # an unset variable of a script must not read the current folder
        raise DataError('INPUT: expected a path, found ""')
    if text == STANDARD_INPUT:
        return PredictInput(_items(standard_input(), "stdin", Path()))
    path = written_path(text)
    if path.is_dir():
        return _folder(path)
    if not path.exists():
        raise DataError(absent(text, "file or folder"))
    if path.suffix.lower() in CSV_SUFFIXES:
        return _table(path.read_bytes(), text, path.parent)
    is_json = path.suffix.lower() in JSON_SUFFIXES
    if is_image_name(path.name) or (not is_json and _looks_binary(path)):
        return PredictInput([_path_item(text)], 1)
    return PredictInput(_file_items(path))


def dataset_input(dataset: Dataset) -> PredictInput:
    """Return the instances of a dataset reader as inputs."""
    items = (
        PredictItem(instance, {"id": instance.id}, {"id": instance.id}) for instance in dataset
    )
    return PredictInput(items, len(dataset))


def _folder(folder: Path) -> PredictInput:
    names, skipped = count_images(folder)
    if not names:
        raise DataError(
            f"{folder}: found no images in this folder, at any depth; skipped: {skipped}"
        )
    if skipped.counts:
        logger.info("%s: %d images; skipped: %s", folder, len(names), skipped)
    return PredictInput((_path_item(str(folder / name)) for name in names), len(names))


def _path_item(path: str, **on_failure: Any) -> PredictItem:
    name = {"image_path": path}
    problem = path_problem(path)
    value = written_path(path) if problem is None else DataError(problem)
    return PredictItem(value, name, {**name, **on_failure})


def _looks_binary(path: Path) -> bool:
    with path.open("rb") as file:
        return not is_text(file.read(1024))


def _file_items(path: Path) -> Iterator[PredictItem]:
    with path.open("rb") as file:
        yield from _items(file, str(path), path.parent)


def _items(file: IO[bytes], where: str, folder: Path) -> Iterator[PredictItem]:
    """Yield the inputs in a file; one with an object or a path per line is streamed."""
    before = b""  # blank lines
    while (first := file.readline(MAX_LINE_BYTES + 1)) and not _bare(first):
        before += first
    start = _bare(first)
    if b"\r" in start:  # line ends of classic Mac OS
        content = re.sub(rb"\r\n?", b"\n", before + first + file.read())
        yield from _items(io.BytesIO(content), where, folder)
        return
    if b"\0" in first[:1024]:  # UTF-16
        text = decode_text(before + first + file.read(), where)
        yield from _items(io.BytesIO(text.encode("utf-8", "surrogatepass")), where, folder)
    elif _JSON_LIST.match(start) or (start.startswith(b"{") and not _is_one_object(start)):
        yield from _json_items(before + first + file.read(), where, folder)
    elif is_path_table(where, start[:4096].decode("utf-8", "replace")):
        yield from _table(before + first + file.read(), where, folder).items
    else:
        yield from _line_items(file, folder, first, before.count(b"\n") + 1)


def _bare(line: bytes) -> bytes:
    return line.removeprefix(b"\xef\xbb\xbf").strip()


def _is_one_object(line: bytes) -> bool:
    try:
        return len(line) > MAX_LINE_BYTES or isinstance(json.loads(line), dict)
    except RecursionError:
        return True
    except ValueError:
        return False


def _table(content: bytes, where: str, folder: Path) -> PredictInput:
    table = parse_table(decode_text(content, where), where, PATH_COLUMNS)
    table.require(where, PATH_COLUMNS)
    return PredictInput((_row_item(row, folder) for row in table.rows), len(table.rows))


def _row_item(row: Row, folder: Path) -> PredictItem:
    try:
        _, file = file_of_row(row, folder)
    except ValueError as error:
        return PredictItem(DataError(str(error)), on_failure={row.unit: row.line})
    name = {"image_path": str(file)}
    return PredictItem(file, name, {**name, row.unit: row.line})


def _json_items(content: bytes, where: str, folder: Path) -> Iterator[PredictItem]:
    """Yield the objects of a JSON list, or of JSON over several lines."""
    text = decode_text(content, where)
    rows = parse_table(text, where, (), is_json=True).rows
    if any(row.problem for row in rows):  # JSON lines after all, some of them invalid
        yield from _line_items(io.BytesIO(text.encode("utf-8", "surrogatepass")), folder)
        return
    for row in rows:
        yield _object_item(dict(row.values), {row.unit: row.line}, folder)


def _line_items(
    file: IO[bytes], folder: Path = Path(), first: bytes = b"", number: int = 1
) -> Iterator[PredictItem]:
    """Yield the lines of a file; the first one, with this number, may have been read already."""
    line = first or file.readline(MAX_LINE_BYTES + 1)
    while line:
        if len(line) > MAX_LINE_BYTES:
            while line and not line.endswith(b"\n"):
                line = file.readline(MAX_LINE_BYTES)
            error = DataError(f"the line has more than {MAX_LINE_BYTES} bytes")
            yield PredictItem(error, on_failure={"line": number})
        elif stripped := _bare(line):
            yield _line_item(stripped, number, folder)
        number += 1
        line = file.readline(MAX_LINE_BYTES + 1)


def _is_json_value(line: bytes) -> bool:
    """Return whether a line that begins with a bracket is a list of JSON, and no path."""
    try:
        return line.startswith(b"[") and json.loads(line) is not None
    except (ValueError, RecursionError):
        return False


def _line_item(line: bytes, number: int, folder: Path) -> PredictItem:
    on_failure: dict[str, Any] = {"line": number}
    if not (line.startswith(b"{") or _JSON_LIST.match(line) or _is_json_value(line)):
        # File names need not be UTF-8; surrogateescape restores their bytes for the system.
        return _path_item(line.decode("utf-8", "surrogateescape"), **on_failure)
    try:
        value = json.loads(line)
    except RecursionError:
        return PredictItem(DataError("not a JSON object: nested too deep"), on_failure=on_failure)
    except ValueError as error:
        return PredictItem(DataError(f"not a JSON object: {error}"), on_failure=on_failure)
    return _object_item(value, on_failure, folder)


def _object_item(value: Any, on_failure: dict[str, Any], folder: Path) -> PredictItem:
    if not isinstance(value, dict):
        error = DataError(f"expected a JSON object, found {repr_json(value)}")
        return PredictItem(error, on_failure=on_failure)
    name, key = _path_key(value)
    if name is None or "image" in value:
        return PredictItem(value, on_failure=on_failure)
    path: str = value[key]
    on_failure = {**on_failure, "image_path": path}
    is_blank = not path.strip()
    problem = "expected the path of an image, found nothing" if is_blank else None
    problem = problem or path_problem(path) or _problem_with_text(path)
    if problem is not None:
        return PredictItem(DataError(f"{name}: {problem}"), on_failure=on_failure)
    if name == "image_path":
        file = written_path(path)
        changed = path if file == expanded(path) else str(file)
        renamed = {name if each == key else each: other for each, other in value.items()}
        return PredictItem({**renamed, name: changed}, on_failure=on_failure)
    file = written_path(path, folder)  # a row of a manifest, whose paths start at the table
    return PredictItem(file, {"image_path": str(file)}, {**on_failure, "image_path": str(file)})


def _path_key(value: dict[Any, Any]) -> tuple[str | None, str]:
    """Return the column of paths of an object, and its key, whose case may differ."""
    for name in reversed(PATH_COLUMNS):
        for key in (name, *value):
            if isinstance(value.get(key), str) and key.strip().casefold() == name:
                return name, key
    return None, ""


def _problem_with_text(path: str) -> str | None:
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return f"expected Unicode text, found {path[:200]!a}"
    return None
