"""Transforms that blur, add noise or blot out, and move nothing."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal, cast

import numpy as np
from annotated_types import Interval
from overrides import overrides

from allencv_al.common.errors import ConfigurationError
from allencv_al.data.instance import Sample
from allencv_al.data.transforms.albumentations_adapter import AlbumentationsTransform
from allencv_al.data.transforms.base import FromTo, ImageTransform, NumberOrRange, Range, Share


@ImageTransform.register("gaussian_blur")
@dataclass(eq=False)
class GaussianBlur(AlbumentationsTransform):
    """Blur with a Gaussian of random size.

    Args:
        blur_limit: Width of the kernel in pixels: an odd number n for one of 3, 5 .. n, or
            [from, to], both odd and at least 3.
        sigma_limit: Standard deviation in pixels, a number or [from, to]; 0 takes OpenCV's for the
            kernel, 0.3 * ((width - 1) / 2 - 1) + 0.8.
    """

    library_class = "GaussianBlur"
    moves_labels = False

    blur_limit: int | tuple[int, int] = 7
    sigma_limit: Annotated[NumberOrRange, FromTo(0)] = 0
    p: Share = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        # Below 3 a kernel blurs nothing, and OpenCV takes odd widths only
        given = self.blur_limit
        low, high = self.widths = (3, given) if isinstance(given, int) else given
        if not (3 <= low <= high and low % 2 == high % 2 == 1):
            raise ConfigurationError(
                "blur_limit: expected an odd number from 3 on, or [from, to] of such, "
                f"found {given if isinstance(given, int) else list(given)}"
            )

    @overrides
    def library_arguments(self) -> dict[str, Any]:
        return {"blur_limit": self.widths}

    @overrides
    def fire(self, sample: Sample, generator: np.random.Generator) -> Sample:
        """Blur; the library clips float images to 0..1, so others are brought there and back."""
        if sample.image.dtype == np.uint8:
            return super().fire(sample, generator)
        low, high = sample.image.min(), sample.image.max()
        # An image of one value has no span to divide by
        span = max(high - low, np.float32(1e-6))
        inside = dataclasses.replace(sample, image=(sample.image - low) / span)
        blurred = super().fire(inside, generator)
        return dataclasses.replace(blurred, image=blurred.image * span + low)

    @overrides
    def draw(self, transform: Any, sample: Sample) -> dict[str, Any]:
        """Draw the kernel: the library of today has no width that sets its own sigma."""
        params = super().draw(transform, sample)
        low, high = self.widths
        width = int(transform.random_generator.integers(low // 2, high // 2 + 1)) * 2 + 1
        sigma = transform.random_generator.uniform(*cast("Range", self.sigma_limit))
        if sigma == 0:  # OpenCV's own rule for a kernel of this width (getGaussianKernel)
            sigma = 0.3 * ((width - 1) / 2 - 1) + 0.8
        kernel = np.exp(-0.5 * ((np.arange(width) - width // 2) / sigma) ** 2)
        params["kernel"] = kernel / kernel.sum()
        return params


@ImageTransform.register("gauss_noise")
@dataclass(eq=False)
class GaussNoise(AlbumentationsTransform):
    """Add Gaussian noise, each pixel and channel on its own.

    Args:
        var_limit: Variance of the noise in levels of 255, squared: a number n for 10..n, or
            [from, to]. The standard deviation is drawn evenly between the two roots.
        mean: Mean of the noise, in levels of 255.
    """

    library_class = "GaussNoise"
    moves_labels = False
    needs_raw_pixels = True

    var_limit: NumberOrRange = (10.0, 50.0)
    mean: Annotated[float, Interval(ge=-255, le=255)] = 0.0
    p: Share = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        limit = self.var_limit
        if isinstance(limit, (int, float)):
            limit = (min(10.0, limit), limit)
        self.deviations = [math.sqrt(one) for one in FromTo(0, 255**2)("var_limit", limit)]

    @overrides
    def library_arguments(self) -> dict[str, Any]:
        low, high = self.deviations
        return {
            "std_range": (low / 255, high / 255),
            "mean_range": (self.mean / 255, self.mean / 255),
        }

    @overrides
    def draw(self, transform: Any, sample: Sample) -> dict[str, Any]:
        """Draw the noise: the library's comes from OpenCV's own state, and loses its fractions."""
        generator = transform.random_generator
        deviation = generator.uniform(*self.deviations)
        noise = generator.standard_normal(sample.image.shape, dtype=np.float32)
        noise = np.rint(noise * np.float32(deviation) + np.float32(self.mean))
        return {"noise_map": noise if sample.image.dtype == np.uint8 else noise / np.float32(255)}


@ImageTransform.register("coarse_dropout")
@dataclass(eq=False)
class CoarseDropout(AlbumentationsTransform):
    """Blot out rectangles of the image; labels stay.

    DeVries and Taylor 2017, "Improved Regularization of Convolutional Neural Networks with Cutout".

    Args:
        max_holes: Rectangles at most.
        max_height: Height of one at most, in pixels (no more than the image's).
        max_width: Width of one at most, in pixels (no more than the image's).
        min_holes: Rectangles at least; null for `max_holes`.
        min_height: Height of one at least, in pixels; null for `max_height`.
        min_width: Width of one at least, in pixels; null for `max_width`.
        fill_value: Fill of the holes: a brightness 0..255, one per channel, or `random`.
    """

    library_class = "CoarseDropout"
    moves_labels = False

    max_holes: int = 8
    max_height: int = 8
    max_width: int = 8
    min_holes: int | None = None
    min_height: int | None = None
    min_width: int | None = None
    fill_value: float | tuple[float, float, float] | Literal["random"] = 0
    p: Share = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        self.holes = _at_most("holes", self.min_holes, self.max_holes)
        self.height = _at_most("height", self.min_height, self.max_height)
        self.width = _at_most("width", self.min_width, self.max_width)

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
