"""A multi-layer perceptron."""

from __future__ import annotations

import torch
from torch import Tensor

from allencv_al.common import FromParams
from allencv_al.modules.activations import Activation
from allencv_al.modules.layers import (
    Count,
    DropProbability,
    activation_per_layer,
    one_per_layer,
    per_layer,
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

    joint_rules = one_per_layer("hidden_dims", "activations", "dropout")

    def __init__(
        self,
        input_dim: Count,
        num_layers: Count,
        hidden_dims: Count | list[Count],
        activations: Activation | list[Activation],
        dropout: DropProbability | list[DropProbability] = 0.0,
    ) -> None:
        super().__init__()
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
