"""A plain stack of convolutions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from overrides import overrides

from allencv_al.common.config.config_check import ConfigView, Fault
from allencv_al.modules.activations import Activation
from allencv_al.modules.im2im_encoders.base import Im2ImEncoder
from allencv_al.modules.im2im_encoders.feature_encoder import FeatureEncoder
from allencv_al.modules.layers import activation_per_layer, per_layer
from allencv_al.modules.weight_checks import (
    Problem,
    faults_from,
    not_below_one,
    not_positive,
    raise_problems,
    wrong_lengths,
)


@Im2ImEncoder.register("feedforward")
class FeedforwardEncoder(FeatureEncoder):
    """Layers of convolution, batch norm, activation and dropout; a small network to begin with.

    The padding keeps the size, so that a layer changes it only by `downsample`: two layers turn
    3x224x224 into C x 56 x 56.

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

    def __init__(
        self,
        input_channels: int,
        num_layers: int,
        hidden_channels: int | list[int],
        activations: Activation | list[Activation],
        kernel_sizes: int | list[int] = 3,
        dropout: float | list[float] = 0.0,
        downsample: bool = False,
    ) -> None:
        raise_problems(
            _problems(
                input_channels, num_layers, hidden_channels, activations, kernel_sizes, dropout
            )
        )
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

    @classmethod
    @overrides
    def config_faults(cls, config: ConfigView) -> Iterator[Fault]:
        yield from faults_from(config, _problems)


def _layer(
    before: int, after: int, kernel: int, stride: int, activation: torch.nn.Module, dropout: float
) -> torch.nn.Sequential:
    return torch.nn.Sequential(
        torch.nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, bias=False),
        torch.nn.BatchNorm2d(after),
        activation,
        torch.nn.Dropout(dropout),
    )


def _problems(
    input_channels: int | None,
    num_layers: int | None,
    hidden_channels: int | Sequence[int] | None,
    activations: object,
    kernel_sizes: int | Sequence[int] | None,
    dropout: float | Sequence[float] | None,
) -> Iterator[Problem]:
    yield from not_positive(input_channels=input_channels, num_layers=num_layers)
    yield from not_positive(hidden_channels=hidden_channels, kernel_sizes=kernel_sizes)
    yield from not_below_one(dropout=dropout)
    for size in kernel_sizes if isinstance(kernel_sizes, Sequence) else [kernel_sizes]:
        if size is not None and size > 0 and size % 2 == 0:
            yield "kernel_sizes", f"expected odd sizes, which keep the image's size, found {size}"
    yield from wrong_lengths(
        num_layers,
        hidden_channels=hidden_channels,
        activations=activations,
        kernel_sizes=kernel_sizes,
        dropout=dropout,
    )
