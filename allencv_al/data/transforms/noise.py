"""Transforms that blur, add noise or blot out, and move nothing."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal

import numpy as np
from overrides import overrides

from allencv_al.common.errors import ConfigurationError
from allencv_al.data.sample import Sample
from allencv_al.data.transforms.albumentations_adapter import AlbumentationsTransform
from allencv_al.data.transforms.base import ImageTransform
from allencv_al.data.transforms.checks import as_range


@ImageTransform.register("gaussian_blur")
class GaussianBlur(AlbumentationsTransform):
    """Blur with a Gaussian of random size.

    Args:
        blur_limit: Width of the kernel in pixels: an odd number n for one of 3, 5 .. n, or
            [from, to], both odd and at least 3.
        sigma_limit: Standard deviation in pixels, a number or [from, to]; 0 takes OpenCV's for the
            kernel, 0.3 * ((width - 1) / 2 - 1) + 0.8.
        p: How often it fires, 0..1.
    """

    library_class = "GaussianBlur"
    moves_labels = False

    def __init__(
        self,
        blur_limit: int | tuple[int, int] = 7,
        sigma_limit: float | tuple[float, float] = 0,
        p: float = 0.5,
        **kwargs: Any,
    ) -> None:
        super().__init__(p, **kwargs)
        widths = (3, blur_limit) if isinstance(blur_limit, int) else blur_limit
        if not (3 <= widths[0] <= widths[1] and widths[0] % 2 == widths[1] % 2 == 1):
            raise ConfigurationError(
                "blur_limit: expected an odd number from 3 on, or [from, to] of such, "
                f"found {blur_limit if isinstance(blur_limit, int) else list(blur_limit)}"
            )
        self.blur_limit = widths
        self.sigma_limit = as_range("sigma_limit", sigma_limit, 0)

    @overrides
    def library_arguments(self) -> dict[str, Any]:
        return {"blur_limit": self.blur_limit}

    @overrides
    def fire(self, sample: Sample, generator: np.random.Generator) -> Sample:
        """Blur; the library clips float pictures to 0..1, so others are brought there and back."""
        if sample.image.dtype == np.uint8:
            return super().fire(sample, generator)
        low, high = sample.image.min(), sample.image.max()
        span = max(high - low, np.float32(1e-6))
        inside = dataclasses.replace(sample, image=(sample.image - low) / span)
        blurred = super().fire(inside, generator)
        return dataclasses.replace(blurred, image=blurred.image * span + low)

    @overrides
    def draw(self, transform: Any, sample: Sample) -> dict[str, Any]:
        """Draw the kernel: the library of today has no width that sets its own sigma."""
        params = super().draw(transform, sample)
        low, high = self.blur_limit
        width = int(transform.random_generator.integers(low // 2, high // 2 + 1)) * 2 + 1
        sigma = transform.random_generator.uniform(*self.sigma_limit)
        if sigma == 0:
            sigma = 0.3 * ((width - 1) / 2 - 1) + 0.8
        kernel = np.exp(-0.5 * ((np.arange(width) - width // 2) / sigma) ** 2)
        params["kernel"] = kernel / kernel.sum()
        return params


@ImageTransform.register("gauss_noise")
class GaussNoise(AlbumentationsTransform):
    """Add Gaussian noise, each pixel and channel on its own.

    Args:
        var_limit: Variance of the noise in levels of 255, squared: a number n for 10..n, or
            [from, to]. The standard deviation is drawn evenly between the two roots.
        mean: Mean of the noise, in levels of 255.
        p: How often it fires, 0..1.
    """

    library_class = "GaussNoise"
    moves_labels = False
    needs_raw_pixels = True

    def __init__(
        self,
        var_limit: float | tuple[float, float] = (10.0, 50.0),
        mean: float = 0.0,
        p: float = 0.5,
        **kwargs: Any,
    ) -> None:
        super().__init__(p, **kwargs)
        if isinstance(var_limit, (int, float)):
            var_limit = (min(10.0, var_limit), var_limit)
        self.var_limit = as_range("var_limit", var_limit, 0, 255**2)
        self.mean = as_range("mean", mean, -255, 255)[0]

    @overrides
    def library_arguments(self) -> dict[str, Any]:
        low, high = self.var_limit
        return {
            "std_range": (math.sqrt(low) / 255, math.sqrt(high) / 255),
            "mean_range": (self.mean / 255, self.mean / 255),
        }

    @overrides
    def draw(self, transform: Any, sample: Sample) -> dict[str, Any]:
        """Draw the noise: the library's comes from OpenCV's own state, and loses its fractions."""
        generator = transform.random_generator
        low, high = self.var_limit
        deviation = generator.uniform(math.sqrt(low), math.sqrt(high))
        noise = generator.standard_normal(sample.image.shape, dtype=np.float32)
        noise = np.rint(noise * np.float32(deviation) + np.float32(self.mean))
        return {"noise_map": noise if sample.image.dtype == np.uint8 else noise / np.float32(255)}


@ImageTransform.register("coarse_dropout")
class CoarseDropout(AlbumentationsTransform):
    """Blot out rectangles of the picture; labels stay.

    DeVries and Taylor 2017, "Improved Regularization of Convolutional Neural Networks with Cutout".

    Args:
        max_holes: Rectangles at most.
        max_height: Height of one at most, in pixels (no more than the picture's).
        max_width: Width of one at most, in pixels (no more than the picture's).
        min_holes: Rectangles at least; null for `max_holes`.
        min_height: Height of one at least, in pixels; null for `max_height`.
        min_width: Width of one at least, in pixels; null for `max_width`.
        fill_value: What shows in them: a brightness 0..255, one per channel, or `random`.
        p: How often it fires, 0..1.
    """

    library_class = "CoarseDropout"
    moves_labels = False

    def __init__(
        self,
        max_holes: int = 8,
        max_height: int = 8,
        max_width: int = 8,
        min_holes: int | None = None,
        min_height: int | None = None,
        min_width: int | None = None,
        fill_value: float | tuple[float, float, float] | Literal["random"] = 0,
        p: float = 0.5,
        **kwargs: Any,
    ) -> None:
        super().__init__(p, **kwargs)
        self.holes = _at_most("holes", min_holes, max_holes)
        self.height = _at_most("height", min_height, max_height)
        self.width = _at_most("width", min_width, max_width)
        self.fill_value = fill_value

    @overrides
    def library_arguments(self) -> dict[str, Any]:
        return {
            "num_holes_range": self.holes,
            "hole_height_range": self.height,
            "hole_width_range": self.width,
            "fill": self.fill_value,
        }

    @overrides
    def draw(self, transform: Any, sample: Sample) -> dict[str, Any]:
        height, width = sample.image.shape[:2]
        transform.hole_height_range = _within(self.height, height)
        transform.hole_width_range = _within(self.width, width)
        return super().draw(transform, sample)


def _within(lengths: tuple[int, int], side: int) -> tuple[int, int]:
    return min(lengths[0], side), min(lengths[1], side)


def _at_most(what: str, least: int | None, most: int) -> tuple[int, int]:
    least = most if least is None else least
    if least < 1 or most < least:
        raise ConfigurationError(
            f"max_{what}: expected 1 <= min_{what} <= max_{what}, found {least} and {most}"
        )
    return least, most
