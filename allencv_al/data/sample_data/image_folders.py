"""A data set of images written into folders, each split whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from allencv_al.common.errors import DataError
from allencv_al.common.files.atomic_file import atomic_directory, sweep_temporaries

Files = Mapping[str, NDArray[np.uint8] | bytes]
"""Pixels, `[H, W]` or `[H, W, 3]`, or the content of other files, by relative file name:
`cat/1.png`."""


def write_image_folders(directory: str | Path, splits: Mapping[str, Files], noun: str) -> Path:
    """Write images, and files beside them, as `directory/SPLIT/FOLDER/NAME`.

    A split that is complete is left as it is, and a directory that an interrupted run has left is
    completed.

    Args:
        directory: A folder that does not exist, is empty, or holds this data set.
        splits: The files of each split.
        noun: The files' name for messages: `digits`.

    Returns:
        The directory.

    Raises:
        DataError: The directory holds something else.
    """
    root = Path(directory).expanduser()
    if root.exists():
        _check_is_ours(root, splits, noun)
    sweep_temporaries(root)
    for split, files in splits.items():
        if not (root / split).exists():
            with atomic_directory(root / split) as folder:
                _write_split(folder, files)
    return root


def _write_split(folder: Path, files: Files) -> None:
    for name, content in sorted(files.items()):
        file = folder / name
        file.parent.mkdir(exist_ok=True)
        if isinstance(content, bytes):
            file.write_bytes(content)
        else:
            Image.fromarray(content).save(file)


def _check_is_ours(root: Path, splits: Mapping[str, Files], noun: str) -> None:
    if not root.is_dir():
        raise DataError(f"{root}: expected a folder to write the {noun} to, found a file")
    for entry in sorted(root.iterdir()):
        if entry.name.startswith("."):
            continue  # a killed run's temporary folder, or what a file browser leaves
        if entry.name not in splits:
            raise DataError(f"{root}: expected an empty folder, found {entry.name} in it")
        found = {
            file.relative_to(entry).as_posix()
            for file in entry.rglob("*")
            if file.is_file() and not file.name.startswith(".")
        }
        expected = splits[entry.name]
        if found != set(expected):
            raise DataError(
                f"{entry}: expected the {len(expected)} {noun} of this split or nothing, "
                f"found {len(found)} files; remove the folder to have it written again"
            )
