"""Images in the JSON requests of predictors: by path, or by their pixels."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allencv_al.common.errors import DataError
from allencv_al.common.files.paths import expanded

EXPECTED = '{"image_path": path} or {"image": numbers, "image_shape": [height, width, channels]}'


def image_of_request(request: Mapping[str, Any], max_pixels: int) -> Path | NDArray[np.uint8]:
    """Return the image that a request names or holds.

    Args:
        request: `{"image_path": path}`; or `{"image": numbers, "image_shape": [H, W, C]}` with a
            flat list; or `{"image": lists in lists}` of shape `[H, W, C]` or `[H, W]`. Numbers are
            integers from 0 to 255.
        max_pixels: The most pixels it may have.

    Raises:
        DataError: It is anything else.
    """
    if not isinstance(request, Mapping):
        raise DataError(f"expected {EXPECTED}, found {type(request).__name__}")
    path, image = request.get("image_path"), request.get("image")
    if path is not None and image is not None:
        raise DataError("expected either image_path or image, found both")
    if image is not None:
        return _pixels(image, request.get("image_shape"), max_pixels)
    if not isinstance(path, str) or not path:
        found = f"image_path {path!r}" if path is not None else f"the keys {sorted(request)}"
        raise DataError(f"expected {EXPECTED}, found {found}")
    return expanded(path)


def _pixels(image: Any, shape: Any, max_pixels: int) -> NDArray[np.uint8]:
    if not isinstance(image, list):
        raise DataError(f"image: expected a list of numbers, found {type(image).__name__}")
    try:
        values = np.asarray(image)
    except ValueError:
        raise DataError("image: expected lists of equal lengths") from None
    is_whole = values.dtype.kind in "iu" or (
        values.dtype.kind == "f" and bool((values == np.floor(values)).all())
    )
    if not is_whole:
        raise DataError("image: expected integers from 0 to 255, found something else")
    if values.size and (values.min() < 0 or values.max() > 255):
        raise DataError(
            f"image: expected integers from 0 to 255, found {values.min()} to {values.max()}"
        )
    if shape is not None:
        values = values.reshape(_checked_shape(shape, values.size))
    if values.ndim not in (2, 3):
        raise DataError(
            "image: expected image_shape [height, width, channels] beside a flat list, "
            f"found {'none' if shape is None else shape}"
        )
    if values.shape[0] * values.shape[1] > max_pixels:
        raise DataError(f"image: {values.shape[1]}x{values.shape[0]} is over {max_pixels} pixels")
    return values.astype(np.uint8)


def _checked_shape(shape: Any, size: int) -> tuple[int, ...]:
    is_shape = isinstance(shape, list) and all(type(n) is int and n > 0 for n in shape)
    if not is_shape or len(shape) not in (2, 3):
        raise DataError(f"image_shape: expected [height, width, channels], found {shape!r}")
    if prod(shape) != size:
        raise DataError(f"image_shape: {shape} is {prod(shape)} numbers, image has {size}")
    return tuple(shape)
