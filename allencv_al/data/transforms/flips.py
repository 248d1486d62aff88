"""Transforms that mirror the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from overrides import overrides

from allencv_al.data.instance import Sample
from allencv_al.data.transforms.albumentations_adapter import AlbumentationsTransform
from allencv_al.data.transforms.base import ChanceTransform, ImageTransform, Share


@ImageTransform.register("horizontal_flip")
@dataclass(eq=False)
class HorizontalFlip(AlbumentationsTransform):
    """Mirror left and right."""

    draws_at_random: ClassVar[bool] = False
    library_class = "HorizontalFlip"
    only_moves_pixels = True

    p: Share = 0.5


@ImageTransform.register("vertical_flip")
@dataclass(eq=False)
class VerticalFlip(AlbumentationsTransform):
    """Mirror top and bottom."""

    draws_at_random: ClassVar[bool] = False
    library_class = "VerticalFlip"
    only_moves_pixels = True

    p: Share = 0.5


@ImageTransform.register("flip")
class Flip(ChanceTransform):
    """Mirror left and right, top and bottom, or both: a third of the time each when it fires."""

    only_moves_pixels = True

    _horizontal: ClassVar[ChanceTransform] = HorizontalFlip(p=1)
    _vertical: ClassVar[ChanceTransform] = VerticalFlip(p=1)

    @overrides
    def fire(self, sample: Sample, generator: np.random.Generator) -> Sample:
        direction = generator.integers(-1, 2)  # OpenCV's numbers: both, vertical, horizontal
        if direction != 1:
            sample = self._vertical.fire(sample, generator)
        if direction != 0:
            sample = self._horizontal.fire(sample, generator)
        return sample
