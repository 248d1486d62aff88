"""The published CIFAR python batches, read by an unpickler that can only build plain values.

A pickle is a program. This unpickler takes the instructions that those batches consist of, and
refuses the rest, so that nothing in a file can call anything.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from allencv_al.common.errors import DataError

_ARRAY, _DTYPE, _NDARRAY, _ENCODE = (object() for _ in range(4))
_STAND_INS = {
    ("numpy.core.multiarray", "_reconstruct"): _ARRAY,
    ("numpy._core.multiarray", "_reconstruct"): _ARRAY,  # NumPy 2
    ("numpy", "dtype"): _DTYPE,
    ("numpy", "ndarray"): _NDARRAY,
    ("_codecs", "encode"): _ENCODE,  # how Python 3 writes bytes for Python 2
}
_INSTRUCTIONS = frozenset(
    (
        *("PROTO", "FRAME", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE"),
        *("INT", "BININT", "BININT1", "BININT2", "BINSTRING", "SHORT_BINSTRING"),
        *("BINUNICODE", "SHORT_BINUNICODE", "BINBYTES", "SHORT_BINBYTES"),
        *("EMPTY_DICT", "SETITEM", "SETITEMS", "EMPTY_LIST", "APPEND", "APPENDS"),
        *("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
        *("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE", "GET", "BINGET", "LONG_BINGET"),
        *("GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD"),
    )
)


class _RefusedError(Exception):
    pass


def read_cifar_pickle(name: str, content: bytes) -> dict[str, Any]:
    """Return the dictionary that a python batch or meta file holds; no code of it is run.

    Byte strings, in which Python 2 wrote all names, become text; arrays are of uint8.

    Args:
        name: The file, for messages.
        content: All of it.

    Raises:
        DataError: It is damaged, or holds anything but names, numbers, lists and arrays of bytes.
    """
    try:
        value = _CifarUnpickler(io.BytesIO(content), encoding="bytes").load()
    except _RefusedError as error:
        raise DataError(f"{name}: {error}; nothing of it was run") from None
    except Exception as error:  # a damaged file raises whatever its bytes lead to
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{name}: damaged, cut short, or no pickle: {cause}") from error
    if not isinstance(value, dict):
        raise DataError(f"{name}: expected a dictionary, found {type(value).__name__}")
    return {key: _plain(item) for key, item in value.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, _Array):
        return value.values
    if isinstance(value, list):
        return [_text(item) if isinstance(item, bytes) else item for item in value]
    return _text(value) if isinstance(value, bytes) else value


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, str):
        return value
    raise _RefusedError(f"expected a name, found a value of type {type(value).__name__}")


# Stand-ins for NumPy's names: nothing of NumPy is called with what a file holds.
class _DType:
    """The type of an array, which can only be that of bytes."""


class _Array:
    values: NDArray[np.uint8] | None = None


# The unpickler written in Python: its instructions can be restricted, and none of those kept
# reserves memory that the file does not hold (the one in C allocates what LONG_BINPUT names).
class _CifarUnpickler(pickle._Unpickler):
    stack: list[Any]
    pop_mark: Callable[[], list[Any]]
    dispatch: ClassVar[dict[int, Callable[..., None]]] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _STAND_INS:
            found = f"{module} {name}"
            raise _RefusedError(f'a CIFAR batch holds numbers and names, found "{found[:100]}"')
        return _STAND_INS[module, name]

    def load_reduce(self) -> None:
        arguments, callee = self.stack.pop(), self.stack.pop()
        match arguments:
            case (str(text), str("latin1" | "latin-1")) if callee is _ENCODE:
                self.stack.append(text.encode("latin-1"))
            case (kind, _, _) if callee is _ARRAY and kind is _NDARRAY:
                self.stack.append(_Array())
            case (kind, _, _) if callee is _DTYPE and _text(kind) in ("u1", "|u1"):
                self.stack.append(_DType())
            case _:
                raise _RefusedError("a CIFAR batch holds arrays of bytes only, found another call")

    def load_build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        match target, state:
            case _DType(), tuple():
                pass  # byte order and alignment, which bytes do not have
            case _Array(), (_, (int(rows), int(columns)), _DType(), order, bytes(data)):
                values = np.frombuffer(data, dtype=np.uint8)
                target.values = values.reshape(rows, columns, order="F" if order else "C")
            case _:
                raise _RefusedError("expected an array of bytes in rows and columns, found another")

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._fill([key, value])

    def load_setitems(self) -> None:
        self._fill(self.pop_mark())

    def _fill(self, items: list[Any]) -> None:
        keys = map(_text, items[::2])  # names only: nested tuples can take days to hash
        _top(self.stack, dict).update(zip(keys, items[1::2], strict=True))

    def load_append(self) -> None:
        value = self.stack.pop()
        _top(self.stack, list).append(value)

    def load_appends(self) -> None:
        items = self.pop_mark()
        _top(self.stack, list).extend(items)


def _top(stack: list[Any], expected: type[Any]) -> Any:
    if type(stack[-1]) is not expected:
        found = type(stack[-1]).__name__
        raise _RefusedError(f"expected a {expected.__name__} to fill, found {found}")
    return stack[-1]


def _instruction(opcode: pickletools.OpcodeInfo) -> Callable[..., None]:
    def refuse(unpickler: object) -> None:
        raise _RefusedError(f"a CIFAR batch has no pickle instruction {opcode.name}, found one")

    if opcode.name not in _INSTRUCTIONS:
        return refuse
    own = vars(_CifarUnpickler).get(f"load_{opcode.name.lower()}")
    return own or pickle._Unpickler.dispatch[ord(opcode.code)]


_CifarUnpickler.dispatch = {
    ord(opcode.code): _instruction(opcode) for opcode in pickletools.opcodes
}
