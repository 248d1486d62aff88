"""The decoded item that transforms act on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8] | NDArray[np.float32]


@dataclass(slots=True)
class Sample:
    """An image and every label that has a place in it, moved together by the transforms.

    A transform may replace the fields of the sample it is given, but never writes into their
    arrays: the reader may hold them for the next epoch.

    Args:
        image: uint8 (or, after `normalize`, float32) array `[H, W, 3]`, RGB.
        mask: Class index per pixel, uint8 `[H, W]`.
        boxes: float32 `[n, 4]`, each `x_min, y_min, x_max, y_max` in pixels.
        box_labels: One class name per box.
        keypoints: float32 `[n, 2]`, each `x, y` in pixels, or `[n, 3]` with the visibility (0
            absent, 1 hidden, 2 visible); points outside the image are kept.
    """

    image: Image
    mask: NDArray[np.uint8] | None = None
    boxes: NDArray[np.float32] | None = None
    box_labels: list[str] | None = None
    keypoints: NDArray[np.float32] | None = None
