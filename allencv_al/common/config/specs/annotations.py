"""The spec of each annotation, with limits of numbers and of lengths (`Annotated[float, Gt(0)]`).

`annotated_types` names the limits: `Gt`, `Ge`, `Lt`, `Le` and `Interval` for numbers, `MinLen`,
`MaxLen` and `Len` for strings, lists and objects, `IsFinite[float]` for a number without bounds. A
`doc("...")` beside them gives the reason, which messages repeat.
"""

from __future__ import annotations

import collections.abc
import enum
import functools
import math
import operator
import re
import types
import typing
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import annotated_types as at
from overrides import overrides

from allencv_al.common.config.signatures import Unresolved
from allencv_al.common.config.specs.container_specs import (
    ListSpec,
    MappingSpec,
    TupleSpec,
    UnionSpec,
)
from allencv_al.common.config.specs.type_specs import (
    AnySpec,
    EnumSpec,
    InstanceSpec,
    LiteralSpec,
    ScalarSpec,
    Scope,
    TextSpec,
    TypeSpec,
    UnresolvedSpec,
    WrappingSpec,
)
from allencv_al.common.errors import Fault
from allencv_al.common.files.json_values import repr_json

_COMPARISONS = {
    ">": (operator.gt, "exclusiveMinimum"),
    ">=": (operator.ge, "minimum"),
    "<": (operator.lt, "exclusiveMaximum"),
    "<=": (operator.le, "maximum"),
}

_SEQUENCES = (
    list,
    collections.abc.Sequence,
    collections.abc.MutableSequence,
    collections.abc.Iterable,
    collections.abc.Collection,
)
_SETS = (set, collections.abc.Set, collections.abc.MutableSet)
_MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)

ClassMaker = Callable[[type, tuple[Any, ...]], TypeSpec | None]

_CLASS_MAKERS: list[ClassMaker] = []


def limited(spec: TypeSpec, metadata: Iterable[Any]) -> TypeSpec:
    """Return `spec` within the limits among the metadata of an `Annotated`; others are ignored.

    The limits of `Annotated[float | None, Gt(0)]` are the float's.
    """
    numbers: dict[str, Any] = {}
    lengths: dict[str, int] = {}
    finite, reason = False, ""
    flat = (one for item in metadata for one in (item if _is_group(item) else (item,)))
    for limit in flat:
        match limit:
            case at.Gt(bound):
                numbers[">"] = bound
            case at.Ge(bound):
                numbers[">="] = bound
            case at.Lt(bound):
                numbers["<"] = bound
            case at.Le(bound):
                numbers["<="] = bound
            case at.MinLen(length):
                lengths["min"] = length
            case at.MaxLen(length):
                lengths["max"] = length
            case at.DocInfo(documentation=text):
                reason = text
            case at.Predicate(math.isfinite):
                finite = True

    def within(part: TypeSpec) -> TypeSpec:
        # Limits around a union hold for each of its types that they fit
        if isinstance(part, UnionSpec):
            return UnionSpec(tuple(map(within, part.options)))
        if part in (ScalarSpec(int), ScalarSpec(float)):
            limits = tuple(numbers.items())
            return NumberSpec(part, reason, limits) if limits or finite else part
        if isinstance(part, (ListSpec, MappingSpec)) or part == ScalarSpec(str):
            least, most = lengths.get("min", 0), lengths.get("max")
            return LengthSpec(part, reason, least, most) if least or most is not None else part
        return part

    return within(spec)


def _is_group(item: object) -> bool:
    return isinstance(item, at.GroupedMetadata)


@dataclass(frozen=True)
class LimitedSpec(WrappingSpec):
    """A type that takes some of the values of another one.

    Args:
        inner: The other one.
        reason: Why, for messages.
    """

    reason: str

    @abstractmethod
    def admits(self, value: Any) -> bool:
        """Return whether a value of the right type is within the limits."""

    @overrides
    def faults(self, value: Any, path: str, scope: Scope) -> Iterator[Fault]:
        if not self.inner.resembles(value):
            yield self.expected(value, path)
        elif self.admits(value):
            yield from self.inner.faults(value, path, scope)
        else:
            # An infinity may well be above 0, as the text says: then what it lacks is told, too
            endless = isinstance(value, float) and not math.isfinite(value)
            kind = f"finite {self}" if endless and "finite" not in str(self) else str(self)
            reason = f" ({self.reason})" if self.reason else ""
            yield Fault(path, f"expected {kind}{reason}, found {repr_json(value)}")


@dataclass(frozen=True)
class NumberSpec(LimitedSpec):
    """A finite number within limits: pairs of a comparison and a bound."""

    limits: tuple[tuple[str, float], ...]

    @overrides
    def admits(self, value: Any) -> bool:
        # NaN passes no comparison, but an infinity may; a whole number may be too large for a float
        finite = not isinstance(value, float) or math.isfinite(value)
        return finite and all(_COMPARISONS[sign][0](value, bound) for sign, bound in self.limits)

    @overrides
    def json_schema(self, definitions: dict[str, Any]) -> dict[str, Any]:
        keywords = {_COMPARISONS[sign][1]: bound for sign, bound in self.limits}
        return {**self.inner.json_schema(definitions), **keywords}

    def __str__(self) -> str:
        bounds = dict(self.limits)
        if bounds.keys() == {">=", "<="}:
            return f"{self.inner} from {bounds['>=']} to {bounds['<=']}"
        text = " and ".join(f"{sign} {bound}" for sign, bound in self.limits)
        return f"{self.inner} {text}" if text else f"finite {self.inner}"


@dataclass(frozen=True)
class LengthSpec(LimitedSpec):
    """A string, list or object with a length from `least` to `most` (None: any)."""

    least: int
    most: int | None

    @overrides
    def admits(self, value: Any) -> bool:
        # A path from Python code stands for a string, and has no length
        return not hasattr(value, "__len__") or (
            self.least <= len(value) <= (math.inf if self.most is None else self.most)
        )

    @overrides
    def json_schema(self, definitions: dict[str, Any]) -> dict[str, Any]:
        schema = self.inner.json_schema(definitions)
        noun = {"string": "Length", "object": "Properties"}.get(str(schema.get("type")), "Items")
        limits = {f"min{noun}": self.least or None, f"max{noun}": self.most}
        return {**schema, **{key: length for key, length in limits.items() if length is not None}}

    def __str__(self) -> str:
        if self.most is None:
            span = f"at least {self.least}"
        elif self.least in (0, self.most):
            span = f"{'' if self.least else 'at most '}{self.most}"
        else:
            span = f"{self.least} to {self.most}"
        if span == "at least 1":
            return f"non-empty {self.inner}"
        unit = "character" if self.inner == ScalarSpec(str) else "item"
        return f"{self.inner} with {span} {unit}{'' if self.most == 1 else 's'}"


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


def makes_specs(make: ClassMaker) -> ClassMaker:
    """Add a maker of specs for classes, which returns None for those that are not its business.

    So the specs of objects, which need the specs of their arguments, can stand above this module.
    """
    # In the order of imports; each is for classes that no other one takes
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
