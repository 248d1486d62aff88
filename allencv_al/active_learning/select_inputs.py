"""What `allencv-al select` chooses from, and what is labeled: folders, tables, lists of files."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from allencv_al.active_learning.known_labels import read_labeled
from allencv_al.common.errors import DataError
from allencv_al.data.dataset_readers.image_files import is_image_name, scan_images
from allencv_al.data.dataset_readers.instance_ids import (
    check_ids_are_unique,
    encodable,
    path_id,
)
from allencv_al.data.dataset_readers.manifest import ManifestReader
from allencv_al.data.dataset_readers.manifest_rows import DELIMITERS, JSON_LINES
from allencv_al.data.dataset_readers.skipped import Skipped, SkippedCount, raise_problems
from allencv_al.data.dataset_readers.split_path import split_path
from allencv_al.data.instance import Instance

logger = logging.getLogger(__name__)

STANDARD_INPUT = "-"
_TABLES = (".csv", ".tsv")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read_pool(text: str) -> list[Instance]:
    """List the images that the argument POOL names; none is decoded.

    Args:
        text: A folder (images at any depth, in sorted order; ids are the relative paths); a table
            as the reader `manifest` takes it; JSON lines with `image_path`; a text file whose
            lines are paths of images; or `-` for such lines on stdin. Rows may have labels.

    Raises:
        DataError: There is no such thing, no image in it, or a line is wrong; all are told.
    """
    if not text:  # an unset variable of a script must not read the current folder
        raise DataError('POOL: expected a path, found ""')
    if text == STANDARD_INPUT:
        return _listed(sys.stdin.buffer.read(), "stdin")
    location, part = split_path(text)
    if location.is_dir() and part is None:
        return _folder(location)
    if not location.is_file():
        raise DataError(f"{text}: there is no such file or folder{_reader_hint(location)}")
    head = _head(location)
    if is_image_name(location.name) or b"\0" in head:
        raise DataError(
            f"{text}: expected a folder, a table or a list of image files to choose from, found "
            f"one image or a file of another kind{_reader_hint(location)}"
        )
    if part is not None or _is_table(location, head):
        # A file that is not there counts as unreadable, as it does in the other forms of POOL
        return list(ManifestReader(check_files=False).read(text))
    return _listed(location.read_bytes(), text)


def separate(
    pool: Sequence[Instance], labeled_text: str | None
) -> tuple[list[Instance], list[Instance]]:
    """Return what may be chosen, and what is labeled.

    Args:
        pool: The images of POOL. Those with a label are taken as labeled.
        labeled_text: What `--labeled` names; its labels come before those of POOL.

    Raises:
        DataError: Everything is labeled, or the labels cannot be read.
    """
    labeled = [] if labeled_text is None else read_labeled(labeled_text, pool)
    known = {instance.id for instance in labeled}
    labeled += [item for item in pool if item.label is not None and item.id not in known]
    known |= {instance.id for instance in labeled}
    rest = [instance for instance in pool if instance.id not in known]
    if not rest:
        raise DataError(f"all {len(pool)} images of the pool are labeled: none is left to choose")
    return rest, labeled


def _folder(folder: Path) -> list[Instance]:
    skipped = SkippedCount()
    names = []
    for name in scan_images(folder):
        if isinstance(name, Skipped):
            skipped.add(name)
        else:
            names.append(name)
    if not names:
        raise DataError(
            f"{folder}: found no images in this folder, at any depth; passed over: {skipped}"
            f"{_reader_hint(folder)}"
        )
    logger.info("%s: %d images; passed over: %s", folder, len(names), skipped)
    return [Instance(encodable(name), folder / name) for name in names]


def _reader_hint(location: Path) -> str:
    if location.suffix in _TABLES + JSON_LINES:
        return ""
    return "; --use-dataset-reader lets the archive's reader read it"


def _head(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(4096).removeprefix(_BYTE_ORDER_MARK).lstrip()


def _is_table(file: Path, head: bytes) -> bool:
    """Say whether the reader `manifest` takes the file: by its name, its header or its keys."""
    suffix = file.suffix.lower()
    if head.startswith(b"{"):
        first = _json_object(file.read_bytes().removeprefix(_BYTE_ORDER_MARK).lstrip())
        return suffix in JSON_LINES and "path" in first and "image_path" not in first
    header = head.partition(b"\n")[0].decode("utf-8", "replace").strip()
    cells = [{cell.strip() for cell in header.split(delimiter)} for delimiter in DELIMITERS]
    return suffix in _TABLES + JSON_LINES or any("path" in names for names in cells)


def _json_object(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content.partition(b"\n")[0])
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _listed(content: bytes, where: str) -> list[Instance]:
    problems: list[str] = []
    instances = list(_items(content.removeprefix(_BYTE_ORDER_MARK), problems))
    raise_problems(where, problems)
    if not instances:
        raise DataError(f"{where}: expected the paths of images, one a line, found nothing")
    check_ids_are_unique(where, instances)
    return instances


def _items(content: bytes, problems: list[str]) -> Iterator[Instance]:
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not (stripped := line.strip()):
            continue
        if not stripped.startswith(b"{"):
            path = os.fsdecode(stripped)  # names of files need not be UTF-8
            yield Instance(encodable(path_id(path)), Path(path).expanduser())
            continue
        try:
            yield _json_item(stripped)
        except (ValueError, RecursionError) as error:
            problems.append(f"line {number}: {error or 'nested too deep'}")


def _json_item(line: bytes) -> Instance:
    try:
        values = json.loads(line)
    except ValueError as error:
        raise ValueError(f"not a JSON object: {error}") from None
    path = values.get("image_path")
    if not isinstance(path, str) or not path:
        raise ValueError(f'expected {{"image_path": path}}, found the keys {", ".join(values)}')
    for key in ("id", "label"):
        if not isinstance(values.get(key), str | int | None) or values.get(key) is True:
            raise ValueError(f"{key}: expected a text, found {values[key]}")
    id = str(values.get("id") or path_id(path))
    label = None if values.get("label") in (None, "") else str(values["label"])
    return Instance(encodable(id), Path(path).expanduser(), label)
