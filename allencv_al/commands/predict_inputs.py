"""What `allencv-al predict` reads: JSON lines, lists of files, folders, images, datasets."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from allencv_al.common.errors import AllenCVError, DataError
from allencv_al.data.dataset_readers.dataset import Dataset
from allencv_al.data.dataset_readers.image_files import count_images, is_image_name

logger = logging.getLogger(__name__)

STANDARD_INPUT = "-"
MAX_LINE_BYTES = 256 << 20  # an image of 20 megapixels as a list of numbers


@dataclass(frozen=True, slots=True)
class PredictItem:
    """One input.

    Args:
        value: What the predictor takes: a JSON object, a path or an instance; or the error that
            stands in its place.
        on_success: What the output line says besides the prediction.
        on_failure: What the output line says besides the error.
    """

    value: Any
    on_success: dict[str, Any] = field(default_factory=dict)
    on_failure: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PredictInput:
    """All inputs, and how many there are where that is known."""

    items: Iterable[PredictItem]
    total: int | None = None


def open_input(text: str) -> PredictInput:
    """Open what the argument INPUT names.

    Args:
        text: A folder of images (read at any depth, in sorted order), an image, a text file whose
            lines are JSON objects or paths of images, or `-` for such lines on stdin.

    Raises:
        DataError: There is nothing of that name, or no image in it.
    """
    if text == STANDARD_INPUT:
        return PredictInput(_line_items(sys.stdin.buffer))
    path = Path(text).expanduser()
    if path.is_dir():
        return _folder(path)
    if not path.exists():
        raise DataError(f"{text}: there is no such file or folder")
    if is_image_name(path.name) or _looks_binary(path):
        return PredictInput([_path_item(text)], 1)
    return PredictInput(_file_items(path))


def dataset_input(dataset: Dataset) -> PredictInput:
    """Take the instances that a dataset reader found."""
    items = (
        PredictItem(instance, {"id": instance.id}, {"id": instance.id}) for instance in dataset
    )
    return PredictInput(items, len(dataset))


def _folder(folder: Path) -> PredictInput:
    names, skipped = count_images(folder)
    if not names:
        raise DataError(
            f"{folder}: found no images in this folder, at any depth; passed over: {skipped}"
        )
    logger.info("%s: %d images; passed over: %s", folder, len(names), skipped)
    return PredictInput((_path_item(str(folder / name)) for name in names), len(names))


def _path_item(path: str, **on_failure: Any) -> PredictItem:
    name = {"image_path": path}
    return PredictItem(Path(path).expanduser(), name, {**name, **on_failure})


def _looks_binary(path: Path) -> bool:
    with path.open("rb") as file:
        return b"\0" in file.read(1024)


def _file_items(path: Path) -> Iterator[PredictItem]:
    with path.open("rb") as file:
        yield from _line_items(file)


def _line_items(file: IO[bytes]) -> Iterator[PredictItem]:
    number = 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            while line and not line.endswith(b"\n"):
                line = file.readline(MAX_LINE_BYTES)
            error = DataError(f"the line has more than {MAX_LINE_BYTES} bytes")
            yield PredictItem(error, on_failure={"line": number})
        elif stripped := line.removeprefix(b"\xef\xbb\xbf").strip():
            yield _line_item(stripped, number)


def _line_item(line: bytes, number: int) -> PredictItem:
    if not line.startswith(b"{"):
        # Names of files need not be UTF-8; surrogateescape gives the system its own bytes back.
        return _path_item(line.decode("utf-8", "surrogateescape"), line=number)
    value: dict[str, Any] | AllenCVError
    try:
        value = json.loads(line)
    except RecursionError:
        value = DataError("not a JSON object: nested too deep")
    except ValueError as error:
        value = DataError(f"not a JSON object: {error}")
    on_failure: dict[str, Any] = {"line": number}
    if isinstance(value, dict) and isinstance(value.get("image_path"), str):
        on_failure["image_path"] = value["image_path"]
    return PredictItem(value, on_failure=on_failure)
