"""What a model gives, as values of strict JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

JsonDict = dict[str, Any]


def to_json_value(value: Any) -> Any:
    """Convert tensors, arrays and what holds them to plain JSON values.

    JSON has no NaN and no infinity: they become null, as None does.

    Raises:
        TypeError: JSON has nothing for a value of this type.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, torch.Tensor):
        return to_json_value(
            value.detach().cpu().numpy()
            if value.dtype != torch.bfloat16
            else value.detach().float().cpu().numpy()
        )
    if isinstance(value, np.ndarray | np.generic):
        plain = value.tolist()
        finite = value.dtype.kind in "iub" or (value.dtype.kind == "f" and np.isfinite(value).all())
        return plain if finite else to_json_value(plain)
    if isinstance(value, Mapping):
        return {str(key): to_json_value(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [to_json_value(inner) for inner in value]
    if isinstance(value, Path):
        return value.as_posix()
    raise TypeError(f"cannot be written as JSON: {type(value).__name__} {value!r}")


def dump_line(value: Any) -> str:
    """Write a value as one line of strict JSON, in ASCII, with its line end."""
    return json.dumps(to_json_value(value), allow_nan=False) + "\n"
