"""JSON values: copies of bounded depth, and short texts of them for messages."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from enum import Enum
from pathlib import PurePath
from typing import Any

from allencv_al.common.errors import ConfigurationError

NESTED_TOO_DEEP = "nested too deep"
_MOST_DIGITS = 4_000  # Python refuses longer integers with an error of its own

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


def parse_json(
    text: str | bytes | bytearray, max_depth: int | None = None, finite: bool = True
) -> Any:
    """Return the value of strict JSON.

    Args:
        text: JSON, in UTF-8 if it is bytes.
        max_depth: Maximum depth of nested lists and objects; None for what Python can parse.
        finite: Whether NaN, infinities and floats beyond the largest one are refused.

    Raises:
        ValueError: It is other text, holds a key twice, an integer of more than 4,000 digits, or
            nests deeper; the message is fit for the end of a sentence.
    """
    if isinstance(text, (bytes, bytearray)):
        try:
            text = text.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"expected UTF-8, found another byte at {error.start}") from None
    strict: dict[str, Any] = {"parse_constant": _no_number, "parse_float": _finite}
    try:
        value = json.loads(
            text, object_pairs_hook=unique_keys, parse_int=_int, **(strict if finite else {})
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno} column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise ValueError(NESTED_TOO_DEEP) from None
    may_be_deep = max_depth is not None and text.count("[") + text.count("{") > max_depth
    if max_depth is not None and may_be_deep and _is_deeper_than(value, max_depth):
        raise ValueError(NESTED_TOO_DEEP)
    return value


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object of these pairs, for `json`, which would keep the last of two silently.

    Raises:
        ValueError: A key is there twice.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        twice = next(key for key, count in counts.items() if count > 1)
        raise ValueError(f"the key {repr_json(twice)} is there twice")
    return found


def _no_number(name: str) -> Any:
    raise ValueError(f"expected finite numbers, found {name}")


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError("expected finite numbers, found a larger one")
    return value


def _int(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"expected numbers of at most {_MOST_DIGITS} digits, found a longer one")
    return int(text)


def _is_deeper_than(value: Any, limit: int) -> bool:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(limit):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
    return bool(level)


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
