"""A plain stack of convolutions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from allencv_al.modules.activations import Activation
from allencv_al.modules.feedforward import (
    Count,
    DropProbability,
    activation_per_layer,
    one_per_layer,
    per_layer,
)
from allencv_al.modules.im2im_encoders.base import FeatureEncoder, Im2ImEncoder


def _odd_kernels(kernel_sizes: int | Sequence[int]) -> Iterator[tuple[str, str]]:
    for size in kernel_sizes if isinstance(kernel_sizes, Sequence) else [kernel_sizes]:
        if size % 2 == 0:
            yield "kernel_sizes", f"expected odd sizes, which keep the image's size, found {size}"


@Im2ImEncoder.register("feedforward")
class FeedforwardEncoder(FeatureEncoder):
    """Layers of convolution, batch norm, activation and dropout; a small network to begin with.

    The padding keeps the size, so that a layer changes it only by `downsample`: two layers turn
    3x224x224 into C x 56 x 56. In a model, `input_channels` need not be given: it is that of the
    images.

    Args:
        input_channels: Channels of the image; 3 for color.
        num_layers: Number of layers.
        hidden_channels: Channels that each layer gives: one number for all, or one for each.
        activations: Function of each layer, by registered name or with its arguments: one for all,
            or one for each.
        kernel_sizes: Side of each layer's convolution in pixels, odd: one for all, or one for each.
        dropout: Probability of zeroing a value after each layer: one for all, or one for each.
        downsample: Whether each layer halves height and width (rounded up) by a stride of 2.

    Raises:
        ConfigurationError: A list is not as long as `num_layers`, or a number is out of range.
    """

    injected = ("input_channels",)
    joint_rules = (
        *one_per_layer("hidden_channels", "activations", "kernel_sizes", "dropout"),
        _odd_kernels,
    )

    def __init__(
        self,
        input_channels: Count,
        num_layers: Count,
        hidden_channels: Count | list[Count],
        activations: Activation | list[Activation],
        kernel_sizes: Count | list[Count] = 3,
        dropout: DropProbability | list[DropProbability] = 0.0,
        downsample: bool = False,
    ) -> None:
        outputs = per_layer(hidden_channels, num_layers)
        layers = [
            _layer(before, after, kernel, 2 if downsample else 1, activation, p)
            for before, after, kernel, activation, p in zip(
                [input_channels, *outputs[:-1]],
                outputs,
                per_layer(kernel_sizes, num_layers),
                activation_per_layer(activations, num_layers),
                per_layer(dropout, num_layers),
                strict=True,
            )
        ]
        super().__init__(torch.nn.Sequential(*layers), input_channels, requires_grad=True)


def _layer(
    before: int, after: int, kernel: int, stride: int, activation: torch.nn.Module, dropout: float
) -> torch.nn.Sequential:
    return torch.nn.Sequential(
        torch.nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, bias=False),
        torch.nn.BatchNorm2d(after),
        activation,
        torch.nn.Dropout(dropout),
    )
