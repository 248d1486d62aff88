"""A constructor's signature, as the schema of the object it builds."""

from __future__ import annotations

import functools
import inspect
import sys
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from allencv_al.common.docstrings import argument_descriptions

REQUIRED = inspect.Parameter.empty


@dataclass(frozen=True, slots=True)
class Argument:
    """One parameter of a constructor.

    Args:
        name: Its name, which is its key in a config.
        annotation: Its resolved annotation; `Any` where there is none.
        default: Its default, or `REQUIRED`.
        description: Its line in the docstring.
    """

    name: str
    annotation: Any
    default: Any
    description: str

    @property
    def required(self) -> bool:
        """Whether there is no default."""
        return self.default is REQUIRED


@dataclass(frozen=True, slots=True)
class Signature:
    """The parameters of a constructor, those of its superclass included where it has `**kwargs`.

    Args:
        arguments: The parameters by name, in order.
        accepts_any: Whether unknown keys are passed on (`**kwargs` with no typed superclass).
    """

    arguments: Mapping[str, Argument]
    accepts_any: bool


@functools.cache
def signature_of(cls: type, constructor: str | None = None) -> Signature:
    """Return the signature of `cls` or of its classmethod `constructor`."""
    if constructor is None:
        return _init_signature(cls, _classes_with_init(cls))
    method = getattr(cls, constructor)
    own, has_kwargs = _read(method, argument_descriptions(method), skip_first=False)
    if not has_kwargs:
        return Signature(own, accepts_any=False)
    inherited = _init_signature(cls, _classes_with_init(cls))
    return Signature({**own, **_without(inherited.arguments, own)}, inherited.accepts_any)


def _classes_with_init(cls: type) -> list[type]:
    """Return the classes of the inheritance chain with a constructor of their own."""
    return [
        base
        for base in cls.__mro__
        if "__init__" in vars(base) and isinstance(vars(base)["__init__"], types.FunctionType)
    ]


def _init_signature(cls: type, chain: list[type]) -> Signature:
    if not chain:
        return Signature({}, accepts_any=False)
    owner, *rest = chain
    descriptions = {
        **argument_descriptions(owner),
        **argument_descriptions(vars(owner)["__init__"]),
        **(argument_descriptions(cls) if cls is not owner else {}),
    }
    own, has_kwargs = _read(vars(owner)["__init__"], descriptions, skip_first=True)
    if not has_kwargs:
        return Signature(own, accepts_any=False)
    typed = [base for base in rest if hasattr(base, "from_params")]
    if not typed:
        return Signature(own, accepts_any=True)
    inherited = _init_signature(typed[0], typed)
    return Signature({**own, **_without(inherited.arguments, own)}, inherited.accepts_any)


def _without(arguments: Mapping[str, Argument], known: Mapping[str, Argument]) -> dict[str, Any]:
    return {name: argument for name, argument in arguments.items() if name not in known}


def _read(
    function: Callable[..., Any], descriptions: Mapping[str, str], skip_first: bool
) -> tuple[dict[str, Argument], bool]:
    function = inspect.unwrap(function)
    parameters = list(inspect.signature(function).parameters.values())
    if skip_first:
        parameters = parameters[1:]
    has_kwargs = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
    named = (
        p
        for p in parameters
        if p.kind not in (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    )
    return {
        p.name: Argument(
            p.name, _resolve(p.annotation, function), p.default, descriptions.get(p.name, "")
        )
        for p in named
    }, has_kwargs


def _resolve(annotation: Any, function: Callable[..., Any]) -> Any:
    """Turn an annotation, which PEP 563 makes a string, into a type.

    A name that exists for type checkers only (imported under TYPE_CHECKING) becomes `Any`: such
    parameters are given by the program, never read from a config.
    """
    if annotation is inspect.Parameter.empty:
        return Any
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    unwrapped = getattr(function, "__func__", function)
    names = getattr(unwrapped, "__globals__", vars(sys.modules[function.__module__]))
    try:
        return typing.get_type_hints(holder, globalns=names, include_extras=False)["it"]
    except NameError:
        return Any
