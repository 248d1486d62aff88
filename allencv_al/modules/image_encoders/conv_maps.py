"""A small convolutional network with a feature map of each level."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import torch
from annotated_types import Ge
from overrides import overrides
from torch import Tensor

from allencv_al.modules.feedforward import Count
from allencv_al.modules.image_encoders.base import ImageEncoder, MapsEncoder


def conv_block(input_channels: int, output_channels: int) -> torch.nn.Sequential:
    """Return two 3x3 convolutions, each with batch norm and ReLU; the size stays."""
    steps: list[torch.nn.Module] = []
    for channels in (input_channels, output_channels):
        steps += [
            torch.nn.Conv2d(channels, output_channels, 3, padding=1, bias=False),
            torch.nn.BatchNorm2d(output_channels),
            torch.nn.ReLU(),
        ]
    return torch.nn.Sequential(*steps)


def _some_level_is_left(num_levels: int, skip_levels: int) -> Iterator[tuple[str, str]]:
    if skip_levels >= num_levels:
        yield "skip_levels", f"expected less than num_levels, {num_levels}, found {skip_levels}"


@ImageEncoder.register("conv_maps")
class ConvMapsEncoder(MapsEncoder):
    """Levels of two convolutions, with 2x2 maximum pooling in between: the way down of a U-Net.

    For small images and tests: with the image decoder `unet` the network of Ronneberger et al.
    2015 (arXiv:1505.04597), with batch norm and padding. Level i, from 0, has `base_channels` * 2^i
    channels. Parameters are `model.LEVEL.…`.

    Args:
        base_channels: Channels of the first level; 64 in the paper.
        num_levels: Number of levels.
        skip_levels: Number of the first levels whose maps are not given: 2 makes the first map a
            quarter of the image's size, which is fine enough for boxes.
        input_channels: Channels of the image.
    """

    joint_rules = (_some_level_is_left,)

    def __init__(
        self,
        base_channels: Count = 16,
        num_levels: Count = 4,
        skip_levels: Annotated[int, Ge(0)] = 0,
        input_channels: Count = 3,
    ) -> None:
        widths = [base_channels * 2**level for level in range(num_levels)]
        levels = torch.nn.ModuleList(
            conv_block(before, width)
            for before, width in zip([input_channels, *widths], widths, strict=False)
        )
        super().__init__(levels, input_channels, requires_grad=True)
        self._skip_levels = skip_levels

    @overrides
    def encode(self, image: Tensor) -> list[Tensor]:
        maps = []
        levels: Any = self.model
        for level, block in enumerate(levels):
            image = block(torch.nn.functional.max_pool2d(image, 2) if level else image)
            maps.append(image)
        return maps[self._skip_levels :]
