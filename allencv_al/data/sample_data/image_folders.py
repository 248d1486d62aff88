"""A data set of images written as class folders, each split whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from allencv_al.common.errors import DataError
from allencv_al.common.files.atomic_file import atomic_directory, sweep_temporaries

Images = Mapping[str, NDArray[np.uint8]]
"""Pixels, `[H, W]` or `[H, W, 3]`, by relative file name: `cat/1.png`."""


def write_image_folders(directory: str | Path, splits: Mapping[str, Images], noun: str) -> Path:
    """Write images as `directory/SPLIT/CLASS/NAME.png`.

    A split that is complete is left as it is, and a directory that an interrupted run has left is
    completed.

    Args:
        directory: A folder that does not exist, is empty, or holds this data set.
        splits: The images of each split.
        noun: The images' name for messages: `digits`.

    Returns:
        The directory.

    Raises:
        DataError: The directory holds something else.
    """
    root = Path(directory).expanduser()
    if root.exists():
        _check_is_ours(root, splits, noun)
    sweep_temporaries(root)
    for split, images in splits.items():
        if not (root / split).exists():
            with atomic_directory(root / split) as folder:
                _write_split(folder, images)
    return root


def _write_split(folder: Path, images: Images) -> None:
    for name, pixels in sorted(images.items()):
        file = folder / name
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(file)


def _check_is_ours(root: Path, splits: Mapping[str, Images], noun: str) -> None:
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
        images = splits[entry.name]
        if found != set(images):
            raise DataError(
                f"{entry}: expected the {len(images)} {noun} of this split or nothing, "
                f"found {len(found)} files; remove the folder to have it written again"
            )
