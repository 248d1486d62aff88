"""Arguments that hold one value for all layers, or one for each."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import TypeVar

import torch

from allencv_al.modules.activations import Activation

T = TypeVar("T", int, float)


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
        num_layers: How many.
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
