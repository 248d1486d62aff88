"""Crops of the two photographs that scikit-learn carries, as a small data set of two classes.

No package that this one depends on carries labeled photographs, and a first example should need no
network. So the photographs are cut up: a dahlia and a temple, far easier to tell apart than the
classes of a real task. Crops for training come from the left half of each, those for validation
from the right half, so that no pixel is in both.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from allencv_al.data.sample_data.image_folders import write_image_folders

SIDE = 112
COUNTS = {"train": 20, "validation": 10}
"""Number of crops of each class in each split."""

# File, and the box around the object: left, top, right, bottom. Sky and leaves are of no class
_OBJECTS = {
    "flower": ("flower.jpg", (160, 80, 452, 365)),
    "temple": ("china.jpg", (60, 30, 372, 400)),
}


def write_photographs(directory: str | Path) -> Path:
    """Write the crops as `directory/{train,validation}/{flower,temple}/*.png`.

    The crops are 112x112, the same on every machine; their places are chosen by hashes. The
    photographs (CC BY 2.0, flickr users vultilion and danielbuechele) are those of
    `sklearn.datasets.load_sample_images`.

    Args:
        directory: A folder that does not exist, is empty, or holds this data set.

    Returns:
        The directory.

    Raises:
        DataError: The directory holds something else.
    """
    from sklearn.datasets import load_sample_image

    objects = {
        name: load_sample_image(file)[top:bottom, left:right]
        for name, (file, (left, top, right, bottom)) in _OBJECTS.items()
    }
    splits = {
        split: {
            f"{name}/{name}_{number:02d}.png": crop
            for name, pixels in objects.items()
            for number, crop in enumerate(_crops(pixels, split, count, name))
        }
        for split, count in COUNTS.items()
    }
    return write_image_folders(directory, splits, "photographs")


def _crops(
    pixels: NDArray[np.uint8], split: str, count: int, name: str
) -> Iterator[NDArray[np.uint8]]:
    half = pixels.shape[1] // 2
    part = pixels[:, :half] if split == "train" else pixels[:, half:]
    height, width = (size - SIDE + 1 for size in part.shape[:2])
    for number in range(count):
        # By a hash and not a generator, whose stream may change with numpy's version
        drawn = hashlib.blake2b(f"{split}/{name}/{number}".encode(), digest_size=8).digest()
        top = int.from_bytes(drawn[:4], "big") % height
        left = int.from_bytes(drawn[4:], "big") % width
        yield part[top : top + SIDE, left : left + SIDE]
