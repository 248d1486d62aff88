"""Transforms that cut a part out of the image, or add to it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from overrides import overrides

from allencv_al.common.errors import ConfigurationError, DataError
from allencv_al.data.instance import Sample
from allencv_al.data.transforms.albumentations_adapter import (
    AlbumentationsTransform,
    Border,
    FillValue,
    Interpolation,
)
from allencv_al.data.transforms.base import FromTo, ImageTransform, Pixels, Range, Share, Size
from allencv_al.data.transforms.resizing import FixedSize


@dataclass(eq=False)
class _FixedCrop(FixedSize):
    """Cut out a part of fixed size, at full resolution.

    Args:
        pad_if_needed: Extend images that are smaller than the part; else they are an error.
        border_mode: Fill of the extension: `constant` (`value`), `replicate` (the edge), `reflect`,
            `reflect_101` (mirrored) or `wrap`, by name or OpenCV's number.
        value: Brightness 0..255 of a constant extension, one number or one per channel.
        mask_value: Class index of a constant extension in masks.
        p: Probability of being applied, 0..1.
    """

    pad_if_needed: bool = False
    border_mode: Border = "constant"
    value: FillValue = None
    mask_value: int | None = None
    p: Share = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        # A border filled after normalization is another color than one filled before
        self.only_moves_pixels = not self.pad_if_needed

    @overrides
    def fired_size(self, height: int | None, width: int | None) -> Size:
        problem = self._misfit(height, width)
        if problem:
            raise ConfigurationError(problem)
        return super().fired_size(height, width)

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
            f"a crop of {self.height}x{self.width} (height x width) does not fit into an image of "
            f"{height or '?'}x{width or '?'}: set pad_if_needed, or put smallest_max_size before it"
        )


@ImageTransform.register("center_crop")
class CenterCrop(_FixedCrop):
    """Cut out the middle, at full resolution."""

    draws_at_random: ClassVar[bool] = False
    library_class = "CenterCrop"


@ImageTransform.register("random_crop")
class RandomCrop(_FixedCrop):
    """Cut out a part of fixed size at a random place, at full resolution."""

    library_class = "RandomCrop"


@ImageTransform.register("random_resized_crop")
@dataclass(eq=False)
class RandomResizedCrop(FixedSize):
    """Cut out a part of random area and aspect ratio, and scale it to a fixed size.

    The augmentation of Szegedy et al. 2015, "Going Deeper with Convolutions", section 6.

    Args:
        scale: Area of the part as a share of the image's, [from, to].
        ratio: Width over height of the part, [from, to].
        p: Probability of being applied, 0..1.
    """

    library_class = "RandomResizedCrop"
    scales_pixels = True

    scale: Annotated[Range, FromTo(0, 1)] = (0.08, 1.0)
    ratio: Annotated[Range, FromTo(above=0)] = (0.75, 4 / 3)
    interpolation: Interpolation = "linear"
    p: Share = 1.0

    @overrides
    def library_arguments(self) -> dict[str, Any]:
        arguments = super().library_arguments()
        size = arguments.pop("height"), arguments.pop("width")
        return {**arguments, "size": size}


@ImageTransform.register("random_bbox_safe_crop")
@dataclass(eq=False)
class RandomBBoxSafeCrop(FixedSize):
    """Cut out a random part that holds every box, and scale it to a fixed size.

    An image without boxes keeps its whole height, unless `erosion_rate` lets it lose some.

    Args:
        erosion_rate: Share of each side that the part may lose, 0..1: of the boxes' common bound
            where there are boxes, else of the image.
        p: Probability of being applied, 0..1.
    """

    library_class = "RandomSizedBBoxSafeCrop"
    scales_pixels = True

    erosion_rate: Share = 0.0
    interpolation: Interpolation = "linear"
    p: Share = 1.0

    @overrides
    def draw(self, transform: Any, sample: Sample) -> dict[str, Any]:
        """Widen the part to whole pixels: the library cuts off what it rounds, down to nothing."""
        params = super().draw(transform, sample)
        height, width = sample.image.shape[:2]
        left, top, right, bottom = params["crop_coords"]
        if self.erosion_rate == 0 and sample.boxes is not None and len(sample.boxes):
            # Rounded up: a box must not lose its last fraction of a pixel
            right = max(right, math.ceil(sample.boxes[:, 2].max()))
            bottom = max(bottom, math.ceil(sample.boxes[:, 3].max()))
        # At least one pixel of the image, whatever rounding has left
        left, top = min(left, width - 1), min(top, height - 1)
        right, bottom = min(max(right, left + 1), width), min(max(bottom, top + 1), height)
        params["crop_coords"] = (left, top, right, bottom)
        return params


@ImageTransform.register("pad_if_needed")
@dataclass(eq=False)
class PadIfNeeded(AlbumentationsTransform):
    """Extend the image on all sides up to a least size.

    Args:
        min_height: Height that comes out at least, in pixels.
        min_width: Width that comes out at least, in pixels.
        border_mode: Fill of the extension: `constant` (`value`), `replicate` (the edge), `reflect`,
            `reflect_101` (mirrored) or `wrap`, by name or OpenCV's number.
        value: Brightness 0..255 of a constant extension, one number or one per channel.
        mask_value: Class index of a constant extension in masks.
    """

    draws_at_random: ClassVar[bool] = False
    library_class = "PadIfNeeded"

    min_height: Pixels = 1024
    min_width: Pixels = 1024
    border_mode: Border = "reflect_101"
    value: FillValue = None
    mask_value: int | None = None
    p: Share = 1.0

    @overrides
    def fired_size(self, height: int | None, width: int | None) -> Size:
        return (
            None if height is None else max(height, self.min_height),
            None if width is None else max(width, self.min_width),
        )
