"""An instance to a sample: its pixels, mask, boxes and keypoints; one, or all of a data set."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from allencv_al.common.errors import (
    PROBLEMS_SHOWN,
    DataError,
    ImageDecodeError,
    raise_problems,
)
from allencv_al.common.progress import track
from allencv_al.data.image_io import load_image, load_mask, load_reduced
from allencv_al.data.image_io import source_name as name_of
from allencv_al.data.instance import Instance, Sample

# Pillow lets other threads run while it decodes, so threads are enough; the images stay in one
# process and are never copied.
MAX_THREADS = 16


@dataclass(frozen=True, slots=True)
class Reading:
    """Options for decoding the images of a data set.

    Args:
        max_pixels: Refuse a larger image or mask.
        raw_colors: Whether the values in a file are taken as they are.
        side: Pixels that each side keeps where a JPEG is decoded at a part of its size; 0 where
            all images are decoded whole.
        reduce_above: A JPEG of no more pixels is decoded whole.
    """

    max_pixels: int
    raw_colors: bool = False
    side: int = 0
    reduce_above: int = 0


def decode_instance(instance: Instance, reading: Reading) -> Sample:
    """Decode an instance, without transforms.

    Args:
        instance: The instance to decode.
        reading: How.

    Raises:
        ImageDecodeError: The image or its mask cannot be read.
        DataError: Its mask or boxes do not fit it.
        OSError: The machine cannot read any file.
    """
    image = _image(instance, reading)
    return Sample(
        image=image,
        mask=None if instance.mask is None else _fitting_mask(instance, image, reading.max_pixels),
        boxes=None if instance.boxes is None else _clipped_boxes(instance, image),
        box_labels=None if instance.box_labels is None else list(instance.box_labels),
        keypoints=_points(instance.keypoints),
    )


def _image(instance: Instance, reading: Reading) -> NDArray[np.uint8]:
    limit, raw = reading.max_pixels, reading.raw_colors
    placed = (instance.mask, instance.boxes, instance.keypoints)
    if not reading.side or any(part is not None for part in placed):
        return load_image(instance.image, limit, raw)
    return load_reduced(instance.image, reading.side, limit, raw, reading.reduce_above)


def _fitting_mask(
    instance: Instance, image: NDArray[np.uint8], max_pixels: int
) -> NDArray[np.uint8]:
    source = cast("Path | NDArray[np.uint8]", instance.mask)
    mask = load_mask(source, max_pixels)
    if mask.shape != image.shape[:2]:
        (height, width), (image_height, image_width) = mask.shape, image.shape[:2]
        raise DataError(
            f"{name_of(instance.image)}: its mask {name_of(source)} is "
            f"{width}x{height} pixels, expected {image_width}x{image_height} as the image "
            "(upright, if it holds an EXIF orientation)"
        )
    return mask


def _clipped_boxes(instance: Instance, image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the boxes clipped to the image; a box outside the image is an error."""
    height, width = image.shape[:2]
    boxes = np.asarray(instance.boxes, dtype=np.float32).reshape(-1, 4)
    clipped = np.clip(boxes, 0, np.array([width, height, width, height], dtype=np.float32))
    outside = (clipped[:, 2] <= clipped[:, 0]) | (clipped[:, 3] <= clipped[:, 1])
    raise_problems(
        name_of(instance.image),
        [
            f"boxes[{i}] = {boxes[i].tolist()}: expected x_min, y_min, x_max, y_max with an area "
            f"inside the {width}x{height} pixels of the image"
            for i in np.flatnonzero(outside)
        ],
    )
    return clipped


def _points(points: tuple[tuple[float, ...], ...] | None) -> NDArray[np.float32] | None:
    if points is None:
        return None
    columns = len(points[0]) if points else 2
    return np.asarray(points, dtype=np.float32).reshape(-1, columns)


def decode_all(
    instances: Sequence[Instance],
    decode: Callable[[Instance], Sample],
    skips: bool,
    max_unreadable: float,
) -> tuple[list[Instance], dict[str, ImageDecodeError]]:
    """Return the instances with their pixels as uint8 arrays, and the unreadable ones by id.

    Args:
        instances: The instances to decode, in parallel.
        decode: Decodes one instance, without transforms.
        skips: Leave unreadable images out; else the first one is an error.
        max_unreadable: The largest fraction that may be unreadable.

    Raises:
        ImageDecodeError: One is unreadable, and `skips` is false.
        DataError: More are unreadable than `max_unreadable` allows.
    """
    readable: list[Instance] = []
    unreadable: dict[str, ImageDecodeError] = {}

    def decoded(instance: Instance) -> Instance | ImageDecodeError:
        try:
            sample = decode(instance)
        except ImageDecodeError as error:
            return error
        image = cast("NDArray[np.uint8]", sample.image)  # float comes with the transforms only
        return replace(instance, image=image, mask=sample.mask)

    with _pool() as pool:
        outcomes = track(pool.map(decoded, instances), len(instances), "Decoding", "images")
        for instance, outcome in zip(instances, outcomes, strict=True):
            if isinstance(outcome, Instance):
                readable.append(outcome)
            elif not skips:
                raise outcome
            else:
                unreadable[instance.id] = outcome
    if len(unreadable) > max_unreadable * len(instances):
        raise DataError(_too_many(unreadable, len(instances), max_unreadable))
    return readable, unreadable


@contextmanager
def _pool() -> Iterator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(min(MAX_THREADS, os.cpu_count() or 1))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)  # an error must not wait for the rest


def _too_many(unreadable: dict[str, ImageDecodeError], total: int, limit: float) -> str:
    shown = [f"  {error}" for error in list(unreadable.values())[:PROBLEMS_SHOWN]]
    if len(unreadable) > PROBLEMS_SHOWN:
        shown.append(f"  ... and {len(unreadable) - PROBLEMS_SHOWN} more")
    head = (
        f"{len(unreadable)} of {total} images are unreadable, more than max_unreadable = "
        f"{limit:g} allows; remove them, or set max_unreadable of the dataset reader higher:"
    )
    return "\n".join([head, *shown])
