"""Boxes and keypoints under maps of the image: moved, cut at the border, dropped where outside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allencv_al.data.instance import Sample

# A box this thin, in pixels, is what rounding leaves of one that lies outside.
_NO_PIXELS = 1e-3
# An object of which less is left is no example of its class; Ultralytics' threshold, too
_LEAST_VISIBLE = 0.1


@dataclass(frozen=True, slots=True)
class MovedBoxes:
    """Boxes where a transform takes them.

    Args:
        boxes: Their corners, `[m, 4]`; of a box that is outside, perhaps none.
        numbers: Their numbers before, `[m]`.
        visible: The share of each that is inside the image, `[m]`.
    """

    boxes: NDArray[np.float64]
    numbers: NDArray[np.int64]
    visible: NDArray[np.float64]


def clipped_boxes(
    moved: NDArray[np.float64], numbers: NDArray[np.int64], after: Sample
) -> MovedBoxes:
    """Cut boxes at the border of an image.

    Args:
        moved: Corners in pixels of the result, `[m, 4]`, perhaps outside.
        numbers: Their numbers before, `[m]`.
        after: The sample with the new image.
    """
    height, width = after.image.shape[:2]
    clipped = np.clip(moved, 0, (width, height, width, height))
    visible = _areas(clipped) / np.maximum(_areas(moved), np.finfo(float).tiny)
    return MovedBoxes(clipped, numbers, visible)


def boxes_through_matrix(
    boxes: NDArray[np.float32], matrix: NDArray[np.float64], after: Sample
) -> MovedBoxes:
    """Bound what an affine map leaves of each box inside the image: exact for a rectangle.

    Args:
        boxes: Corners before, `[n, 4]`.
        matrix: `[2, 3]` or `[3, 3]`, from the middles of pixels before to those in the result.
        after: The sample with the new image.
    """
    height, width = after.image.shape[:2]
    bounds, visible = np.zeros((len(boxes), 4)), np.zeros(len(boxes))
    for index, (x_min, y_min, x_max, y_max) in enumerate(boxes):
        corners = np.array([[x_min, y_min], [x_max, y_min], [x_max, y_max], [x_min, y_max]])
        # The matrix takes middles of pixels to such: half a pixel from the corners' zero
        moved = np.column_stack([corners - 0.5, np.ones(4)]) @ matrix[:2].T + 0.5
        inside = _inside(moved, width, height)
        if len(inside):
            bounds[index] = (*inside.min(axis=0).clip(0), *inside.max(axis=0))
            visible[index] = _polygon_area(inside) / max(_polygon_area(moved), _NO_PIXELS**2)
    return MovedBoxes(bounds, np.arange(len(boxes)), visible)


def _inside(polygon: NDArray[np.float64], width: int, height: int) -> NDArray[np.float64]:
    """Return the part of a convex polygon inside the image (Sutherland and Hodgman 1974)."""
    for axis, side, sign in ((0, 0, 1), (0, width, -1), (1, 0, 1), (1, height, -1)):
        kept = []
        for start, end in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
            before, behind = (sign * (point[axis] - side) for point in (start, end))
            if before >= 0:
                kept.append(start)
            if before * behind < 0:
                kept.append(start + (end - start) * (before / (before - behind)))
        polygon = np.array(kept).reshape(-1, 2)
    return polygon


def _areas(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    sides = boxes[:, 2:] - boxes[:, :2]
    return sides[:, 0] * sides[:, 1]


def _polygon_area(corners: NDArray[np.float64]) -> float:
    (x, y), (next_x, next_y) = corners.T, np.roll(corners, -1, axis=0).T
    return float(abs((x * next_y - next_x * y).sum()) / 2)


def place_boxes(found: MovedBoxes, before: Sample, after: Sample) -> None:
    """Give a sample its boxes; one of which too little is left goes with all that belongs to it.

    Args:
        found: The boxes where they are now.
        before: The sample before.
        after: The sample with the new image; its boxes, names and keypoints are replaced.
    """
    sides = found.boxes[:, 2:] - found.boxes[:, :2]
    visible = (sides > _NO_PIXELS).all(axis=1) & (found.visible >= _LEAST_VISIBLE)
    after.boxes = found.boxes[visible].astype(np.float32)
    kept = found.numbers[visible]
    if before.box_labels is not None:
        after.box_labels = [before.box_labels[i] for i in kept]
    if before.keypoints is not None and before.keypoints.ndim == 3:
        after.keypoints = before.keypoints[kept]
    if before.ignored is not None:
        after.ignored = before.ignored[kept]


def place_points(
    move: Callable[[NDArray[np.float32]], NDArray[np.floating[Any]]], after: Sample
) -> None:
    """Move the keypoints of a sample; those with a visibility that are absent become 0, 0, 0.

    Args:
        move: Takes places, `[n, 2]` in pixels of the image before, to those in the result.
        after: The sample with the new image, and the keypoints that are left.
    """
    points = after.keypoints
    if points is None or not points.size:
        return
    rows = points.reshape(-1, points.shape[-1])
    # A visibility moves nowhere: only the places do
    placed = np.hstack([move(rows[:, :2]), rows[:, 2:]]).astype(np.float32)
    if placed.shape[1] == 3:
        height, width = after.image.shape[:2]
        inside = (placed[:, :2] >= -0.5).all(axis=1)
        inside &= (placed[:, 0] <= width - 0.5) & (placed[:, 1] <= height - 0.5)
        placed[~inside | (placed[:, 2] == 0)] = 0
    after.keypoints = placed.reshape(points.shape)


def boxes_through_map(
    boxes: NDArray[np.float32], map_x: NDArray[np.float32], map_y: NDArray[np.float32]
) -> MovedBoxes:
    """Bound the pixels that a distortion takes out of each box.

    `map_x` and `map_y` say for each pixel of the result where in the image it comes from.
    """
    bounds = np.zeros((len(boxes), 4))
    for index, (x_min, y_min, x_max, y_max) in enumerate(boxes):
        # The pixel at column x covers x..x+1 of a box's continuous coordinates.
        inside = (map_x + 0.5 >= x_min) & (map_x + 0.5 <= x_max)
        inside &= (map_y + 0.5 >= y_min) & (map_y + 0.5 <= y_max)
        columns, lines = inside.any(0).nonzero()[0], inside.any(1).nonzero()[0]
        if len(columns):
            bounds[index] = (columns[0], lines[0], columns[-1] + 1, lines[-1] + 1)
    # A map does not show what it left outside
    return MovedBoxes(bounds, np.arange(len(boxes)), np.ones(len(boxes)))


def points_through_map(
    points: NDArray[np.float32], map_x: NDArray[np.float32], map_y: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Find where a distortion takes each point: the pixel that comes from nearest to it."""
    moved = np.empty((len(points), 2))
    for index, (x, y) in enumerate(points):
        nearest = int(((map_x - x) ** 2 + (map_y - y) ** 2).argmin())
        line, column = divmod(nearest, map_x.shape[1])
        # What is left is less than a pixel, or the way to a point that left the image.
        moved[index] = column + x - map_x[line, column], line + y - map_y[line, column]
    return moved
