"""From brightness to what a network was trained on."""

from __future__ import annotations

import dataclasses
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Gt
from overrides import overrides

from allencv_al.common.errors import ConfigurationError
from allencv_al.data.instance import Sample
from allencv_al.data.transforms.base import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    ChanceTransform,
    Channels,
    ImageTransform,
    Normalization,
)

Deviations = tuple[Annotated[float, Gt(0)], Annotated[float, Gt(0)], Annotated[float, Gt(0)]]

# Of Detectron's models: BGR, 0..255.
BGR_MEAN: Channels = (102.98, 115.95, 122.77)
BGR_STD: Channels = (1.0, 1.0, 1.0)


class _Normalizing(ChanceTransform):
    """Normalize each image, where the pipeline cannot do it for the whole batch.

    Args:
        normalization: The arithmetic.
        p: 1; anything else is an error.
        always_apply: Fire always, whatever `p` says: as in configs of 2019.
    """

    draws_at_random: ClassVar[bool] = False

    def __init__(
        self, normalization: Normalization, p: float = 1.0, always_apply: bool = False
    ) -> None:
        super().__init__(p, always_apply)
        if self.p != 1:
            raise ConfigurationError(
                f"p: expected 1, found {p}: normalized and raw images do not go into one batch"
            )
        self.normalization = normalization

    @overrides
    def as_normalization(self) -> Normalization:
        return self.normalization

    @overrides
    def fire(self, sample: Sample, generator: np.random.Generator) -> Sample:
        image = self.normalization.of_image(sample.image)
        return dataclasses.replace(sample, image=image)


@ImageTransform.register("normalize")
class Normalize(_Normalizing):
    """Take the mean from each channel and divide by the standard deviation; masks stay.

    `(x - mean * max_pixel_value) / (std * max_pixel_value)`. The defaults are those of ImageNet.

    Args:
        mean: Mean of R, G and B, as a share of `max_pixel_value`.
        std: Standard deviation of R, G and B, as a share of `max_pixel_value`.
        max_pixel_value: Brightness of white.
        p: Always 1: normalized and raw images do not go into one batch.
        always_apply: Fire always, whatever `p` says: as in configs of 2019.
    """

    def __init__(
        self,
        mean: Channels = IMAGENET_MEAN,
        std: Deviations = IMAGENET_STD,
        max_pixel_value: Annotated[float, Gt(0)] = 255.0,
        p: float = 1.0,
        always_apply: bool = False,
    ) -> None:
        super().__init__(Normalization(mean, std, max_pixel_value), p, always_apply)


@ImageTransform.register("bgr_normalize")
class BgrNormalize(_Normalizing):
    """Turn RGB into BGR, take the mean from each channel and divide by the standard deviation.

    `(x - mean) / std` of brightness 0..255, as the models of Caffe and Detectron expect. A float
    image is taken to be in 0..1.

    Args:
        mean: Mean of B, G and R, 0..255.
        std: Standard deviation of B, G and R, 0..255.
        p: Always 1: normalized and raw images do not go into one batch.
        always_apply: Fire always, whatever `p` says: as in configs of 2019.
    """

    def __init__(
        self,
        mean: Channels = BGR_MEAN,
        std: Deviations = BGR_STD,
        p: float = 1.0,
        always_apply: bool = False,
    ) -> None:
        super().__init__(Normalization(mean, std, 1.0, reverse_channels=True), p, always_apply)

    @overrides
    def fire(self, sample: Sample, generator: np.random.Generator) -> Sample:
        if sample.image.dtype != np.uint8:
            white = np.float32(255)
            sample = dataclasses.replace(sample, image=sample.image * white)
        return super().fire(sample, generator)
