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
from allencv_al.data.transforms.moving_labels import (
    MovedBoxes,
    boxes_through_map,
    boxes_through_matrix,
    clipped_boxes,
    place_boxes,
    place_points,
    points_through_map,
)

# A name, or OpenCV's number for it, as in configs of 2019.
Interpolation = Literal["nearest", "linear", "cubic", "area", "lanczos", 0, 1, 2, 3, 4]
Border = Literal["constant", "replicate", "reflect", "wrap", "reflect_101", 0, 1, 2, 3, 4]
FillValue = float | tuple[float, float, float] | None

_INTERPOLATIONS = ("nearest", "linear", "cubic", "area", "lanczos")
_BORDERS = ("constant", "replicate", "reflect", "wrap", "reflect_101")
_CONSTANT_BORDER = 0
_NEAREST, _NEAREST_EXACT = 0, 6  # OpenCV's numbers; the first takes the upper left of a cell


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
                found = boxes_through_map(before.boxes, params["map_x"], params["map_y"])
            elif "matrix" in params:
                found = boxes_through_matrix(before.boxes, params["matrix"], after)
            else:
                found = _boxes_by_library(transform, params, before, after)
            place_boxes(found, before, after)
        if "map_x" in params:
            place_points(lambda at: points_through_map(at, params["map_x"], params["map_y"]), after)
        else:
            # A point is the middle of its pixel, which scaling moves within the pixel
            place_points(
                lambda at: _points_by_library(transform, params, at + middle) - middle, after
            )
    finally:
        transform.border_mode = border


def _normalized(sample: Sample) -> NDArray[np.float64]:
    height, width = sample.image.shape[:2]
    assert sample.boxes is not None
    return np.asarray(sample.boxes, dtype=np.float64) / (width, height, width, height)


def _boxes_by_library(
    transform: Any, params: dict[str, Any], before: Sample, after: Sample
) -> MovedBoxes:
    boxes = _normalized(before)
    numbered = np.column_stack([boxes, np.arange(len(boxes))])  # the library drops some on its own
    rows = np.array(transform.apply_to_bboxes(numbered, **params), dtype=np.float64).reshape(-1, 5)
    height, width = after.image.shape[:2]
    moved = rows[:, :4] * (width, height, width, height)
    return clipped_boxes(moved, rows[:, 4].astype(np.int64), after)


def _points_by_library(
    transform: Any, params: dict[str, Any], points: NDArray[np.float32]
) -> NDArray[np.float64]:
    rows = np.zeros((len(points), 5))  # x, y, z, angle, scale
    rows[:, :2] = points
    rows[:, 4] = 1
    moved: NDArray[np.float64] = np.asarray(transform.apply_to_keypoints(rows, **params))
    return moved[:, :2]
