"""The published CIFAR python batches, read without unpickling them.

A pickle is a program. This machine runs only what builds the plain values of those batches (the
instructions below, and the two steps by which NumPy writes an array of bytes) and refuses the
rest, whatever it is, so that nothing in a file can call anything. It also keeps what the standard
unpickler does not: no instruction reserves memory that the file does not hold, and only names are
keys, so that no key is costly to hash.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allencv_al.common.errors import DataError

_ARRAY = "numpy.core.multiarray _reconstruct"
_DTYPE = "numpy dtype"
# What names of NumPy 2 and of Python 3 mean. `_codecs encode` is how Python 3 writes bytes for 2.
_GLOBALS = {
    _ARRAY: _ARRAY,
    "numpy._core.multiarray _reconstruct": _ARRAY,
    _DTYPE: _DTYPE,
    "numpy ndarray": "numpy ndarray",
    "_codecs encode": "_codecs encode",
}
_MARK = object()
_BYTES = ("u1", "|u1")  # np.uint8


@dataclass(frozen=True, slots=True)
class _Global:
    name: str


@dataclass(slots=True)
class _DType:
    """An array's type, when it is that of bytes."""


@dataclass(slots=True)
class _Array:
    values: NDArray[np.uint8] | None = None


class _RefusedError(Exception):
    pass


def read_cifar_pickle(name: str, content: bytes) -> dict[str, Any]:
    """Return the dictionary that a python batch or meta file holds.

    Byte strings, in which Python 2 wrote all names, become text; arrays are of uint8.

    Args:
        name: What to call the file in messages.
        content: All of it.

    Raises:
        DataError: It is damaged, or holds anything but names, numbers, lists and arrays of bytes.
    """
    try:
        value = _Machine().run(content)
    except _RefusedError as error:
        raise DataError(f"{name}: {error}; nothing of it was run") from None
    except (ValueError, IndexError, KeyError, TypeError, UnicodeError, MemoryError) as error:
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{name}: damaged, cut short, or no pickle: {cause}") from error
    if not isinstance(value, dict):
        raise DataError(f"{name}: expected a dictionary, found {type(value).__name__}")
    return value


@dataclass(slots=True)
class _Machine:
    stack: list[Any] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def run(self, content: bytes) -> Any:
        for opcode, argument, _ in pickletools.genops(io.BytesIO(content)):
            if opcode.name in _PUSHES:
                self.stack.append(_PUSHES[opcode.name](argument))
            elif opcode.name in _STEPS:
                _STEPS[opcode.name](self, argument)
            elif opcode.name == "STOP":
                return _plain(self.stack.pop())
            elif opcode.name not in ("PROTO", "FRAME"):
                raise _RefusedError(
                    f"a CIFAR batch has no pickle instruction {opcode.name}, found one"
                )
        raise AssertionError("genops ends with STOP or raises")

    def since_mark(self) -> list[Any]:
        start = len(self.stack) - 1
        while self.stack[start] is not _MARK:  # an IndexError where there is none
            start -= 1
            if start < 0:
                raise ValueError("no mark on the stack")
        items = self.stack[start + 1 :]
        del self.stack[start:]
        return items

    def top(self, expected: type[Any]) -> Any:
        value = self.stack[-1]
        if type(value) is not expected:
            found = type(value).__name__
            raise _RefusedError(f"expected a {expected.__name__} to fill, found {found}")
        return value

    def put_items(self, items: list[Any]) -> None:
        keys = [_text(key) for key in items[::2]]
        self.top(dict).update(zip(keys, items[1::2], strict=True))

    def append_items(self, items: list[Any]) -> None:
        self.top(list).extend(items)

    def push_tuple(self, count: int) -> None:
        items = self.stack[-count:]
        if len(items) < count or any(item is _MARK for item in items):
            raise ValueError("too few values for a tuple")
        self.stack[-count:] = [tuple(items)]

    def pop_pair(self) -> list[Any]:
        value, key = self.stack.pop(), self.stack.pop()
        return [key, value]

    def push_global(self, name: str) -> None:
        if name not in _GLOBALS:
            raise _RefusedError(f'a CIFAR batch holds numbers and names, found "{name[:100]}"')
        self.stack.append(_Global(_GLOBALS[name]))

    def push_stack_global(self) -> None:
        module, name = self.pop_pair()
        self.push_global(f"{_text(module)} {_text(name)}")

    def call(self) -> None:
        callee, arguments = self.pop_pair()
        match callee, arguments:
            case _Global("_codecs encode"), (str(text), str("latin1" | "latin-1")):
                self.stack.append(text.encode("latin-1"))
            case _Global(name), (_Global("numpy ndarray"), _, _) if name == _ARRAY:
                self.stack.append(_Array())
            case _Global(name), (kind, _, _) if name == _DTYPE and _text(kind) in _BYTES:
                self.stack.append(_DType())
            case _:
                raise _RefusedError("a CIFAR batch holds arrays of bytes only, found another call")

    def build(self) -> None:
        target, state = self.pop_pair()
        match target, state:
            case _DType(), tuple():
                pass  # byte order and alignment, of which bytes have none
            case _Array(), (_, (int(rows), int(columns)), _DType(), order, bytes(data)):
                values = np.frombuffer(data, dtype=np.uint8)
                target.values = values.reshape(rows, columns, order="F" if order else "C")
            case _:
                raise _RefusedError("expected an array of bytes in rows and columns, found another")
        self.stack.append(target)

    def put(self, index: int | None) -> None:
        self.memo[len(self.memo) if index is None else index] = self.stack[-1]


_PUSHES: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "INT"), lambda number: number),
    # genops gives Python 2's strings as Latin-1
    **dict.fromkeys(("BINSTRING", "SHORT_BINSTRING"), lambda text: text.encode("latin-1")),
    **dict.fromkeys(("BINUNICODE", "SHORT_BINUNICODE"), lambda text: text),
    **dict.fromkeys(("BINBYTES", "SHORT_BINBYTES"), lambda content: content),
    "NONE": lambda _: None,
    "NEWTRUE": lambda _: True,
    "NEWFALSE": lambda _: False,
    "EMPTY_DICT": lambda _: {},
    "EMPTY_LIST": lambda _: [],
    "EMPTY_TUPLE": lambda _: (),
    "MARK": lambda _: _MARK,
}
_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), _Machine.put),
    **dict.fromkeys(
        ("GET", "BINGET", "LONG_BINGET"), lambda self, index: self.stack.append(self.memo[index])
    ),
    "TUPLE": lambda self, _: self.stack.append(tuple(self.since_mark())),
    "TUPLE1": lambda self, _: self.push_tuple(1),
    "TUPLE2": lambda self, _: self.push_tuple(2),
    "TUPLE3": lambda self, _: self.push_tuple(3),
    "SETITEM": lambda self, _: self.put_items(self.pop_pair()),
    "SETITEMS": lambda self, _: self.put_items(self.since_mark()),
    "APPEND": lambda self, _: self.append_items([self.stack.pop()]),
    "APPENDS": lambda self, _: self.append_items(self.since_mark()),
    "GLOBAL": lambda self, name: self.push_global(name),
    "STACK_GLOBAL": lambda self, _: self.push_stack_global(),
    "REDUCE": lambda self, _: self.call(),
    "BUILD": lambda self, _: self.build(),
}


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, str):
        return value
    raise _RefusedError(f"expected a name, found a value of type {type(value).__name__}")


def _plain(value: Any) -> Any:
    """Return a finished value: arrays as arrays, names as text."""
    match value:
        case dict():
            return {key: _leaf(item) for key, item in value.items()}
        case _:
            return value


def _leaf(value: Any) -> Any:
    match value:
        case _Array():
            return value.values
        case bytes():
            return _text(value)
        case list():
            return [_text(item) if isinstance(item, bytes) else item for item in value]
        case _:
            return value
