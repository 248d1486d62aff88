"""Multi-layer perceptrons, and arguments with one value per layer."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import torch
from annotated_types import Ge, Interval
from torch import Tensor

from allencv_al.common import FromParams
from allencv_al.modules.activations import Activation

if TYPE_CHECKING:
    from allencv_al.common.config.configurable import Rule

T = TypeVar("T", int, float)

Count = Annotated[int, Ge(1)]
DropProbability = Annotated[float, Interval(ge=0, lt=1)]


def per_layer(value: T | Sequence[T], num_layers: int) -> list[T]:
    """Return one value for each layer."""
    return list(value) if isinstance(value, Sequence) else [value] * num_layers


def activation_per_layer(
    value: torch.nn.Module | str | Sequence[torch.nn.Module | str], num_layers: int
) -> list[torch.nn.Module]:
    """Return one activation for each layer, none shared: an activation may hold parameters.

    Args:
        value: One for all layers, or one for each: any module without a change of shape. A name
            stands for the activation registered so.
        num_layers: Number of layers.
    """
    items: list[torch.nn.Module | str]
    if isinstance(value, str) or (
        isinstance(value, torch.nn.Module) and not isinstance(value, torch.nn.ModuleList)
    ):
        items = [value] * num_layers
    else:
        items = list(value)
    return [
        Activation.from_params(item) if isinstance(item, str) else deepcopy(item) for item in items
    ]


def one_per_layer(*names: str) -> tuple[Rule, ...]:
    """Return joint rules: a list that is given for one of `names` holds `num_layers` values.

    Each rule is of one parameter, so that faults in the others do not hide its own.
    """
    return tuple(map(_length_rule, names))


def _length_rule(name: str) -> Rule:
    def rule(**values: Any) -> Iterator[tuple[str, str]]:
        value, num_layers = values[name], values["num_layers"]
        if isinstance(value, (list, tuple)) and len(value) != num_layers:
            yield name, f"expected {num_layers} values (num_layers), found {len(value)}"

    parameters = [
        inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY) for n in ("num_layers", name)
    ]
    rule.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return rule


class FeedForward(torch.nn.Module, FromParams):
    """Linear layers, each followed by an activation and dropout.

    Behind another part, such as `flatten`, `input_dim` need not be given.

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

    injected = ("input_dim",)
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
