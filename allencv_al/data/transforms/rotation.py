"""Transforms that turn, shear, scale and shift the picture in its frame."""

from __future__ import annotations

from typing import Any

from overrides import overrides

from allencv_al.common.errors import ConfigurationError
from allencv_al.data.transforms.albumentations_adapter import (
    AlbumentationsTransform,
    Border,
    FillValue,
    Interpolation,
    border_arguments,
    interpolation_number,
)
from allencv_al.data.transforms.base import ImageTransform
from allencv_al.data.transforms.checks import as_range, as_symmetric_range, check_positive


@ImageTransform.register("rotate")
class Rotate(AlbumentationsTransform):
    """Turn the picture about its middle by a random angle; the size stays.

    Args:
        limit: Degrees, counterclockwise where positive: a number n for -n..n, or [from, to].
        interpolation: How pixels are mixed (masks: always the nearest), by name or OpenCV's
            number.
        border_mode: What shows where the picture does not reach: `constant` (`value`), `replicate`
            (the edge), `reflect`, `reflect_101` (mirrored) or `wrap`, by name or OpenCV's number.
        value: Brightness 0..255 of a constant border, one number or one per channel.
        mask_value: Class index of a constant border in masks.
        p: How often it fires, 0..1.
    """

    library_class = "Rotate"

    def __init__(
        self,
        limit: float | tuple[float, float] = 90,
        interpolation: Interpolation = "linear",
        border_mode: Border = "reflect_101",
        value: FillValue = None,
        mask_value: int | None = None,
        p: float = 0.5,
        **kwargs: Any,
    ) -> None:
        super().__init__(p, **kwargs)
        self.limit = as_symmetric_range("limit", limit)
        self.interpolation = interpolation
        self._border = border_arguments(border_mode, value, mask_value)

    @overrides
    def library_arguments(self) -> dict[str, Any]:
        return {
            "limit": self.limit,
            "interpolation": interpolation_number(self.interpolation),
            **self._border,
        }


@ImageTransform.register("affine")
class Affine(AlbumentationsTransform):
    """Scale, shift, turn and shear the picture in its frame; the size stays.

    Args:
        scale: Factor, above 1 to enlarge: a number for exactly that, or [from, to]. Height and
            width get one each.
        translate_percent: Shift as a share of the side (0.1: a tenth), a number or [from, to].
        translate_px: Shift in pixels, a number or [from, to]. Not together with
            `translate_percent`.
        rotate: Degrees, a number or [from, to].
        shear: Degrees, a number or [from, to]; each axis gets one.
        keep_ratio: Scale height and width by the same factor.
        interpolation: How pixels are mixed (masks: always the nearest), by name or OpenCV's
            number.
        border_mode: What shows where the picture does not reach: `constant` (`value`), `replicate`
            (the edge), `reflect`, `reflect_101` (mirrored) or `wrap`, by name or OpenCV's number.
        value: Brightness 0..255 of a constant border, one number or one per channel.
        mask_value: Class index of a constant border in masks.
        p: How often it fires, 0..1.
    """

    library_class = "Affine"

    def __init__(
        self,
        scale: float | tuple[float, float] = 1.0,
        translate_percent: float | tuple[float, float] | None = None,
        translate_px: int | tuple[int, int] | None = None,
        rotate: float | tuple[float, float] = 0.0,
        shear: float | tuple[float, float] = 0.0,
        keep_ratio: bool = False,
        interpolation: Interpolation = "linear",
        border_mode: Border = "constant",
        value: FillValue = None,
        mask_value: int | None = None,
        p: float = 0.5,
        **kwargs: Any,
    ) -> None:
        super().__init__(p, **kwargs)
        if translate_percent is not None and translate_px is not None:
            raise ConfigurationError(
                "translate_px: expected one of translate_percent and translate_px, found both"
            )
        self.scale = as_range("scale", scale)
        check_positive(scale=self.scale[0])
        self.translate_percent = _range_or_none("translate_percent", translate_percent)
        self.translate_px = _range_or_none("translate_px", translate_px)
        self.rotate = as_range("rotate", rotate)
        self.shear = as_range("shear", shear)
        self.keep_ratio = keep_ratio
        self.interpolation = interpolation
        self._border = border_arguments(border_mode, value, mask_value)

    @overrides
    def library_arguments(self) -> dict[str, Any]:
        return {
            "scale": self.scale,
            "translate_percent": self.translate_percent,
            "translate_px": self.translate_px,
            "rotate": self.rotate,
            "shear": self.shear,
            "keep_ratio": self.keep_ratio,
            "interpolation": interpolation_number(self.interpolation),
            **self._border,
        }


def _range_or_none(
    name: str, value: float | tuple[float, float] | None
) -> tuple[float, float] | None:
    return None if value is None else as_range(name, value)
