"""Two-dimensional convolutions by name: PyTorch's, and one written out."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from overrides import overrides
from torch import Tensor
from torch.nn import functional as F

from allencv_al.common import Registrable

_HERE = "allencv_al.modules.convolutions"


class Convolution(torch.nn.Module, Registrable):
    """A convolution (cross-correlation) of images `[B, C, H, W]`, with parameters of its own.

    The encoder that holds it gives the sizes, so a config names the type alone. All of them have
    the parameters `weight` `[C', C / groups, k, k]` and `bias` `[C']`, which start as
    `torch.nn.Conv2d` starts its own: with the same seed they hold the same numbers.

    Args:
        in_channels: C.
        out_channels: C'.
        kernel_size: Side of the kernel, k.
        stride: Pixels between two places of the kernel.
        padding: Zeros around the image, on each side.
        dilation: Pixels between two points of the kernel.
        groups: Into how many independent parts the channels fall.
    """

    builtin: ClassVar[dict[str, str]] = {"conv2d": _HERE, "unfold_conv": _HERE}
    default_implementation: ClassVar[str | None] = "conv2d"
    injected: ClassVar[tuple[str, ...]] = (
        *("in_channels", "out_channels", "kernel_size"),
        *("stride", "padding", "dilation", "groups"),
    )

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        groups: int = 1,
    ) -> None:
        super().__init__()
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups
        self.weight = torch.nn.Parameter(
            torch.empty(out_channels, in_channels // groups, kernel_size, kernel_size)
        )
        self.bias = torch.nn.Parameter(torch.empty(out_channels))
        torch.nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        bound = 1 / math.sqrt(self.weight[0].numel())
        torch.nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, image: Tensor) -> Tensor:
        """Return `[B, C', H', W']`: one value for each place of the kernel and output channel."""
        raise NotImplementedError


@Convolution.register("conv2d")
class TorchConvolution(Convolution):
    """PyTorch's own convolution (`torch.nn.functional.conv2d`)."""

    @overrides
    def forward(self, image: Tensor) -> Tensor:
        return F.conv2d(
            image, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )


@Convolution.register("unfold_conv")
class UnfoldConvolution(Convolution):
    """A convolution written out: the windows under the kernel as columns, and one matrix product.

    Values and gradients are those of `conv2d` up to rounding. It is for reading and teaching:
    slower and larger, as each pixel is held once for each point of the kernel.
    """

    @overrides
    def forward(self, image: Tensor) -> Tensor:
        windows = self._windows(image)
        batch, _, height, width = windows.shape[:4]
        columns = windows.permute(0, 1, 4, 5, 2, 3)  # [B, C, k, k, H', W']
        columns = columns.reshape(batch, self.groups, -1, height * width)
        kernels = self.weight.reshape(self.groups, self.weight.shape[0] // self.groups, -1)
        outputs = (kernels @ columns).reshape(batch, -1, height, width)
        return outputs + self.bias[:, None, None]

    def _windows(self, image: Tensor) -> Tensor:
        """Return the windows under the kernel, `[B, C, H', W', k, k]`."""
        image = F.pad(image, (self.padding,) * 4)
        reach = self.dilation * (self.weight.shape[-1] - 1) + 1
        windows = image.unfold(2, reach, self.stride).unfold(3, reach, self.stride)
        return windows[..., :: self.dilation, :: self.dilation]
