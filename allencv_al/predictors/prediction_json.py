"""Convert outputs of a model to strict JSON."""

from __future__ import annotations

import base64
import io
import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

JsonDict = dict[str, Any]


def to_json_value(value: Any) -> Any:
    """Convert tensors, arrays and what holds them to plain JSON values.

    JSON has no NaN and no infinity: they become null, as None does. A picture becomes
    `{"size": [height, width], "png": text}`, a PNG file in base64.

    Raises:
        TypeError: JSON has nothing for a value of this type.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if _is_tensor(value):
        # numpy has no bfloat16
        widened = value.float() if str(value.dtype) == "torch.bfloat16" else value
        return to_json_value(widened.detach().cpu().numpy())
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
    if isinstance(value, Image.Image):
        file = io.BytesIO()
        value.save(file, "PNG")
        png = base64.b64encode(file.getvalue()).decode("ascii")
        return {"size": [value.height, value.width], "png": png}
    raise TypeError(f"cannot be written as JSON: {type(value).__name__} {value!r}")


def rows_of_outputs(
    outputs: Mapping[str, Any], size: int, keeps_pictures: bool = False
) -> list[JsonDict]:
    """Split a model's outputs for a batch into one JSON object per image.

    What has no value for each image (a loss) says nothing about any of them and is left out.

    Args:
        outputs: Tensors and lists whose first dimension is the batch.
        size: Images in the batch.
        keeps_pictures: Whether pictures stay pictures, which no JSON is yet.
    """
    columns = {
        name: values if keeps_pictures and _holds_pictures(values) else to_json_value(values)
        for name, values in outputs.items()
        if _is_column(values, size)
    }
    return [{name: values[i] for name, values in columns.items()} for i in range(size)]


def dump_line(value: Any) -> str:
    """Write a value as one line of strict JSON, in ASCII, with its line end."""
    return json.dumps(to_json_value(value), allow_nan=False) + "\n"


def _holds_pictures(values: Any) -> bool:
    return isinstance(values, list | tuple) and any(isinstance(v, Image.Image) for v in values)


def _is_column(values: Any, size: int) -> bool:
    if isinstance(values, np.ndarray) or _is_tensor(values):
        return bool(values.ndim) and len(values) == size
    return isinstance(values, list | tuple) and len(values) == size


def _is_tensor(value: Any) -> bool:
    # An exported model predicts without torch, whose import takes longer than the prediction
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)
