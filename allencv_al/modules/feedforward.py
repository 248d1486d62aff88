"""A multi-layer perceptron."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from overrides import overrides
from torch import Tensor

from allencv_al.common import FromParams
from allencv_al.common.config.config_check import ConfigView, Fault
from allencv_al.modules.activations import Activation
from allencv_al.modules.layers import activation_per_layer, per_layer
from allencv_al.modules.weight_checks import (
    Problem,
    faults_from,
    not_below_one,
    not_positive,
    raise_problems,
    wrong_lengths,
)


class FeedForward(torch.nn.Module, FromParams):
    """Linear layers, each followed by an activation and dropout.

    Args:
        input_dim: Length of the input vectors.
        num_layers: Number of linear layers.
        hidden_dims: Length of each layer's output: one number for all, or one for each.
        activations: Function after each layer, by registered name or with its arguments: one for
            all, or one for each. `linear` after the last leaves its output as it is.
        dropout: Probability of zeroing a value after each activation: one for all, or one for each.

    Raises:
        ConfigurationError: A list is not as long as `num_layers`, or a number is out of range.
    """

    def __init__(
        self,
        input_dim: int,
        num_layers: int,
        hidden_dims: int | list[int],
        activations: Activation | list[Activation],
        dropout: float | list[float] = 0.0,
    ) -> None:
        super().__init__()
        raise_problems(_problems(input_dim, num_layers, hidden_dims, activations, dropout))
        self._input_dim = input_dim
        outputs = per_layer(hidden_dims, num_layers)
        self._output_dim = outputs[-1]
        self.layers = torch.nn.Sequential(
            *(
                torch.nn.Sequential(
                    torch.nn.Linear(before, after),
                    activation,
                    # Without anything to drop it would still cost a small network 2 % of a step
                    *([torch.nn.Dropout(p)] if p else []),
                )
                for before, after, activation, p in zip(
                    [input_dim, *outputs[:-1]],
                    outputs,
                    activation_per_layer(activations, num_layers),
                    per_layer(dropout, num_layers),
                    strict=True,
                )
            )
        )

    @classmethod
    @overrides
    def config_faults(cls, config: ConfigView) -> Iterator[Fault]:
        yield from faults_from(config, _problems)

    def get_input_dim(self) -> int:
        """Return the length of the input vectors."""
        return self._input_dim

    def get_output_dim(self) -> int:
        """Return the length of the output vectors."""
        return self._output_dim

    def forward(self, vectors: Tensor) -> Tensor:
        """Return `[B, output_dim]` for `[B, input_dim]`."""
        output: Tensor = self.layers(vectors)
        return output


def _problems(
    input_dim: int | None,
    num_layers: int | None,
    hidden_dims: int | Sequence[int] | None,
    activations: object,
    dropout: float | Sequence[float] | None,
) -> Iterator[Problem]:
    yield from not_positive(input_dim=input_dim, num_layers=num_layers)
    yield from not_positive(hidden_dims=hidden_dims)
    yield from not_below_one(dropout=dropout)
    yield from wrong_lengths(
        num_layers, hidden_dims=hidden_dims, activations=activations, dropout=dropout
    )
