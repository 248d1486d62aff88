"""A small network in levels, with plain or residual convolutions."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Literal

import torch
from torch import Tensor

from allencv_al.common import Lazy
from allencv_al.modules.activations import Activation, ReLU
from allencv_al.modules.convolutions import Convolution, TorchConvolution
from allencv_al.modules.feedforward import Count
from allencv_al.modules.im2im_encoders.base import FeatureEncoder, Im2ImEncoder

_POOLS = {"max": torch.nn.MaxPool2d, "average": torch.nn.AvgPool2d}


def _odd_kernel(kernel_size: int) -> Iterator[tuple[str, str]]:
    if kernel_size % 2 == 0:
        yield "kernel_size", f"expected an odd size, which keeps the image's, found {kernel_size}"


@Im2ImEncoder.register("conv_levels")
class ConvLevelsEncoder(FeatureEncoder):
    """Levels that double the channels and halve the image, with plain or residual convolutions.

    Level i is a 1x1 convolution to `base_channels` * 2^i channels, then `units_per_level` units,
    then 2x2 pooling. With the defaults 3x32x32 becomes 32x4x4; behind it, `im2vec_encoder: {"type":
    "pool", "mode": "average"}` and ten classes make 13,202 parameters with `conv: "torch"` and
    16,338 with `conv: "custom"`.

    Args:
        conv: Kind of unit. "torch": a convolution and an activation. "custom": a residual block,
            which adds to its input three times batch norm, convolution and activation, with kernels
            of 1, `kernel_size` and 1; nothing comes after the sum.
        input_channels: Channels of the image.
        base_channels: Channels of the first level.
        num_levels: Number of levels; each needs an image of at least 2x2.
        units_per_level: Units in each level.
        kernel_size: Side of a unit's kernel in pixels, odd. The padding keeps the size.
        activation: Function in the units, by registered name or with its arguments; `relu` by
            default.
        pool: Kind of the 2x2 pooling: "max" or "average".
        convolution: Implementation of every convolution: `conv2d` (PyTorch's, the default) or
            `unfold_conv`, which is written out. Both give the same.

    Raises:
        ConfigurationError: A number is out of range.
    """

    joint_rules = (_odd_kernel,)

    def __init__(
        self,
        conv: Literal["torch", "custom"] = "torch",
        input_channels: Count = 3,
        base_channels: Count = 8,
        num_levels: Count = 3,
        units_per_level: Count = 1,
        kernel_size: Count = 3,
        activation: Activation | None = None,
        pool: Literal["max", "average"] = "max",
        convolution: Lazy[Convolution] | None = None,
    ) -> None:
        kind = convolution or Lazy(TorchConvolution)
        unit = {"torch": _plain, "custom": _Residual}[conv]
        layers: list[torch.nn.Module] = []
        before = input_channels
        for level in range(num_levels):
            channels = base_channels * 2**level
            # 1 x 1: it only changes the number of channels
            layers.append(_convolve(kind, before, channels, 1))
            layers += [
                unit(kind, channels, kernel_size, activation or ReLU())
                for _ in range(units_per_level)
            ]
            layers.append(_POOLS[pool](2))
            before = channels
        super().__init__(torch.nn.Sequential(*layers), input_channels, requires_grad=True)


class _Residual(torch.nn.Module):
    def __init__(
        self, kind: Lazy[Convolution], channels: int, kernel: int, activation: Activation
    ) -> None:
        super().__init__()
        layers: list[torch.nn.Module] = []
        # A bottleneck with the norm first (He et al. 2016, arXiv:1603.05027)
        for size in (1, kernel, 1):
            layers.append(torch.nn.BatchNorm2d(channels))
            layers += _plain(kind, channels, size, activation)
        self.residual = torch.nn.Sequential(*layers)

    def forward(self, image: Tensor) -> Tensor:
        summed: Tensor = image + self.residual(image)
        return summed


def _plain(
    kind: Lazy[Convolution], channels: int, kernel: int, activation: Activation
) -> torch.nn.Sequential:
    # A copy for each: an activation may hold parameters.
    return torch.nn.Sequential(_convolve(kind, channels, channels, kernel), deepcopy(activation))


def _convolve(kind: Lazy[Convolution], before: int, after: int, kernel: int) -> Convolution:
    return kind.construct(
        in_channels=before, out_channels=after, kernel_size=kernel, padding=kernel // 2
    )
