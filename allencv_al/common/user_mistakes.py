"""Mistakes in components of users' own: whose they are, and where.

A component that returns the wrong thing is told by `wrong_result` where it returns. What else goes
wrong inside user code, or because of it, is an exception like any other; `explain` finds out from
its traceback whether it is user code that must be changed.
"""

from __future__ import annotations

import inspect
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType, FunctionType, TracebackType
from typing import Any

from allencv_al.common.config import plugins
from allencv_al.common.config.configurable import Configurable
from allencv_al.common.errors import AllenCVError, ConfigurationError
from allencv_al.common.files.json_values import repr_json

_OWN_FOLDER = Path(__file__).resolve().parents[1]
# Called by names that the signature itself declares, or by the user's own code
_FREE = {"__init__", "__new__", "forward", "from_params", "text_to_instance"}
# Python's own words for what a forgotten super().__init__() or a changed signature leads to
_NO_ATTRIBUTE = re.compile(r"'(\w+)' object has no attribute '(\w+)'")
_WRONG_CALL = re.compile(r"(?:\w+\.)*?(\w+)\.(\w+)\(\) (?:takes|missing|got) ")


class UserCodeError(AllenCVError):
    """A component of the user's own fails, or returns something else than it must."""


def wrong_result(component: object, method: str, expected: str, found: object) -> UserCodeError:
    """Return the error for a method that returned something else than it must.

    Args:
        component: The object, or its class.
        method: The method's name.
        expected: The required return value, with shapes and dtypes.
        found: The return value.
    """
    cls = component if isinstance(component, type) else type(component)
    return UserCodeError(
        f"{cls.__name__}.{method}: expected it to return {expected}, found {shown(found)}"
        f"{_place_of(cls)}"
    )


def shown(value: object) -> str:
    """Return a short text of a value; of an array or tensor its dtype and shape."""
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if shape is not None and dtype is not None:
        kind = str(dtype).removeprefix("torch.")
        return f"{type(value).__name__} {kind} of shape {list(shape)}"
    if value is None or isinstance(value, (str, int, float)):
        return "None" if value is None else f"{type(value).__name__} {repr_json(value)}"
    return type(value).__name__


def explain(error: BaseException) -> UserCodeError | None:
    """Return what is wrong with user code if it is at fault for `error`, else None.

    It is where the exception passed through a line of user code, where a class of the user's lacks
    what the constructor of its base would have set, and where one of its methods cannot be called
    as its base's.
    """
    # The deepest line of the user's own is where the fault can be mended
    for frame, line in _frames_from_the_last(error.__traceback__):
        if _is_user_code(frame.f_globals.get("__name__"), frame.f_code.co_filename):
            where = f"{_short_path(frame.f_code.co_filename)}:{line}"
            return UserCodeError(
                f"{frame.f_code.co_qualname}: {type(error).__name__}: {error} ({where}; --debug "
                "shows the traceback)"
            )
    text = str(error)
    if isinstance(error, AttributeError) and (found := _NO_ATTRIBUTE.search(text)):
        cls = _user_class(found[1])
        if cls is not None:
            return UserCodeError(
                f"{found[1]} has no attribute {found[2]!r}: does its __init__ call "
                f"super().__init__(...)?{_place_of(cls)}"
            )
    if isinstance(error, (TypeError, NotImplementedError)) and (found := _WRONG_CALL.search(text)):
        cls = _user_class(found[1])
        if cls is not None:
            return UserCodeError(f"{text}{_place_of(cls)}")
    return None


def check_signatures(base: type, cls: type) -> None:
    """Raise unless each method of `cls` can be called as the one of `base` that it overrides.

    Constructors and `forward` have signatures of their own; they are called by name.

    Raises:
        ConfigurationError: One cannot; both signatures are in the message.
    """
    for name, theirs in vars(base).items():
        mine = inspect.getattr_static(cls, name, None)
        if name in _FREE or not isinstance(theirs, FunctionType) or mine is theirs:
            continue
        if not isinstance(mine, FunctionType):
            continue
        wanted = inspect.signature(theirs)
        if not _can_be_called_as(inspect.signature(mine), wanted):
            raise ConfigurationError(
                f"{cls.__name__}.{name}{inspect.signature(mine)} cannot be called as "
                f"{base.__name__}.{name}{wanted}{_place_of(cls)}"
            )


def is_user_class(cls: type) -> bool:
    """Return whether a class comes from user code."""
    module = sys.modules.get(cls.__module__)
    return _is_user_code(cls.__module__, getattr(module, "__file__", None) or "")


def _can_be_called_as(mine: inspect.Signature, wanted: inspect.Signature) -> bool:
    """Return whether some of the parameters by position and the others by name are taken."""
    names = [
        parameter.name
        for parameter in wanted.parameters.values()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    return any(_binds(mine, names[:count], names[count:]) for count in range(len(names) + 1))


def _binds(signature: inspect.Signature, by_position: list[str], by_name: list[str]) -> bool:
    try:
        signature.bind(*by_position, **dict.fromkeys(by_name))
    except TypeError:
        return False
    return True


def _frames_from_the_last(start: TracebackType | None) -> Iterator[tuple[FrameType, int]]:
    yield from reversed(list(traceback.walk_tb(start)))


def _is_user_code(module: object, file: str) -> bool:
    if not isinstance(module, str) or Path(file).is_relative_to(_OWN_FOLDER):
        return False
    return plugins.is_user_module(module)


def _user_class(name: str) -> type | None:
    """Return the class of user code with that name, if a component is called so."""
    waiting: list[type] = [Configurable]
    while waiting:
        cls = waiting.pop()
        if cls.__name__ == name and is_user_class(cls):
            return cls
        waiting += cls.__subclasses__()
    return None


def _place_of(cls: Callable[..., Any]) -> str:
    """Return where a class of user code stands, for the end of a message."""
    if not isinstance(cls, type) or not is_user_class(cls):
        return ""
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    return f" ({_short_path(file)})" if file else ""


def _short_path(file: str) -> str:
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file
