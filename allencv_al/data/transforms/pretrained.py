"""The preprocessing of a pretrained network, as one transform."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from overrides import overrides

from allencv_al.data.instance import Sample
from allencv_al.data.transforms.base import Channels, ImageTransform, Normalization, Pixels, Size
from allencv_al.data.transforms.cropping import CenterCrop
from allencv_al.data.transforms.normalize import Deviations, Normalize
from allencv_al.data.transforms.resizing import ScalingInterpolation, SmallestMaxSize


def _complete(
    model: str | None,
    height: int | None,
    width: int | None,
    mean: Channels | None,
    std: Deviations | None,
) -> Iterator[tuple[str, str]]:
    needed = {"height": height, "width": width, "mean": mean, "std": std}
    missing = [name for name, value in needed.items() if value is None]
    if missing and model is not None:
        yield (
            "model",
            f'"{model}" is no known network: expected timm:NAME, torchvision:NAME or offline in '
            f"the config of an experiment; elsewhere give {', '.join(missing)}",
        )
    elif missing:
        yield (
            "",
            f"needs {', '.join(missing)}: no pretrained network gives them; name one "
            '("model": "timm:resnet18"), or use it in an experiment whose model has an encoder of '
            "timm or torchvision",
        )


def _fits(height: int | None, width: int | None, resize: int | None) -> Iterator[tuple[str, str]]:
    if height and width and resize and resize < max(height, width):
        yield (
            "resize",
            f"expected at least {max(height, width)}, the longer side of the crop, found {resize}",
        )


@ImageTransform.register("pretrained")
class PretrainedPreprocessing(ImageTransform):
    """Scale the shorter side, cut out the middle and normalize, as a pretrained network expects.

    In the config of an experiment the word `"pretrained"` is enough: sizes, mean and deviation are
    those of the model's encoder (timm's data config, the transforms of torchvision's weights, the
    `config.json` of a folder of weights). They are written into the config that the run and its
    archive keep, so that a later version of a library changes nothing. What is given here wins.

    It is the same as `smallest_max_size`, `center_crop` and `normalize` in a row; put flips behind
    it, and other random transforms before it (with `resize` equal to `height`, so that a random
    crop is not cut again).

    Args:
        model: The network whose preprocessing to take: `timm:NAME` or `torchvision:NAME`, with
            `:WEIGHTS` behind it where a file, folder or package holds its weights; `offline`.
            Default: the encoder of the experiment's model.
        height: Height that comes out, in pixels; equal to `width` if only that is given.
        width: Width that comes out, in pixels; equal to `height` if only that is given.
        resize: Length of the shorter side before the crop. Default: the network's, in proportion
            if the size is given; else the longer of height and width.
        mean: Mean of R, G and B, as a share of white.
        std: Standard deviation of R, G and B, as a share of white.
        interpolation: Interpolation, by name or OpenCV's number. `smooth` is `area` to shrink
            and `linear` to enlarge, as the libraries' own resizing smooths.
    """

    joint_rules = (_complete, _fits)
    draws_at_random: ClassVar[bool] = False

    def __init__(
        self,
        model: str | None = None,
        height: Pixels | None = None,
        width: Pixels | None = None,
        resize: Pixels | None = None,
        mean: Channels | None = None,
        std: Deviations | None = None,
        interpolation: ScalingInterpolation = "smooth",
    ) -> None:
        assert height is not None and width is not None and mean is not None and std is not None
        self._steps = (
            SmallestMaxSize(resize or max(height, width), interpolation),
            CenterCrop(height, width),
            Normalize(mean, std),
        )

    @property
    @overrides
    def steps(self) -> tuple[ImageTransform, ...]:
        return self._steps

    @overrides
    def apply(self, sample: Sample, generator: np.random.Generator) -> Sample:
        for step in self._steps:
            sample = step.apply(sample, generator)
        return sample

    @overrides
    def output_size(self, height: int | None, width: int | None) -> Size:
        for step in self._steps:
            height, width = step.output_size(height, width)
        return height, width

    @overrides
    def as_normalization(self) -> Normalization | None:
        # For the order's check: the pipeline itself runs `steps`, and defers the last of them
        return self._steps[-1].as_normalization()
