"""Transforms that change colors and move nothing."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import numpy as np
from overrides import overrides

from allencv_al.common.errors import ConfigurationError
from allencv_al.data.sample import Sample
from allencv_al.data.transforms.albumentations_adapter import AlbumentationsTransform
from allencv_al.data.transforms.base import ImageTransform
from allencv_al.data.transforms.checks import as_range, as_symmetric_range


@ImageTransform.register("channel_shuffle")
class ChannelShuffle(AlbumentationsTransform):
    """Put the three channels in a random order (one time in six: the one they have).

    Args:
        p: How often it fires, 0..1.
        always_apply: Fire always, whatever `p` says: as in configs of 2019.
    """

    library_class = "ChannelShuffle"
    moves_labels = False

    @overrides
    def library_arguments(self) -> dict[str, Any]:
        return {}


@ImageTransform.register("to_gray")
class ToGray(AlbumentationsTransform):
    """Take the colors away; three equal channels remain.

    Args:
        p: How often it fires, 0..1.
        always_apply: Fire always, whatever `p` says: as in configs of 2019.
    """

    draws_at_random: ClassVar[bool] = False

    library_class = "ToGray"
    moves_labels = False
    needs_raw_pixels = True

    @overrides
    def library_arguments(self) -> dict[str, Any]:
        return {}

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
class ColorJitter(AlbumentationsTransform):
    """Change brightness, contrast, saturation and hue, in random order.

    Args:
        brightness: A number n draws a factor from 1-n..1+n; [from, to] are factors.
        contrast: A number n draws a factor from 1-n..1+n; [from, to] are factors.
        saturation: A number n draws a factor from 1-n..1+n; [from, to] are factors.
        hue: Shift as a share of the color circle: a number n for -n..n, or [from, to], within
            -0.5..0.5.
        p: How often it fires, 0..1.
    """

    library_class = "ColorJitter"
    moves_labels = False
    needs_raw_pixels = True

    def __init__(
        self,
        brightness: float | tuple[float, float] = 0.2,
        contrast: float | tuple[float, float] = 0.2,
        saturation: float | tuple[float, float] = 0.2,
        hue: float | tuple[float, float] = 0.2,
        p: float = 0.5,
        **kwargs: Any,
    ) -> None:
        super().__init__(p, **kwargs)
        self.brightness = _factors("brightness", brightness)
        self.contrast = _factors("contrast", contrast)
        self.saturation = _factors("saturation", saturation)
        self.hue = as_symmetric_range("hue", hue, 0.5)

    @overrides
    def library_arguments(self) -> dict[str, Any]:
        return {
            "brightness": self.brightness,
            "contrast": self.contrast,
            "saturation": self.saturation,
            "hue": self.hue,
        }


def _factors(name: str, value: float | tuple[float, float]) -> tuple[float, float]:
    if not isinstance(value, (int, float)):
        start, end = as_range(name, value)
        if start < 0:
            raise ConfigurationError(f"{name}: expected factors from 0 on, found {list(value)}")
        return start, end
    if value < 0:
        raise ConfigurationError(f"{name}: expected a number from 0 on, found {value}")
    return max(0.0, 1 - value), 1 + value


@ImageTransform.register("random_brightness_contrast")
class RandomBrightnessContrast(AlbumentationsTransform):
    """Change brightness and contrast.

    Args:
        brightness_limit: What is added, as a share of the full range: a number n for -n..n, or
            [from, to], within -1..1.
        contrast_limit: What is added to the factor 1: a number n for -n..n, or [from, to].
        brightness_by_max: Whether brightness is a share of 255; else of the picture's mean.
        p: How often it fires, 0..1.
    """

    library_class = "RandomBrightnessContrast"
    moves_labels = False
    needs_raw_pixels = True

    def __init__(
        self,
        brightness_limit: float | tuple[float, float] = 0.2,
        contrast_limit: float | tuple[float, float] = 0.2,
        brightness_by_max: bool = True,
        p: float = 0.5,
        **kwargs: Any,
    ) -> None:
        super().__init__(p, **kwargs)
        self.brightness_limit = as_symmetric_range("brightness_limit", brightness_limit, 1)
        self.contrast_limit = as_symmetric_range("contrast_limit", contrast_limit, 1)
        self.brightness_by_max = brightness_by_max

    @overrides
    def library_arguments(self) -> dict[str, Any]:
        return {
            "brightness_limit": self.brightness_limit,
            "contrast_limit": self.contrast_limit,
            "brightness_by_max": self.brightness_by_max,
        }


@ImageTransform.register("hue_saturation_value")
class HueSaturationValue(AlbumentationsTransform):
    """Shift hue, saturation and value.

    Args:
        hue_shift_limit: Steps of 2 degrees on the color circle: a number n for -n..n, or
            [from, to], within -180..180.
        sat_shift_limit: Steps of 255: a number n for -n..n, or [from, to], within -255..255.
        val_shift_limit: Steps of 255: a number n for -n..n, or [from, to], within -255..255.
        p: How often it fires, 0..1.
    """

    library_class = "HueSaturationValue"
    moves_labels = False
    needs_raw_pixels = True

    def __init__(
        self,
        hue_shift_limit: float | tuple[float, float] = 20,
        sat_shift_limit: float | tuple[float, float] = 30,
        val_shift_limit: float | tuple[float, float] = 20,
        p: float = 0.5,
        **kwargs: Any,
    ) -> None:
        super().__init__(p, **kwargs)
        self.hue_shift_limit = as_symmetric_range("hue_shift_limit", hue_shift_limit, 180)
        self.sat_shift_limit = as_symmetric_range("sat_shift_limit", sat_shift_limit, 255)
        self.val_shift_limit = as_symmetric_range("val_shift_limit", val_shift_limit, 255)

    @overrides
    def library_arguments(self) -> dict[str, Any]:
        return {
            "hue_shift_limit": self.hue_shift_limit,
            "sat_shift_limit": self.sat_shift_limit,
            "val_shift_limit": self.val_shift_limit,
        }
