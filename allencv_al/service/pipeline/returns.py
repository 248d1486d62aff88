"""What users' functions return, as values that JSON can hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from allencv_al.service.pipeline.errors import PipelineError

_DEPTH = 12


def to_plain(value: Any, phase: str, where: str = "") -> Any:
    """Return a value of dicts, lists, numbers, texts, booleans and None.

    Arrays and tensors become lists; integer keys stay integers; what is no finite number becomes
    None, which JSON has instead.

    Args:
        value: What a function has returned.
        phase: Which function, for messages.
        where: The place in what it has returned.

    Raises:
        PipelineError: Something else is in it (422).
    """
    return _plain(value, phase, where, 0)


def mapping_with(value: Any, keys: tuple[str, ...], phase: str) -> Mapping[str, Any]:
    """Return what a function has returned, if it is a dictionary with these keys.

    Raises:
        PipelineError: It is not (422).
    """
    wanted = " and ".join(f'"{key}"' for key in keys)
    if not isinstance(value, Mapping):
        raise PipelineError(
            422,
            "return_value",
            f"{phase}: expected a dictionary with {wanted}, found {_kind(value)}",
            phase,
        )
    missing = [key for key in keys if key not in value]
    if missing:
        found = ", ".join(map(repr, list(value)[:8])) or "nothing"
        raise PipelineError(
            422,
            "return_value",
            f"{phase}: expected {wanted}, found no {', '.join(missing)} among {found}",
            phase,
        )
    return value


def as_array(value: Any) -> Any:
    """Return a tensor as an array; anything else as it is. torch itself is not needed for that."""
    for step in ("detach", "cpu", "numpy"):
        if not hasattr(value, step) or isinstance(value, np.ndarray | np.generic):
            return value
        value = getattr(value, step)()
    return value


def _plain(value: Any, phase: str, where: str, depth: int) -> Any:
    value = as_array(value)
    if depth > _DEPTH:
        raise PipelineError(422, "return_value", f"{phase}: {where}: nested too deep", phase)
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {
            _key(key, phase, where): _plain(one, phase, f"{where}[{key!r}]"[:80], depth + 1)
            for key, one in value.items()
        }
    if isinstance(value, list | tuple):
        return [_plain(one, phase, where, depth + 1) for one in value]
    raise PipelineError(
        422,
        "return_value",
        f"{phase}: {where or 'the value'}: expected numbers, texts, lists, dictionaries, arrays or "
        f"tensors, found {_kind(value)}",
        phase,
    )


def _key(key: Any, phase: str, where: str) -> Any:
    key = as_array(key)
    if isinstance(key, np.generic | np.ndarray) and np.ndim(key) == 0:
        key = key.item()
    if isinstance(key, str | int) and not isinstance(key, bool):
        return key
    raise PipelineError(
        422,
        "return_value",
        f"{phase}: {where}: expected integers or texts as keys, found {_kind(key)}",
        phase,
    )


def _kind(value: Any) -> str:
    return "nothing (None)" if value is None else f"a {type(value).__name__}"
