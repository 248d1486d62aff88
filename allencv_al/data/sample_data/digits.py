"""Scikit-learn's handwritten digits as class folders of PNG files; nothing is downloaded."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from allencv_al.data.sample_data.image_folders import write_image_folders

# Of each class; the rest trains. 15 % is about 270 images, which tells accuracies apart to 1 %.
SPLIT_FRACTIONS = {"test": 0.15, "validation": 0.15}
SPLITS = ("train", "validation", "test")
UNSPLIT = "all"
BRIGHTEST = 16  # the digits are 4x4 pixel counts: 0..16


def write_digits(directory: str | Path, split: bool = True) -> Path:
    """Write the 1,797 digits as `directory/{train,validation,test}/{0..9}/*.png`.

    The images are 8x8, gray, their values 0..16 scaled to 0..255. The split is stratified and the
    same on every machine; a file's name holds the image's number in scikit-learn's data set
    (E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998). A directory
    that is complete is left as it is, and one that an interrupted run has left is completed.

    Args:
        directory: A folder that does not exist, is empty, or holds this data set.
        split: If false, all of them lie in `directory/all/{0..9}`.

    Returns:
        The directory.

    Raises:
        DataError: The directory holds something else.
    """
    from sklearn.datasets import load_digits

    images, classes = load_digits(return_X_y=True)
    pixels = np.rint(images.reshape(-1, 8, 8) * (255 / BRIGHTEST)).astype(np.uint8)
    files = _files_by_split(classes)
    if not split:
        files = {UNSPLIT: {name: n for part in files.values() for name, n in part.items()}}
    splits = {
        part: {name: pixels[number] for name, number in of_part.items()}
        for part, of_part in files.items()
    }
    return write_image_folders(directory, splits, "digits")


def _files_by_split(classes: NDArray[np.int64]) -> dict[str, dict[str, int]]:
    """Return, for each split, the relative name of each file with the image's number."""
    files: dict[str, dict[str, int]] = {split: {} for split in SPLITS}
    for digit in range(10):
        # By a hash and not a generator, whose stream may change with numpy's version.
        numbers = sorted(np.flatnonzero(classes == digit).tolist(), key=_shuffled_place)
        rest = numbers
        for split, fraction in SPLIT_FRACTIONS.items():
            count = round(fraction * len(numbers))
            chosen, rest = rest[:count], rest[count:]
            files[split].update({_file_name(digit, number): number for number in chosen})
        files["train"].update({_file_name(digit, number): number for number in rest})
    return files


def _shuffled_place(number: int) -> bytes:
    return hashlib.blake2b(f"digits/{number}".encode(), digest_size=8).digest()


def _file_name(digit: int, number: int) -> str:
    return f"{digit}/digit_{number:04d}.png"
