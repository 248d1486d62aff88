"""Transforms that cut a part out of the picture, or add to it."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from overrides import overrides

from allencv_al.common.errors import ConfigurationError, DataError
from allencv_al.data.sample import Sample
from allencv_al.data.transforms.albumentations_adapter import (
    AlbumentationsTransform,
    Border,
    FillValue,
    Interpolation,
    border_arguments,
    interpolation_number,
)
from allencv_al.data.transforms.base import ImageTransform, Size
from allencv_al.data.transforms.checks import (
    as_range,
    check_fraction,
    check_pixels,
    check_positive,
)


class _FixedCrop(AlbumentationsTransform):
    """Cut out a part of fixed size, at full resolution.

    Args:
        height: Height that comes out, in pixels.
        width: Width that comes out, in pixels.
        pad_if_needed: Extend pictures that are smaller than the part; else they are an error.
        border_mode: What the extension shows: `constant` (`value`), `replicate` (the edge),
            `reflect`, `reflect_101` (mirrored) or `wrap`, by name or OpenCV's number.
        value: Brightness 0..255 of a constant extension, one number or one per channel.
        mask_value: Class index of a constant extension in masks.
        p: How often it fires, 0..1.
    """

    def __init__(
        self,
        height: int,
        width: int,
        pad_if_needed: bool = False,
        border_mode: Border = "constant",
        value: FillValue = None,
        mask_value: int | None = None,
        p: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(p, **kwargs)
        check_pixels(height=height, width=width)
        self.height = height
        self.width = width
        self.pad_if_needed = pad_if_needed
        self.only_moves_pixels = not pad_if_needed
        self._border = border_arguments(border_mode, value, mask_value)

    @overrides
    def library_arguments(self) -> dict[str, Any]:
        return {
            "height": self.height,
            "width": self.width,
            "pad_if_needed": self.pad_if_needed,
            **self._border,
        }

    @overrides
    def fired_size(self, height: int | None, width: int | None) -> Size:
        problem = self._misfit(height, width)
        if problem:
            raise ConfigurationError(problem)
        return self.height, self.width

    @overrides
    def fire(self, sample: Sample, generator: np.random.Generator) -> Sample:
        problem = self._misfit(*sample.image.shape[:2])
        if problem:
            raise DataError(problem)
        return super().fire(sample, generator)

    def _misfit(self, height: int | None, width: int | None) -> str:
        too_low = height is not None and height < self.height
        too_narrow = width is not None and width < self.width
        if self.pad_if_needed or not (too_low or too_narrow):
            return ""
        return (
            f"a crop of {self.height}x{self.width} (height x width) does not fit into a picture of "
            f"{height or '?'}x{width or '?'}: set pad_if_needed, or put smallest_max_size before it"
        )


@ImageTransform.register("center_crop")
class CenterCrop(_FixedCrop):
    """Cut out the middle, at full resolution.

    Args:
        height: Height that comes out, in pixels.
        width: Width that comes out, in pixels.
        pad_if_needed: Extend pictures that are smaller than the part; else they are an error.
        border_mode: What the extension shows: `constant` (`value`), `replicate` (the edge),
            `reflect`, `reflect_101` (mirrored) or `wrap`, by name or OpenCV's number.
        value: Brightness 0..255 of a constant extension, one number or one per channel.
        mask_value: Class index of a constant extension in masks.
        p: How often it fires, 0..1.
    """

    draws_at_random: ClassVar[bool] = False

    library_class = "CenterCrop"


@ImageTransform.register("random_crop")
class RandomCrop(_FixedCrop):
    """Cut out a part of fixed size at a random place, at full resolution.

    Args:
        height: Height that comes out, in pixels.
        width: Width that comes out, in pixels.
        pad_if_needed: Extend pictures that are smaller than the part; else they are an error.
        border_mode: What the extension shows: `constant` (`value`), `replicate` (the edge),
            `reflect`, `reflect_101` (mirrored) or `wrap`, by name or OpenCV's number.
        value: Brightness 0..255 of a constant extension, one number or one per channel.
        mask_value: Class index of a constant extension in masks.
        p: How often it fires, 0..1.
    """

    library_class = "RandomCrop"


@ImageTransform.register("random_resized_crop")
class RandomResizedCrop(AlbumentationsTransform):
    """Cut out a part of random area and aspect ratio, and scale it to a fixed size.

    The augmentation of Szegedy et al. 2015, "Going Deeper with Convolutions", section 6.

    Args:
        height: Height that comes out, in pixels.
        width: Width that comes out, in pixels.
        scale: Area of the part as a share of the picture's, [from, to].
        ratio: Width over height of the part, [from, to].
        interpolation: How pixels are mixed (masks: always the nearest), by name or OpenCV's
            number. `linear` does not smooth when it shrinks; `area` does, at about twice the time.
        p: How often it fires, 0..1.
    """

    library_class = "RandomResizedCrop"

    def __init__(
        self,
        height: int,
        width: int,
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (0.75, 4 / 3),
        interpolation: Interpolation = "linear",
        p: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(p, **kwargs)
        check_pixels(height=height, width=width)
        self.height = height
        self.width = width
        self.scale = as_range("scale", scale, 0, 1)
        self.ratio = as_range("ratio", ratio)
        check_positive(ratio=self.ratio[0])
        self.interpolation = interpolation

    @overrides
    def library_arguments(self) -> dict[str, Any]:
        return {
            "size": (self.height, self.width),
            "scale": self.scale,
            "ratio": self.ratio,
            "interpolation": interpolation_number(self.interpolation),
        }

    @overrides
    def fired_size(self, height: int | None, width: int | None) -> Size:
        return self.height, self.width


@ImageTransform.register("random_bbox_safe_crop")
class RandomBBoxSafeCrop(AlbumentationsTransform):
    """Cut out a random part that holds every box, and scale it to a fixed size.

    A picture without boxes keeps its whole height, unless `erosion_rate` lets it lose some.

    Args:
        height: Height that comes out, in pixels.
        width: Width that comes out, in pixels.
        erosion_rate: Share of each side that the part may lose, 0..1: of the boxes' common bound
            where there are boxes, else of the picture.
        interpolation: How pixels are mixed (masks: always the nearest), by name or OpenCV's
            number. `linear` does not smooth when it shrinks; `area` does, at about twice the time.
        p: How often it fires, 0..1.
    """

    library_class = "RandomSizedBBoxSafeCrop"

    def __init__(
        self,
        height: int,
        width: int,
        erosion_rate: float = 0.0,
        interpolation: Interpolation = "linear",
        p: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(p, **kwargs)
        check_pixels(height=height, width=width)
        check_fraction(erosion_rate=erosion_rate)
        self.height = height
        self.width = width
        self.erosion_rate = erosion_rate
        self.interpolation = interpolation

    @overrides
    def library_arguments(self) -> dict[str, Any]:
        return {
            "height": self.height,
            "width": self.width,
            "erosion_rate": self.erosion_rate,
            "interpolation": interpolation_number(self.interpolation),
        }

    @overrides
    def draw(self, transform: Any, sample: Sample) -> dict[str, Any]:
        """Widen the part to whole pixels: the library cuts off what it rounds, down to nothing."""
        params = super().draw(transform, sample)
        height, width = sample.image.shape[:2]
        left, top, right, bottom = params["crop_coords"]
        if self.erosion_rate == 0 and sample.boxes is not None and len(sample.boxes):
            right = max(right, math.ceil(sample.boxes[:, 2].max()))
            bottom = max(bottom, math.ceil(sample.boxes[:, 3].max()))
        left, top = min(left, width - 1), min(top, height - 1)
        right, bottom = min(max(right, left + 1), width), min(max(bottom, top + 1), height)
        params["crop_coords"] = (left, top, right, bottom)
        return params

    @overrides
    def fired_size(self, height: int | None, width: int | None) -> Size:
        return self.height, self.width


@ImageTransform.register("pad_if_needed")
class PadIfNeeded(AlbumentationsTransform):
    """Extend the picture on all sides up to a least size.

    Args:
        min_height: Height that comes out at least, in pixels.
        min_width: Width that comes out at least, in pixels.
        border_mode: What the extension shows: `constant` (`value`), `replicate` (the edge),
            `reflect`, `reflect_101` (mirrored) or `wrap`, by name or OpenCV's number.
        value: Brightness 0..255 of a constant extension, one number or one per channel.
        mask_value: Class index of a constant extension in masks.
        p: How often it fires, 0..1.
    """

    draws_at_random: ClassVar[bool] = False

    library_class = "PadIfNeeded"

    def __init__(
        self,
        min_height: int = 1024,
        min_width: int = 1024,
        border_mode: Border = "reflect_101",
        value: FillValue = None,
        mask_value: int | None = None,
        p: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(p, **kwargs)
        check_pixels(min_height=min_height, min_width=min_width)
        self.min_height = min_height
        self.min_width = min_width
        self._border = border_arguments(border_mode, value, mask_value)

    @overrides
    def library_arguments(self) -> dict[str, Any]:
        return {"min_height": self.min_height, "min_width": self.min_width, **self._border}

    @overrides
    def fired_size(self, height: int | None, width: int | None) -> Size:
        return (
            None if height is None else max(height, self.min_height),
            None if width is None else max(width, self.min_width),
        )
