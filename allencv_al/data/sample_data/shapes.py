"""Drawn shapes with every kind of label: class, classes, mask, boxes and keypoints.

Nothing is downloaded, and each label is exact, because it is read from the pixels that were drawn.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allencv_al.data.drawn_masks import palette_png
from allencv_al.data.sample_data.image_folders import Files, write_image_folders

SIDE = 64
SHAPES = ("circle", "square", "triangle")
EMPTY = "empty"
"""Label of an image without shapes, where an image has one label."""

COUNTS = {"train": 500, "validation": 100, "test": 200}
"""Number of images of each split."""

_EMPTY_SHARE = 0.1
_MOST_SHAPES = 3
_SIZES = (12, 28)  # pixels from side to side
_LEAST_VISIBLE = 0.6  # of a shape that others cover; below, a person could not name it
_DARK, _NOISE = 96, 24  # the background is darker than the first, its noise below the second
_BRIGHT = 170  # of a shape's color, at least one channel
# Palette of masks: the background, then a color for each shape
_PALETTE = (0, 0, 0, 230, 80, 80, 80, 200, 90, 80, 130, 240)


@dataclass(frozen=True, slots=True)
class DrawnShape:
    """One shape in an image.

    Args:
        name: Its class.
        visible: Its pixels that no other shape covers, bool `[64, 64]`.
        middle: Column and row of the pixel at the middle of its whole extent.
    """

    name: str
    visible: NDArray[np.bool_]
    middle: tuple[int, int]

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, width and height of what is visible."""
        rows, columns = (np.flatnonzero(self.visible.any(axis)) for axis in (1, 0))
        left, top = int(columns[0]), int(rows[0])
        return left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top


@dataclass(frozen=True, slots=True)
class ShapesImage:
    """An image with its shapes.

    Args:
        pixels: uint8 `[64, 64, 3]`.
        shapes: Its shapes, from back to front.
    """

    pixels: NDArray[np.uint8]
    shapes: Sequence[DrawnShape]

    @property
    def mask(self) -> NDArray[np.uint8]:
        """Class of each pixel: 0 for the background, else 1 + the place in `SHAPES`."""
        mask = np.zeros((SIDE, SIDE), np.uint8)
        for one in self.shapes:
            mask[one.visible] = SHAPES.index(one.name) + 1
        return mask

    @property
    def label(self) -> str:
        """Class of the shape with the most visible pixels; `EMPTY` if there is none."""
        largest = max(self.shapes, key=lambda one: one.visible.sum(), default=None)
        return EMPTY if largest is None else largest.name


class _Draws:
    """Random numbers from a hash: a generator's stream may change with NumPy's version."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._count = 0

    def bytes(self, count: int) -> NDArray[np.uint8]:
        self._count += 1
        drawn = hashlib.shake_256(f"{self._key}/{self._count}".encode()).digest(count)
        return np.frombuffer(drawn, np.uint8)

    def below(self, limit: int) -> int:
        return int.from_bytes(self.bytes(8).tobytes(), "big") % limit

    def share(self) -> float:
        return self.below(1 << 32) / (1 << 32)


def draw_shapes(key: str) -> ShapesImage:
    """Return the image of a key: up to three shapes on noise, or none in one of ten images.

    Args:
        key: Decides everything; equal keys give equal images on every machine.
    """
    draws = _Draws(key)
    noise = draws.bytes(SIDE * SIDE * 3).reshape(SIDE, SIDE, 3) % _NOISE
    pixels = noise + np.array([draws.below(_DARK - _NOISE) for _ in range(3)], np.uint8)
    count = 0 if draws.share() < _EMPTY_SHARE else 1 + draws.below(_MOST_SHAPES)
    shapes: list[DrawnShape] = []
    areas: list[int] = []
    while len(shapes) < count:
        name = SHAPES[draws.below(len(SHAPES))]
        size = _SIZES[0] + draws.below(_SIZES[1] - _SIZES[0] + 1)
        left, top = draws.below(SIDE - size + 1), draws.below(SIDE - size + 1)
        whole = _shape(name, left, top, size)
        covered = [DrawnShape(one.name, one.visible & ~whole, one.middle) for one in shapes]
        sums = [int(one.visible.sum()) for one in covered]
        if any(s < _LEAST_VISIBLE * area for s, area in zip(sums, areas, strict=True)):
            continue  # at another place
        color = draws.bytes(3).copy()
        color[draws.below(3)] = _BRIGHT + draws.below(256 - _BRIGHT)
        pixels[whole] = color
        middle = (left + size // 2, top + size // 2)
        shapes = [*covered, DrawnShape(name, whole, middle)]
        areas.append(int(whole.sum()))
    return ShapesImage(pixels, shapes)


def write_shapes(
    directory: str | Path, seed: int = 0, counts: Mapping[str, int] | None = None
) -> Path:
    """Write images of shapes with all their labels, as `directory/{train,validation,test}`.

    Each split holds `images/*.png`; `labels.jsonl`, a table with the class of the largest shape
    (`label`) and all classes (`labels`) of each image; `masks/*.png`, palette images of classes;
    `instances.json`, the boxes in COCO's form; and `annotations/*.json`, boxes and middles in
    AllenCV's. They are the same on every machine.

    Args:
        directory: A folder that does not exist, is empty, or holds this data set.
        seed: Decides all images; it is part of their names.
        counts: Number of images of each split. Default: `COUNTS`.

    Returns:
        The directory.

    Raises:
        DataError: The directory holds something else.
    """
    splits = {
        split: _files(f"{seed}/{split}", f"shapes_{seed}", count)
        for split, count in (COUNTS if counts is None else counts).items()
    }
    return write_image_folders(directory, splits, "images of shapes with their labels")


def _shape(name: str, left: int, top: int, size: int) -> NDArray[np.bool_]:
    """Return the pixels whose middle is inside a shape; twice all lengths, to stay whole."""
    row, column = np.mgrid[:SIDE, :SIDE]
    x, y = 2 * (column - left) + 1, 2 * (row - top) + 1
    inside: NDArray[np.bool_] = (x > 0) & (y > 0) & (x < 2 * size) & (y < 2 * size)
    if name == "circle":
        inside &= (x - size) ** 2 + (y - size) ** 2 <= size**2
    elif name == "triangle":  # its tip is at the top
        inside &= 2 * abs(x - size) <= y
    return inside


def _files(key: str, prefix: str, count: int) -> Files:
    names = [f"{prefix}_{number:04d}" for number in range(count)]
    images = {name: draw_shapes(f"{key}/{number}") for number, name in enumerate(names)}
    files: dict[str, NDArray[np.uint8] | bytes] = {}
    for name, image in images.items():
        files[f"images/{name}.png"] = image.pixels
        files[f"masks/{name}.png"] = palette_png(image.mask, _PALETTE)
        files[f"annotations/{name}.json"] = _json({"objects": list(_objects(image))})
    files["labels.jsonl"] = b"".join(_json(_row(*item)) for item in images.items())
    files["instances.json"] = _json(_coco(images))
    return files


def _row(name: str, image: ShapesImage) -> dict[str, Any]:
    labels = sorted({one.name for one in image.shapes})
    return {"path": f"images/{name}.png", "label": image.label, "labels": labels}


def _objects(image: ShapesImage) -> Iterator[dict[str, Any]]:
    for one in image.shapes:
        column, row = one.middle
        visibility = 2 if one.visible[row, column] else 1  # 1 is hidden, as COCO numbers it
        points = [column, row, visibility]
        yield {"class": one.name, "bbox": one.box, "num_keypoints": 1, "keypoints": points}


def _coco(images: Mapping[str, ShapesImage]) -> dict[str, Any]:
    numbered = list(enumerate(images.items(), start=1))
    annotations = [
        {
            "image_id": number,
            "category_id": SHAPES.index(one.name) + 1,
            "bbox": one.box,
            "area": int(one.visible.sum()),
            "iscrowd": 0,
        }
        for number, (_, image) in numbered
        for one in image.shapes
    ]
    return {
        "images": [
            {"id": number, "file_name": f"images/{name}.png", "width": SIDE, "height": SIDE}
            for number, (name, _) in numbered
        ],
        "annotations": [{"id": id, **entry} for id, entry in enumerate(annotations, start=1)],
        "categories": [{"id": id, "name": name} for id, name in enumerate(SHAPES, start=1)],
    }


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value) + "\n").encode()
