"""Arguments that hold one value for all layers, or one for each."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import TypeVar

from allencv_al.modules.activations import Activation

T = TypeVar("T", int, float)


def per_layer(value: T | Sequence[T], num_layers: int) -> list[T]:
    """Return one value for each layer."""
    return list(value) if isinstance(value, Sequence) else [value] * num_layers


def activation_per_layer(
    value: Activation | str | Sequence[Activation | str], num_layers: int
) -> list[Activation]:
    """Return one activation for each layer, none shared: an activation may hold parameters.

    Args:
        value: One for all layers, or one for each. A name stands for the activation registered so.
        num_layers: How many.
    """
    items = [value] * num_layers if isinstance(value, (Activation, str)) else value
    return [
        Activation.from_params(item) if isinstance(item, str) else deepcopy(item) for item in items
    ]
