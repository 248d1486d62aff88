"""From annotations to specs."""

from __future__ import annotations

import collections.abc
import enum
import functools
import re
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

from allencv_al.common.config.signatures import Unresolved
from allencv_al.common.config.specs.container_specs import (
    ListSpec,
    MappingSpec,
    TupleSpec,
    UnionSpec,
)
from allencv_al.common.config.specs.limits import limited
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
    # A name for another type: what stands behind it counts
    if isinstance(annotation, typing.NewType):
        return spec_of(annotation.__supertype__)
    if isinstance(annotation, typing.TypeVar):
        return spec_of(annotation.__bound__ or Any)
    if hasattr(annotation, "__value__"):  # the `type X = ...` of Python 3.12
        return spec_of(annotation.__value__)
    if annotation is Any or not isinstance(annotation, type):
        return AnySpec()
    return _plain_class(annotation)


ClassMaker = Callable[[type, tuple[Any, ...]], TypeSpec | None]

_CLASS_MAKERS: list[ClassMaker] = []


def makes_specs(make: ClassMaker) -> ClassMaker:
    """Add a maker of specs for classes, which returns None for those that are not its business.

    So the specs of objects, which need the specs of their arguments, can stand above this module.
    """
    _CLASS_MAKERS.append(make)
    return make


def _plain_class(cls: type) -> TypeSpec:
    if cls in (int, float, str, bool):
        return ScalarSpec(cls)
    if cls is Path:
        return TextSpec("a path", Path, Path)
    if cls is re.Pattern:
        return TextSpec("a regular expression", re.compile, re.Pattern)
    if issubclass(cls, enum.Enum):
        return EnumSpec(cls)
    if cls in (*_SEQUENCES, *_SETS, frozenset):
        return _generic(cls, cls, (Any,))
    if cls is tuple:
        return _generic(cls, cls, (Any, ...))
    if cls in _MAPPINGS or typing.is_typeddict(cls):
        return MappingSpec(ScalarSpec(str), AnySpec())
    if cls is object:
        return AnySpec()
    made = (make(cls, (Any,)) for make in _CLASS_MAKERS)
    return next((spec for spec in made if spec is not None), InstanceSpec(cls))


def _generic(annotation: Any, origin: Any, arguments: tuple[Any, ...]) -> TypeSpec:
    if origin is typing.Literal:
        return LiteralSpec(arguments)
    if origin in (typing.Union, types.UnionType):
        specs = map(spec_of, arguments)
        # An `Annotated[X | None, ...]` among the types is a union itself: null is an option once
        options = (spec.options if isinstance(spec, UnionSpec) else (spec,) for spec in specs)
        return UnionSpec(tuple(dict.fromkeys(one for several in options for one in several)))
    if origin is typing.Annotated:
        return limited(spec_of(arguments[0]), arguments[1:])
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is ...:  # of any length, like a list
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
    made = (make(origin, arguments) for make in _CLASS_MAKERS if isinstance(origin, type))
    if (found := next((spec for spec in made if spec is not None), None)) is not None:
        return found
    return spec_of(origin) if isinstance(origin, type) else AnySpec()
