"""From annotations to specs."""

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import functools
import inspect
import re
import types
import typing
from pathlib import Path
from typing import Any

from allencv_al.common.config.lazy import Lazy
from allencv_al.common.config.signatures import Unresolved
from allencv_al.common.config.specs.container_specs import (
    ListSpec,
    MappingSpec,
    TupleSpec,
    UnionSpec,
)
from allencv_al.common.config.specs.limits import Bounds, LimitedSpec
from allencv_al.common.config.specs.type_specs import (
    AnySpec,
    EnumSpec,
    InstanceSpec,
    LiteralSpec,
    ScalarSpec,
    TextSpec,
    TypeSpec,
    UnresolvedSpec,
)

_OURS = __name__.partition(".")[0]

_SEQUENCES = (
    list,
    collections.abc.Sequence,
    collections.abc.MutableSequence,
    collections.abc.Iterable,
    collections.abc.Collection,
)
_SETS = (set, collections.abc.Set, collections.abc.MutableSet)
_MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


@functools.cache
def spec_of(annotation: Any) -> TypeSpec:
    """Return what `annotation` admits."""
    origin = typing.get_origin(annotation)
    if origin is not None:
        return _generic(annotation, origin, typing.get_args(annotation))
    if annotation is None or annotation is type(None):
        return ScalarSpec(type(None))
    if isinstance(annotation, Unresolved):
        return UnresolvedSpec(annotation.text, annotation.reason)
    if isinstance(annotation, typing.NewType):
        return spec_of(annotation.__supertype__)
    if isinstance(annotation, typing.TypeVar):
        return spec_of(annotation.__bound__ or Any)
    if hasattr(annotation, "__value__"):  # the `type X = ...` of Python 3.12
        return spec_of(annotation.__value__)
    if annotation is Any or not isinstance(annotation, type):
        return AnySpec()
    return _plain_class(annotation)


def _plain_class(cls: type) -> TypeSpec:
    from allencv_al.common.config.from_params import FromParams
    from allencv_al.common.config.specs.object_specs import DataclassSpec, LazySpec, ObjectSpec

    if cls in (int, float, str, bool):
        return ScalarSpec(cls)
    if cls is Path:
        return TextSpec("a path", Path, Path)
    if cls is re.Pattern:
        return TextSpec("a regular expression", re.compile, re.Pattern)
    if issubclass(cls, enum.Enum):
        return EnumSpec(cls)
    if issubclass(cls, FromParams):
        return ObjectSpec(cls)
    if dataclasses.is_dataclass(cls):
        return DataclassSpec(cls)
    if cls in (*_SEQUENCES, *_SETS, frozenset):
        return _generic(cls, cls, (Any,))
    if cls is tuple:
        return _generic(cls, cls, (Any, ...))
    if cls in _MAPPINGS or typing.is_typeddict(cls):
        return MappingSpec(ScalarSpec(str), AnySpec())
    if cls is Lazy:
        return LazySpec(AnySpec())
    if cls is object:
        return AnySpec()
    return DataclassSpec(cls) if _describes_itself(cls) else InstanceSpec(cls)


def _describes_itself(cls: type) -> bool:
    """Return whether the constructor of a class that knows no configs can be its schema.

    Every parameter has an annotation, as in a dataclass. What this package's own classes take from
    Python code alone stays so.
    """
    init = inspect.getattr_static(cls, "__init__", None)
    if not isinstance(init, types.FunctionType) or cls.__module__.partition(".")[0] == _OURS:
        return False
    parameters = list(inspect.signature(init).parameters.values())[1:]
    named = [p for p in parameters if p.kind is not inspect.Parameter.VAR_POSITIONAL]
    return (
        bool(parameters)
        and named == parameters
        and all(p.annotation is not inspect.Parameter.empty for p in parameters)
    )


def _generic(annotation: Any, origin: Any, arguments: tuple[Any, ...]) -> TypeSpec:
    from allencv_al.common.config.specs.object_specs import LazySpec

    if origin is typing.Literal:
        return LiteralSpec(arguments)
    if origin in (typing.Union, types.UnionType):
        return UnionSpec(tuple(spec_of(option) for option in arguments))
    if origin is typing.Annotated:
        return _limited(spec_of(arguments[0]), Bounds.read(arguments[1:]))
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is ...:
            return ListSpec(spec_of(arguments[0]), tuple)
        return TupleSpec(tuple(spec_of(item) for item in arguments))
    if origin in _SETS:
        return ListSpec(spec_of(arguments[0]), set, "set")
    if origin is frozenset:
        return ListSpec(spec_of(arguments[0]), frozenset, "set")
    if origin in _SEQUENCES:
        return ListSpec(spec_of(arguments[0]))
    if origin in _MAPPINGS:
        return MappingSpec(spec_of(arguments[0]), spec_of(arguments[1]))
    if origin is Lazy:
        return LazySpec(spec_of(arguments[0]))
    return spec_of(origin) if isinstance(origin, type) else AnySpec()


def _limited(spec: TypeSpec, bounds: Bounds) -> TypeSpec:
    """Return the spec within limits; those of `Annotated[float | None, Gt(0)]` are the float's."""
    if bounds == Bounds():
        return spec
    if isinstance(spec, UnionSpec):
        return UnionSpec(tuple(_limited(option, bounds) for option in spec.options))
    if isinstance(spec, ScalarSpec) and spec.kind in (int, float):
        return LimitedSpec(spec, bounds) if bounds.finite else spec
    has_length = isinstance(spec, (ListSpec, MappingSpec)) or spec == ScalarSpec(str)
    limits_length = bounds.shortest > 0 or bounds.longest is not None
    return LimitedSpec(spec, bounds) if has_length and limits_length else spec
