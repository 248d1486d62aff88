"""Transforms that change colors and move nothing."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from overrides import overrides

from allencv_al.data.instance import Sample
from allencv_al.data.transforms.albumentations_adapter import AlbumentationsTransform
from allencv_al.data.transforms.base import (
    Factors,
    ImageTransform,
    NumberOrRange,
    Share,
    Symmetric,
)


@ImageTransform.register("channel_shuffle")
@dataclass(eq=False)
class ChannelShuffle(AlbumentationsTransform):
    """Put the three channels in a random order (one time in six: the one they have)."""

    library_class = "ChannelShuffle"
    moves_labels = False

    p: Share = 0.5


@ImageTransform.register("to_gray")
@dataclass(eq=False)
class ToGray(AlbumentationsTransform):
    """Take the colors away; three equal channels remain."""

    draws_at_random: ClassVar[bool] = False
    library_class = "ToGray"
    moves_labels = False
    needs_raw_pixels = True

    p: Share = 0.5

    @overrides
    def fire(self, sample: Sample, generator: np.random.Generator) -> Sample:
        if 1 not in sample.image.shape[:2]:
            return super().fire(sample, generator)
        # The library loses a side of one pixel.
        doubled: Any = sample.image.repeat(2, axis=0).repeat(2, axis=1)
        gray = super().fire(dataclasses.replace(sample, image=doubled), generator)
        image: Any = np.ascontiguousarray(gray.image[::2, ::2])
        return dataclasses.replace(gray, image=image)


@ImageTransform.register("color_jitter")
@dataclass(eq=False)
class ColorJitter(AlbumentationsTransform):
    """Change brightness, contrast, saturation and hue, in random order.

    Args:
        brightness: A number n draws a factor from 1-n..1+n; [from, to] are factors.
        contrast: A number n draws a factor from 1-n..1+n; [from, to] are factors.
        saturation: A number n draws a factor from 1-n..1+n; [from, to] are factors.
        hue: Shift as a share of the color circle: a number n for -n..n, or [from, to], within
            -0.5..0.5.
    """

    library_class = "ColorJitter"
    moves_labels = False
    needs_raw_pixels = True

    brightness: Annotated[NumberOrRange, Factors()] = 0.2
    contrast: Annotated[NumberOrRange, Factors()] = 0.2
    saturation: Annotated[NumberOrRange, Factors()] = 0.2
    hue: Annotated[NumberOrRange, Symmetric(0.5)] = 0.2
    p: Share = 0.5


@ImageTransform.register("random_brightness_contrast")
@dataclass(eq=False)
class RandomBrightnessContrast(AlbumentationsTransform):
    """Change brightness and contrast.

    Args:
        brightness_limit: Added value, as a share of the full range: a number n for -n..n, or [from,
            to], within -1..1.
        contrast_limit: Added to the factor 1: a number n for -n..n, or [from, to].
        brightness_by_max: Whether brightness is a share of 255; else of the image's mean.
    """

    library_class = "RandomBrightnessContrast"
    moves_labels = False
    needs_raw_pixels = True

    brightness_limit: Annotated[NumberOrRange, Symmetric(1)] = 0.2
    contrast_limit: Annotated[NumberOrRange, Symmetric(1)] = 0.2
    brightness_by_max: bool = True
    p: Share = 0.5


@ImageTransform.register("hue_saturation_value")
@dataclass(eq=False)
class HueSaturationValue(AlbumentationsTransform):
    """Shift hue, saturation and value.

    Args:
        hue_shift_limit: Steps of 2 degrees on the color circle: a number n for -n..n, or
            [from, to], within -180..180.
        sat_shift_limit: Steps of 255: a number n for -n..n, or [from, to], within -255..255.
        val_shift_limit: Steps of 255: a number n for -n..n, or [from, to], within -255..255.
    """

    library_class = "HueSaturationValue"
    moves_labels = False
    needs_raw_pixels = True

    hue_shift_limit: Annotated[NumberOrRange, Symmetric(180)] = 20
    sat_shift_limit: Annotated[NumberOrRange, Symmetric(255)] = 30
    val_shift_limit: Annotated[NumberOrRange, Symmetric(255)] = 20
    p: Share = 0.5
