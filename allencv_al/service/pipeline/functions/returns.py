"""Convert return values of users' functions to JSON values."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, KeysView, Mapping, Sequence, ValuesView
from typing import Any

import numpy as np

from allencv_al.service.pipeline.pipeline_errors import PipelineError, ReturnValueError

_DEPTH = 12
_SHOWN = 200  # characters of a library's error message
STATE = "getdatasetstate"  # may hold file names that are not UTF-8; JSON escapes them
_USUAL = (int, str, bool, type(None))
_PLAIN = (str, bytes, int, float, Mapping, list, tuple, np.ndarray, np.generic)


def to_plain(value: Any, phase: str, where: str = "", is_finite: bool = False) -> Any:
    """Return a value as dicts, lists, numbers, strings, booleans and None.

    Arrays and tensors become lists; integer keys stay integers; NaN and infinities become None,
    since JSON has neither.

    Args:
        value: Return value of a function.
        phase: The function, for messages.
        where: Path inside the return value, for messages.
        is_finite: Whether to raise on NaN and infinities instead.

    Raises:
        PipelineError: It holds a value of another type (422).
    """
    return _plain(value, phase, where, 0, is_finite)


def mapping_with(value: Any, keys: tuple[str, ...], phase: str) -> Mapping[str, Any]:
    """Return the value if it is a dictionary with these keys.

    Raises:
        PipelineError: It is not (422).
    """
    wanted = " and ".join(f'"{key}"' for key in keys)
    if not isinstance(value, Mapping):
        message = f"expected a dictionary with {wanted}, found {kind_of(value)}"
        raise ReturnValueError(phase, message)
    missing = [key for key in keys if key not in value]
    if missing:
        found = ", ".join(map(repr, list(value)[:8])) or "nothing"
        message = f"expected {wanted}; missing: {', '.join(missing)}; found {found}"
        raise ReturnValueError(phase, message)
    return value


def as_array(value: Any) -> Any:
    """Return tensors, pandas Series and other array holders as arrays, other values unchanged.

    Imports neither torch nor pandas.
    """
    if value is None or isinstance(value, _PLAIN):
        return value
    is_tensor = all(hasattr(value, step) for step in ("detach", "cpu", "numpy"))
    if not is_tensor and not hasattr(type(value), "__array__"):
        return value
    try:
        return _of_tensor(value) if is_tensor else np.asarray(value)
    except Exception as error:  # library-specific: a tensor on `meta`, a deleted buffer ...
        cause = str(error).partition("\n")[0][:_SHOWN]
        message = f"the values of {kind_of(value)} cannot be read: {cause}"
        raise PipelineError(422, "return_value", message) from error


def by_index(value: Any) -> Any:
    """Return a pandas Series or DataFrame as a dictionary by its index, unless that is 0 to n-1.

    The rows of a DataFrame become arrays. Other values are returned unchanged.
    """
    index = _index_of(value)
    if index is None or index == list(range(len(index))):
        return value
    return _joined(index, value)


def side_by_side(first: Any, second: Any) -> tuple[Any, Any]:
    """Return two values in one order; two pandas Series in different orders are joined by index.

    If one of them has positions only (a model's outputs beside a table's column), both are taken
    in their order.
    """
    if isinstance(first, Mapping) or isinstance(second, Mapping):
        return by_index(first), by_index(second)
    indices = [_index_of(value) for value in (first, second)]
    if None in indices or any(index == list(range(len(index or ()))) for index in indices):
        return as_array(first), as_array(second)
    if indices[0] == indices[1]:
        return as_array(first), as_array(second)
    return by_index(first), by_index(second)


def drained(value: Any) -> Any:
    """Return the value with its iterators turned into lists."""
    if isinstance(value, Mapping):
        return {key: _listed(one) for key, one in value.items()}
    return value


def kind_of(value: Any) -> str:
    """Return a value's type in words, for messages."""
    return "nothing (None)" if value is None else f"a {type(value).__name__}"


def _of_tensor(tensor: Any) -> Any:
    tensor = tensor.detach().cpu()
    if getattr(tensor, "is_quantized", False):
        tensor = tensor.dequantize()
    try:
        return tensor.numpy()
    except (TypeError, RuntimeError):  # bfloat16 (unknown to NumPy), sparse, or a lazy conjugate
        return tensor.to_dense().resolve_conj().resolve_neg().float().numpy()


def _index_of(value: Any) -> list[Any] | None:
    """Return the index of a pandas object; None for other values."""
    is_pandas = hasattr(value, "to_numpy") and hasattr(value, "reindex")
    return list(value.index) if is_pandas and not callable(value.index) else None


def _joined(index: Sequence[Any], value: Any) -> dict[Any, Any]:
    found = dict(zip(index, value.to_numpy(), strict=True))
    if len(found) < len(index):
        message = f"expected a unique index, found {len(index) - len(found)} duplicates"
        raise PipelineError(422, "return_value", f"a {type(value).__name__}: {message}")
    return found


def _listed(value: Any) -> Any:
    if isinstance(value, str | bytes | bytearray | list | tuple):
        return value
    return list(value) if isinstance(value, Iterator | KeysView | ValuesView | Sequence) else value


def _plain(value: Any, phase: str, where: str, depth: int, is_finite: bool) -> Any:
    if type(value) in _USUAL:  # first: outputs hold millions of them
        return value if type(value) is not str else _text(value, phase, where)
    if type(value) is not float:
        value = _listed(as_array(value))
    if depth > _DEPTH:
        raise _refused(phase, where, "nested too deep")
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, float):
        if is_finite and not math.isfinite(value):
            message = f"{where}: found a number that is not finite ({value})"
            raise ReturnValueError(phase, message, "outputs")
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return _text(value, phase, where)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, Mapping):
        return {
            _key(key, phase, where): _plain(
                one, phase, f"{where}[{key!r}]"[:80], depth + 1, is_finite
            )
            for key, one in value.items()
        }
    if isinstance(value, list | tuple):
        return [_plain(one, phase, where, depth + 1, is_finite) for one in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    expected = "numbers, strings, lists, dictionaries, arrays or tensors"
    raise _refused(phase, where, f"expected {expected}, found {kind_of(value)}")


def _refused(phase: str, where: str, message: str) -> ReturnValueError:
    return ReturnValueError(phase, f"{where or 'the value'}: {message}")


def _text(value: str, phase: str, where: str) -> str:
    if value.isascii() or phase == STATE:
        return value
    try:
        value.encode()
    except UnicodeEncodeError:
        message = f"expected Unicode text, found a lone surrogate in {value[:_SHOWN]!a}"
        raise _refused(phase, where, message) from None
    return value


def _key(key: Any, phase: str, where: str) -> Any:
    key = as_array(key)
    if isinstance(key, np.generic | np.ndarray) and np.ndim(key) == 0:
        key = key.item()
    if isinstance(key, str):
        return _text(key, phase, where)
    if isinstance(key, int) and not isinstance(key, bool):
        return key
    raise _refused(phase, where, f"expected integers or strings as keys, found {kind_of(key)}")
