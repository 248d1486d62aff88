"""Arguments that hold one value for all layers, or one for each."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import torch
from annotated_types import Ge, Interval

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
