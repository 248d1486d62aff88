"""Albumentations behind `ImageTransform`: the only file that knows the library.

It is pinned to 2.0.8 and imported when the first image is transformed (2 s). Its objects are
driven step by step, not called: so all randomness comes from the generator of the item, and
labels move by one rule (the library mirrors boxes and points into reflected borders and loses
points under distortions).
"""

from __future__ import annotations

import dataclasses
import os
import random
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from overrides import overrides

from allencv_al.data.instance import Image, Sample
from allencv_al.data.transforms.base import ChanceTransform, convert_ranges

# A name, or OpenCV's number for it, as in configs of 2019.
Interpolation = Literal["nearest", "linear", "cubic", "area", "lanczos", 0, 1, 2, 3, 4]
Border = Literal["constant", "replicate", "reflect", "wrap", "reflect_101", 0, 1, 2, 3, 4]
FillValue = float | tuple[float, float, float] | None

_INTERPOLATIONS = ("nearest", "linear", "cubic", "area", "lanczos")
_BORDERS = ("constant", "replicate", "reflect", "wrap", "reflect_101")
_CONSTANT_BORDER = 0
_NEAREST, _NEAREST_EXACT = 0, 6  # OpenCV's numbers; the first takes the upper left of a cell
# A box this thin, in pixels, is what rounding leaves of one that lies outside.
_NO_PIXELS = 1e-3
# An object of which less is left is no example of its class; Ultralytics' threshold, too
_LEAST_VISIBLE = 0.1


def _number(names: Sequence[str], value: str | int) -> int:
    """Return OpenCV's number of an interpolation or a border mode."""
    return value if isinstance(value, int) else names.index(value)


def interpolation_number(value: str | int) -> int:
    """Return OpenCV's number of an interpolation; `smooth` is that of shrinking."""
    return _number(_INTERPOLATIONS, "area" if value == "smooth" else value)


@cache
def _library() -> Any:
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else it asks the network at import
    import albumentations

    return albumentations


class _GeneratorRandom(random.Random):
    """Python's `Random`, drawing from a numpy generator."""

    generator: np.random.Generator

    def seed(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the state is the generator's."""

    def random(self) -> float:
        return self.generator.random()

    def getrandbits(self, k: int, /) -> int:
        return int.from_bytes(self.generator.bytes((k + 7) // 8), "little") >> (-k % 8)


class _PerThread(threading.local):
    """The library's object, which keeps state while it works, and its source of randomness."""

    def __init__(self) -> None:
        self.transform: Any = None
        self.random = _GeneratorRandom()


@dataclass(eq=False)
class AlbumentationsTransform(ChanceTransform):
    """A transform implemented by one class of Albumentations.

    A subclass is a dataclass whose fields are its parameters, `p` the last of them; those of the
    same meaning have one name and one description here.

    Args:
        height: Height that comes out, in pixels.
        width: Width that comes out, in pixels.
        interpolation: Interpolation of pixels (masks: always nearest), by name or OpenCV's number.
        border_mode: Fill beyond the image: `constant` (`value`), `replicate` (the edge), `reflect`,
            `reflect_101` (mirrored) or `wrap`, by name or OpenCV's number.
        value: Brightness 0..255 of a constant border, one number or one per channel.
        mask_value: Class index of a constant border in masks.
        p: Probability of being applied, 0..1.
        always_apply: Fire always, whatever `p` says: as in configs of 2019.
    """

    always_apply: bool = field(default=False, kw_only=True)

    library_class: ClassVar[str]
    """The name of the class in Albumentations 2.0.8."""

    moves_labels: ClassVar[bool] = True
    """Whether mask, boxes and points move with the image."""

    scales_pixels: ClassVar[bool] = False
    """Whether it enlarges or shrinks pixels to the sides of the result."""

    def __post_init__(self) -> None:
        super().__init__(self.p, self.always_apply)
        convert_ranges(self)
        self._per_thread = _PerThread()

    def library_arguments(self) -> dict[str, Any]:
        """Return the arguments of the library's class, without `p`: by default the own fields."""
        own = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        del own["p"], own["always_apply"]
        if "interpolation" in own:
            number = own["interpolation"] = interpolation_number(own["interpolation"])
            if self.scales_pixels:
                # The other one moves a mask by up to half a pixel against its image
                own["mask_interpolation"] = _NEAREST if number == _NEAREST else _NEAREST_EXACT
        if "border_mode" in own:
            value, own["fill_mask"] = own.pop("value"), own.pop("mask_value") or 0
            own["fill"] = 0 if value is None else value
            own["border_mode"] = _number(_BORDERS, own["border_mode"])
        return own

    def draw(self, transform: Any, sample: Sample) -> dict[str, Any]:
        """Return what the library draws for a sample: angles, corners, maps.

        Args:
            transform: The library's object, this thread's own.
            sample: The sample that will be transformed by it.
        """
        boxes = np.empty((0, 4)) if sample.boxes is None else _normalized(sample)
        data = {"image": sample.image, "bboxes": boxes}
        params: dict[str, Any] = transform.update_transform_params(transform.get_params(), data)
        params.update(transform.get_params_dependent_on_data(params, data))
        return params

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key != "_per_thread"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._per_thread = _PerThread()

    @overrides
    def fire(self, sample: Sample, generator: np.random.Generator) -> Sample:
        transform = self._transform(generator)
        params = self.draw(transform, sample)
        image: Image = np.ascontiguousarray(transform.apply(sample.image, **params))
        moved = dataclasses.replace(sample, image=image)
        if not self.moves_labels:
            return moved
        if sample.mask is not None:
            moved.mask = np.ascontiguousarray(transform.apply_to_mask(sample.mask, **params))
        if sample.boxes is not None or sample.keypoints is not None:
            _move_points(transform, params, sample, moved, 0.5 if self.scales_pixels else 0)
        return moved

    def _transform(self, generator: np.random.Generator) -> Any:
        mine = self._per_thread
        if mine.transform is None:
            mine.transform = getattr(_library(), self.library_class)(
                **self.library_arguments(), p=1
            )
        # Both sources the library draws from: NumPy's generator and Python's `random`
        mine.random.generator = generator
        mine.transform.set_random_state(generator, mine.random)
        return mine.transform


def _move_points(
    transform: Any, params: dict[str, Any], before: Sample, after: Sample, middle: float
) -> None:
    border = getattr(transform, "border_mode", _CONSTANT_BORDER)
    transform.border_mode = _CONSTANT_BORDER  # a reflected border would repeat boxes and points
    try:
        if before.boxes is not None and len(before.boxes):
            if "map_x" in params:
                found = _boxes_through_map(before.boxes, params["map_x"], params["map_y"])
            elif "matrix" in params:
                found = _boxes_through_matrix(before.boxes, params["matrix"], after)
            else:
                found = _boxes_by_library(transform, params, before, after)
            _keep_visible_boxes(found, before, after)
        points = after.keypoints
        if points is not None and points.size:
            rows = points.reshape(-1, points.shape[-1])
            if "map_x" in params:
                moved = _points_through_map(rows[:, :2], params["map_x"], params["map_y"])
            else:
                # A point is the middle of its pixel, which scaling moves within the pixel
                moved = _points_by_library(transform, params, rows[:, :2] + middle) - middle
            # A visibility moves nowhere: only the places do
            placed = np.hstack([moved, rows[:, 2:]]).astype(np.float32)
            _clear_absent_points(placed, after)
            after.keypoints = placed.reshape(points.shape)
    finally:
        transform.border_mode = border


def _normalized(sample: Sample) -> NDArray[np.float64]:
    height, width = sample.image.shape[:2]
    assert sample.boxes is not None
    return np.asarray(sample.boxes, dtype=np.float64) / (width, height, width, height)


@dataclass(frozen=True, slots=True)
class _MovedBoxes:
    """Boxes where a transform takes them.

    Args:
        boxes: Their corners, `[m, 4]`; of a box that is outside, perhaps none.
        numbers: Their numbers before, `[m]`.
        visible: The share of each that is inside the image, `[m]`.
    """

    boxes: NDArray[np.float64]
    numbers: NDArray[np.int64]
    visible: NDArray[np.float64]


def _boxes_by_library(
    transform: Any, params: dict[str, Any], before: Sample, after: Sample
) -> _MovedBoxes:
    boxes = _normalized(before)
    numbered = np.column_stack([boxes, np.arange(len(boxes))])  # the library drops some on its own
    rows = np.array(transform.apply_to_bboxes(numbered, **params), dtype=np.float64).reshape(-1, 5)
    height, width = after.image.shape[:2]
    moved = rows[:, :4] * (width, height, width, height)
    clipped = np.clip(moved, 0, (width, height, width, height))
    visible = _areas(clipped) / np.maximum(_areas(moved), np.finfo(float).tiny)
    return _MovedBoxes(clipped, rows[:, 4].astype(np.int64), visible)


def _boxes_through_matrix(
    boxes: NDArray[np.float32], matrix: NDArray[np.float64], after: Sample
) -> _MovedBoxes:
    """Bound what an affine map leaves of each box inside the image: exact for a rectangle."""
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
    return _MovedBoxes(bounds, np.arange(len(boxes)), visible)


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


def _points_by_library(
    transform: Any, params: dict[str, Any], points: NDArray[np.float32]
) -> NDArray[np.float64]:
    rows = np.zeros((len(points), 5))  # x, y, z, angle, scale
    rows[:, :2] = points
    rows[:, 4] = 1
    moved: NDArray[np.float64] = np.asarray(transform.apply_to_keypoints(rows, **params))
    return moved[:, :2]


def _keep_visible_boxes(found: _MovedBoxes, before: Sample, after: Sample) -> None:
    """Drop boxes of which too little is left inside, with their labels and keypoints."""
    sides = found.boxes[:, 2:] - found.boxes[:, :2]
    visible = (sides > _NO_PIXELS).all(axis=1) & (found.visible >= _LEAST_VISIBLE)
    after.boxes = found.boxes[visible].astype(np.float32)
    kept = found.numbers[visible]
    if before.box_labels is not None:
        after.box_labels = [before.box_labels[i] for i in kept]
    if before.keypoints is not None and before.keypoints.ndim == 3:
        after.keypoints = before.keypoints[kept]


def _clear_absent_points(rows: NDArray[np.float32], after: Sample) -> None:
    """Set points with a visibility that are absent, or outside the image, to 0, 0, 0."""
    if rows.shape[1] == 3:
        height, width = after.image.shape[:2]
        inside = (rows[:, :2] >= -0.5).all(axis=1)
        inside &= (rows[:, 0] <= width - 0.5) & (rows[:, 1] <= height - 0.5)
        rows[~inside | (rows[:, 2] == 0)] = 0


def _boxes_through_map(
    boxes: NDArray[np.float32], map_x: NDArray[np.float32], map_y: NDArray[np.float32]
) -> _MovedBoxes:
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
    return _MovedBoxes(bounds, np.arange(len(boxes)), np.ones(len(boxes)))


def _points_through_map(
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
