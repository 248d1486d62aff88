"""JSON values: copies of bounded depth, and short texts of them for messages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import Enum
from pathlib import PurePath
from typing import Any

from allencv_al.common.errors import ConfigurationError

MAX_DEPTH = 64
"""Levels of nesting in a config; the deepest in use has about ten."""


def plain(value: Any, depth: int = MAX_DEPTH) -> Any:
    """Return a copy in which every mapping is a dict, lists are new, and all else is itself.

    Raises:
        ConfigurationError: It nests deeper than `depth`, or contains itself.
    """
    if isinstance(value, Mapping):
        _check_depth(depth)
        return {key: plain(inner, depth - 1) for key, inner in value.items()}
    if type(value) in (list, tuple):
        _check_depth(depth)
        return type(value)(plain(inner, depth - 1) for inner in value)
    return value


def _check_depth(depth: int) -> None:
    if depth <= 0:
        raise ConfigurationError(f"the config nests deeper than {MAX_DEPTH} levels")


def not_json(value: Any, place: str = "") -> tuple[str, Any] | None:
    """Return the place and value of the first part that JSON cannot express, None without any."""
    if value is None or isinstance(value, (str, bool, int, float)):
        return None
    if isinstance(value, Mapping):
        parts = [(f"{place}.{key}" if place else str(key), inner) for key, inner in value.items()]
    elif isinstance(value, (list, tuple)):
        parts = [(f"{place}.{index}", inner) for index, inner in enumerate(value)]
    else:
        return place, value
    return next((found for at, inner in parts if (found := not_json(inner, at))), None)


def repr_json(value: object, limit: int = 60) -> str:
    """Return `value` as JSON where it is JSON, shortened to about `limit` characters."""
    text = ""
    try:
        for part in json.JSONEncoder(ensure_ascii=False, default=_as_json).iterencode(value):
            text += part
            if len(text) > limit:  # the rest may be a megabyte
                break
    except (TypeError, ValueError, RecursionError):  # not JSON, or a number of 5000 digits
        text = _python_text(value)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def strict_json(value: Mapping[str, Any]) -> str:
    """Return `value` as JSON that reads back as it was; NumPy's numbers become Python's.

    Raises:
        ValueError: It holds NaN or an infinity.
        TypeError: It holds what JSON does not know.
    """
    return json.dumps(value, allow_nan=False, default=_of_numpy)


def _of_numpy(value: object) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "tolist"):  # of NumPy; its arrays and numbers have it
        return value.tolist()
    raise TypeError(f"expected JSON values, found {type(value).__name__}: {repr_json(value)}")


def _as_json(value: object) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError


def _python_text(value: object) -> str:
    try:
        return repr(value)
    except (ValueError, RecursionError):
        return f"a very long {type(value).__name__}"
