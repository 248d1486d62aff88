"""Decoders from feature maps of several scales to one map."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar

import torch
from annotated_types import MinLen
from overrides import overrides
from torch import Tensor
from torch.nn import functional as F

from allencv_al.common import Registrable
from allencv_al.modules.feedforward import Count
from allencv_al.modules.image_encoders.conv_maps import conv_block

_DROPOUT = 0.1


class ImageDecoder(torch.nn.Module, Registrable):
    """A network from feature maps of several scales, finest first, to one map."""

    builtin: ClassVar[dict[str, str]] = {
        "basic": "allencv_al.modules.image_decoders",
        "unet": "allencv_al.modules.image_decoders",
    }
    injected = ("map_channels",)

    def __init__(self) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return one map `[B, C', H', W']` for the maps `[B, C_i, H_i, W_i]`."""
        raise NotImplementedError

    @abstractmethod
    def get_output_channels(self) -> int:
        """Return C'."""
        raise NotImplementedError

    @abstractmethod
    def channel_fault(self, channels: Sequence[int]) -> str | None:
        """Return why maps of these numbers of channels do not fit, or None."""


def _powers_of_two(input_scales: list[int]) -> Iterator[tuple[str, str]]:
    # A power of 2 has one bit, and scale - 1 all bits below it
    odd = [scale for scale in input_scales if scale & (scale - 1)]
    if odd:
        yield "input_scales", f"expected powers of 2, found {odd[0]}"


@ImageDecoder.register("basic")
class BasicDecoder(ImageDecoder):
    """Enlarge each map to the size of the first, with a convolution before each doubling, and sum.

    Each step is a 3x3 convolution, ReLU, batch norm, dropout of 0.1 and nearest-neighbor doubling;
    a map of scale 1 has one such step without the doubling. What rounding of odd sizes leaves is
    resized. Maps beyond the scales are not used.

    Args:
        input_scales: For each map the factor to enlarge it by, powers of 2: `[1, 2, 4, 8]`.
        input_channels: Channels of each map.
        output_channels: Channels of the sum.
    """

    joint_rules = (_powers_of_two,)

    def __init__(
        self,
        input_scales: Annotated[list[Count], MinLen(1)],
        input_channels: Count,
        output_channels: Count,
    ) -> None:
        super().__init__()
        self._input_channels = input_channels
        self._output_channels = output_channels
        self.stages = torch.nn.ModuleList(
            _enlarging(scale.bit_length() - 1, input_channels, output_channels)
            for scale in input_scales
        )

    @overrides
    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        if len(maps) < len(self.stages):
            raise ValueError(
                f"input_scales: expected at most {len(maps)}, the number of maps, "
                f"found {len(self.stages)}"
            )
        pairs = zip(self.stages, maps, strict=False)
        first: Tensor
        first, *others = [stage(one) for stage, one in pairs]
        for other in others:
            first = first + _of_size(other, first.shape[-2:])
        return first

    @overrides
    def get_output_channels(self) -> int:
        return self._output_channels

    @overrides
    def channel_fault(self, channels: Sequence[int]) -> str | None:
        used = channels[: len(self.stages)]
        if len(used) < len(self.stages):
            return f"input_scales: expected at most {len(used)}, the number of maps of the encoder"
        wrong = [one for one in used if one != self._input_channels]
        if not wrong:
            return None
        return (
            f"input_channels: the encoder's maps have {', '.join(map(str, used))} channels, found "
            f'{self._input_channels}; a "feature_pyramid" gives all maps one number'
        )


@ImageDecoder.register("unet")
class UNetDecoder(ImageDecoder):
    """Enlarge the coarsest map step by step, joined with the map of each size.

    The way up of a U-Net (Ronneberger et al. 2015, arXiv:1505.04597). Each step gives as
    many channels as the map that is joined has, so the result has those of the first map.

    Args:
        map_channels: Channels of each map, finest first; those of the model's encoder.
    """

    def __init__(self, map_channels: Annotated[list[Count], MinLen(1)]) -> None:
        super().__init__()
        self._map_channels = map_channels
        pairs = zip(map_channels[1:], map_channels, strict=False)
        self.stages = torch.nn.ModuleList(conv_block(coarse + fine, fine) for coarse, fine in pairs)

    @overrides
    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        *finer, result = maps
        for stage, fine in zip(reversed(self.stages), reversed(finer), strict=True):
            result = stage(torch.cat([_of_size(result, fine.shape[-2:]), fine], dim=1))
        return result

    @overrides
    def get_output_channels(self) -> int:
        return self._map_channels[0]

    @overrides
    def channel_fault(self, channels: Sequence[int]) -> str | None:
        if list(channels) == self._map_channels:
            return None
        return (
            f"map_channels: expected those of the encoder, {channels}, found {self._map_channels}"
        )


def _enlarging(doublings: int, channels: int, output_channels: int) -> torch.nn.Sequential:
    steps: list[torch.nn.Module] = []
    # At least once, so that a map of scale 1 comes to the width of the others
    for step in range(max(doublings, 1)):
        steps += [
            torch.nn.Conv2d(output_channels if step else channels, output_channels, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.BatchNorm2d(output_channels),
            torch.nn.Dropout(_DROPOUT),
        ]
        if doublings:
            steps.append(torch.nn.Upsample(scale_factor=2))
    return torch.nn.Sequential(*steps)


def _of_size(image: Tensor, size: torch.Size) -> Tensor:
    # Halving an odd side rounds, so that doubling misses it by a pixel or two
    return image if image.shape[-2:] == size else F.interpolate(image, size=tuple(size))
