"""Nested training state as JSON and tensors, so that a checkpoint needs no pickle.

The JSON tree holds everything but the tensors, which stand in it by name. Objects with the keys
`__tensor__`, `__tuple__`, `__map__` and `__float__` stand for what JSON does not know.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from allencv_al.common.errors import CheckpointError

Copier = Callable[[str, torch.Tensor], torch.Tensor]


def encode(value: Any, copy: Copier, name: str = "state") -> tuple[Any, dict[str, torch.Tensor]]:
    """Split `value` into a JSON tree and the tensors that it names.

    Args:
        value: Any nesting of dicts, lists, tuples, tensors, numbers, strings, booleans and None.
        copy: Gives the tensor to keep for a name and a live tensor.
        name: What the tensors' names begin with.

    Raises:
        CheckpointError: If something else is found; the message says where.
    """
    tensors: dict[str, torch.Tensor] = {}
    return _encode(value, copy, name, tensors), tensors


def decode(tree: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    """Put together what `encode` split."""
    if isinstance(tree, list):
        return [decode(item, tensors) for item in tree]
    if not isinstance(tree, dict):
        return tree
    match tree:
        case {"__tensor__": name, "channels_last": True}:
            return tensors[name].contiguous(memory_format=torch.channels_last)
        case {"__tensor__": name}:
            return tensors[name]
        case {"__tuple__": items}:
            return tuple(decode(item, tensors) for item in items)
        case {"__map__": pairs}:
            return {decode(key, tensors): decode(item, tensors) for key, item in pairs}
        case {"__float__": text}:
            return float(text)
    return {key: decode(item, tensors) for key, item in tree.items()}


def is_channels_last(tensor: torch.Tensor) -> bool:
    """Return whether `tensor` is laid out channels-last and not contiguous as well."""
    return (
        tensor.dim() == 4
        and not tensor.is_contiguous()
        and tensor.is_contiguous(memory_format=torch.channels_last)
    )


def _encode(value: Any, copy: Copier, name: str, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        tensors[name] = copy(name, value.detach())
        # An optimizer's arithmetic may round differently in another memory layout
        layout = {"channels_last": True} if is_channels_last(value) else {}
        return {"__tensor__": name, **layout}
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"__float__": repr(value)}
    if isinstance(value, Mapping):
        return _encode_mapping(value, copy, name, tensors)
    if isinstance(value, list | tuple):
        items = [_encode(v, copy, f"{name}.{i}", tensors) for i, v in enumerate(value)]
        return items if isinstance(value, list) else {"__tuple__": items}
    raise CheckpointError(
        f"{name}: a {type(value).__name__} cannot be saved in a checkpoint; "
        "state_dict may hold tensors, numbers, strings, booleans, None, dicts, lists and tuples"
    )


def _encode_mapping(
    value: Mapping[Any, Any], copy: Copier, name: str, tensors: dict[str, torch.Tensor]
) -> Any:
    encoded = {key: _encode(item, copy, f"{name}.{key}", tensors) for key, item in value.items()}
    if all(isinstance(key, str) and not key.startswith("__") for key in encoded):
        return encoded
    return {"__map__": [[_encode(k, copy, name, tensors), v] for k, v in encoded.items()]}
