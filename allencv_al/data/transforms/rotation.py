"""Transforms that turn, shear, scale and shift the image in its frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from allencv_al.common.errors import ConfigurationError
from allencv_al.data.transforms.albumentations_adapter import (
    AlbumentationsTransform,
    Border,
    FillValue,
    Interpolation,
)
from allencv_al.data.transforms.base import FromTo, ImageTransform, NumberOrRange, Share, Symmetric


@ImageTransform.register("rotate")
@dataclass(eq=False)
class Rotate(AlbumentationsTransform):
    """Turn the image about its middle by a random angle; the size stays.

    Args:
        limit: Degrees, counterclockwise where positive: a number n for -n..n, or [from, to].
    """

    library_class = "Rotate"

    limit: Annotated[NumberOrRange, Symmetric()] = 90
    interpolation: Interpolation = "linear"
    border_mode: Border = "reflect_101"
    value: FillValue = None
    mask_value: int | None = None
    p: Share = 0.5


@ImageTransform.register("affine")
@dataclass(eq=False)
class Affine(AlbumentationsTransform):
    """Scale, shift, turn and shear the image in its frame; the size stays.

    Args:
        scale: Factor, above 1 to enlarge: a number for exactly that, or [from, to]. Height and
            width get one each.
        translate_percent: Shift as a share of the side (0.1: a tenth), a number or [from, to].
        translate_px: Shift in pixels, a number or [from, to]. Not together with
            `translate_percent`.
        rotate: Degrees, a number or [from, to].
        shear: Degrees, a number or [from, to]; each axis gets one.
        keep_ratio: Scale height and width by the same factor.
    """

    library_class = "Affine"

    scale: Annotated[NumberOrRange, FromTo(above=0)] = 1.0
    translate_percent: Annotated[NumberOrRange, FromTo()] | None = None
    translate_px: Annotated[int | tuple[int, int], FromTo()] | None = None
    rotate: Annotated[NumberOrRange, FromTo()] = 0.0
    shear: Annotated[NumberOrRange, FromTo()] = 0.0
    keep_ratio: bool = False
    interpolation: Interpolation = "linear"
    border_mode: Border = "constant"
    value: FillValue = None
    mask_value: int | None = None
    p: Share = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.translate_percent is not None and self.translate_px is not None:
            raise ConfigurationError(
                "translate_px: expected one of translate_percent and translate_px, found both"
            )
