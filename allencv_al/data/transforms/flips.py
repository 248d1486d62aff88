"""Transforms that mirror the picture."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from overrides import overrides

from allencv_al.data.sample import Sample
from allencv_al.data.transforms.albumentations_adapter import AlbumentationsTransform
from allencv_al.data.transforms.base import ChanceTransform, ImageTransform


@ImageTransform.register("horizontal_flip")
class HorizontalFlip(AlbumentationsTransform):
    """Mirror left and right.

    Args:
        p: How often it fires, 0..1.
        always_apply: Fire always, whatever `p` says: as in configs of 2019.
    """

    draws_at_random: ClassVar[bool] = False

    library_class = "HorizontalFlip"
    only_moves_pixels = True

    @overrides
    def library_arguments(self) -> dict[str, Any]:
        return {}


@ImageTransform.register("vertical_flip")
class VerticalFlip(AlbumentationsTransform):
    """Mirror top and bottom.

    Args:
        p: How often it fires, 0..1.
        always_apply: Fire always, whatever `p` says: as in configs of 2019.
    """

    draws_at_random: ClassVar[bool] = False

    library_class = "VerticalFlip"
    only_moves_pixels = True

    @overrides
    def library_arguments(self) -> dict[str, Any]:
        return {}


@ImageTransform.register("flip")
class Flip(ChanceTransform):
    """Mirror left and right, top and bottom, or both: a third of the time each when it fires.

    Args:
        p: How often it fires, 0..1.
        always_apply: Fire always, whatever `p` says: as in configs of 2019.
    """

    only_moves_pixels = True

    def __init__(self, p: float = 0.5, always_apply: bool = False) -> None:
        super().__init__(p, always_apply)
        self._horizontal = HorizontalFlip(p=1)
        self._vertical = VerticalFlip(p=1)

    @overrides
    def fire(self, sample: Sample, generator: np.random.Generator) -> Sample:
        direction = generator.integers(-1, 2)  # OpenCV's numbers: both, vertical, horizontal
        if direction != 1:
            sample = self._vertical.fire(sample, generator)
        if direction != 0:
            sample = self._horizontal.fire(sample, generator)
        return sample
