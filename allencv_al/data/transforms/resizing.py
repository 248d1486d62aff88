"""Transforms that scale the whole picture."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from overrides import overrides

from allencv_al.data.sample import Sample
from allencv_al.data.transforms.albumentations_adapter import (
    AlbumentationsTransform,
    Interpolation,
    interpolation_number,
)
from allencv_al.data.transforms.base import ImageTransform, Size
from allencv_al.data.transforms.checks import check_pixels


@ImageTransform.register("resize")
class Resize(AlbumentationsTransform):
    """Scale to a fixed height and width; the aspect ratio is not kept.

    Args:
        height: Height that comes out, in pixels.
        width: Width that comes out, in pixels.
        interpolation: How pixels are mixed (masks: always the nearest), by name or OpenCV's
            number. `linear` does not smooth when it shrinks; `area` does, at about twice the time.
        p: How often it fires, 0..1. Below 1 the pictures of a batch can differ in size.
    """

    draws_at_random: ClassVar[bool] = False

    library_class = "Resize"

    def __init__(
        self,
        height: int,
        width: int,
        interpolation: Interpolation = "linear",
        p: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(p, **kwargs)
        check_pixels(height=height, width=width)
        self.height = height
        self.width = width
        self.interpolation = interpolation

    @overrides
    def library_arguments(self) -> dict[str, Any]:
        return {
            "height": self.height,
            "width": self.width,
            "interpolation": interpolation_number(self.interpolation),
        }

    @overrides
    def fired_size(self, height: int | None, width: int | None) -> Size:
        return self.height, self.width

    @property
    @overrides
    def scales_to(self) -> int | None:
        return max(self.height, self.width) if self.p == 1 else None


class _MaxSize(AlbumentationsTransform):
    """Scale so that one side has a given length.

    Args:
        max_size: The length, in pixels.
        interpolation: How pixels are mixed, by name or OpenCV's number.
        p: How often it fires, 0..1.
    """

    draws_at_random: ClassVar[bool] = False

    # The library's own SmallestMaxSize and LongestMaxSize truncate: a side of 374 scaled by 256/374
    # can come out as 255, and a crop of 256 after it fails.
    library_class = "Resize"

    def __init__(
        self,
        max_size: int = 1024,
        interpolation: Interpolation = "linear",
        p: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(p, **kwargs)
        check_pixels(max_size=max_size)
        self.max_size = max_size
        self.interpolation = interpolation

    @abstractmethod
    def side(self, height: int, width: int) -> int:
        """Return the side that gets the length."""

    def scaled(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width that come out."""
        scale = self.max_size / self.side(height, width)
        return max(1, round(height * scale)), max(1, round(width * scale))

    @overrides
    def library_arguments(self) -> dict[str, Any]:
        return {
            "height": self.max_size,
            "width": self.max_size,
            "interpolation": interpolation_number(self.interpolation),
        }

    @overrides
    def draw(self, transform: Any, sample: Sample) -> dict[str, Any]:
        transform.height, transform.width = self.scaled(*sample.image.shape[:2])
        return super().draw(transform, sample)

    @property
    @overrides
    def scales_to(self) -> int | None:
        return self.max_size if self.p == 1 else None

    @overrides
    def fired_size(self, height: int | None, width: int | None) -> Size:
        if height is None or width is None:
            return None, None
        return self.scaled(height, width)


@ImageTransform.register("smallest_max_size")
class SmallestMaxSize(_MaxSize):
    """Scale so that the shorter side has a given length; the aspect ratio is kept.

    Args:
        max_size: Length of the shorter side that comes out, in pixels.
        interpolation: How pixels are mixed (masks: always the nearest), by name or OpenCV's
            number. `linear` does not smooth when it shrinks; `area` does, at about twice the time.
        p: How often it fires, 0..1.
    """

    @overrides
    def side(self, height: int, width: int) -> int:
        return min(height, width)


@ImageTransform.register("longest_max_size")
class LongestMaxSize(_MaxSize):
    """Scale so that the longer side has a given length; the aspect ratio is kept.

    Args:
        max_size: Length of the longer side that comes out, in pixels.
        interpolation: How pixels are mixed (masks: always the nearest), by name or OpenCV's
            number. `linear` does not smooth when it shrinks; `area` does, at about twice the time.
        p: How often it fires, 0..1.
    """

    @overrides
    def side(self, height: int, width: int) -> int:
        return max(height, width)
