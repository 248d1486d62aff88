"""An instance to a sample: its pixels, and everything that has a place in them."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from allencv_al.common.errors import DataError
from allencv_al.data.dataset_readers.skipped import raise_problems
from allencv_al.data.image_io import load_image, load_mask
from allencv_al.data.image_io import source_name as name_of
from allencv_al.data.instance import Instance
from allencv_al.data.sample import Sample


def decode_instance(instance: Instance, max_pixels: int) -> Sample:
    """Decode an instance, without transforms.

    Args:
        instance: What to decode.
        max_pixels: Refuse a larger image or mask.

    Raises:
        ImageDecodeError: The image or its mask cannot be read.
        DataError: Its mask or boxes do not fit it.
    """
    image = load_image(instance.image, max_pixels)
    return Sample(
        image=image,
        mask=None if instance.mask is None else _fitting_mask(instance, image, max_pixels),
        boxes=None if instance.boxes is None else _clipped_boxes(instance, image),
        box_labels=None if instance.box_labels is None else list(instance.box_labels),
        keypoints=_points(instance.keypoints),
    )


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
    """Return the boxes cut at the image's border; one that has nothing left is an error."""
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
