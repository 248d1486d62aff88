"""Specs of values with parts: unions, lists, sets, tuples and mappings."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from overrides import overrides

from allencv_al.common.config.specs.type_specs import (
    AnySpec,
    EnumSpec,
    LiteralSpec,
    ScalarSpec,
    Scope,
    TypeSpec,
    WrappingSpec,
    join,
)
from allencv_al.common.errors import ConfigurationError, Fault
from allencv_al.common.files.json_values import repr_json
from allencv_al.common.names import counted


@dataclass(frozen=True)
class UnionSpec(TypeSpec):
    """One of several types, tried in order."""

    options: tuple[TypeSpec, ...]

    @property
    @overrides
    def parts(self) -> tuple[TypeSpec, ...]:
        return self.options

    @overrides
    def faults(self, value: Any, path: str, scope: Scope) -> Iterator[Fault]:
        near = self._near(value)
        if near:
            yield from self._judge(near, value, path, scope)[1]
        else:
            yield self.expected(value, path)

    def choose(self, value: Any, path: str, scope: Scope) -> TypeSpec:
        """Return the first option without faults, else the one whose faults tell most."""
        near = self._near(value)
        if len(near) < 2:  # nearly always: `X | None`
            return near[0] if near else self.options[0]
        return self._judge(near, value, path, scope)[0]

    def _near(self, value: Any) -> list[TypeSpec]:
        """Return the options of which `value` is an example, right or faulty."""
        if type(value) is int:  # `float | int` keeps a whole number whole
            whole = [option for option in self.options if _is_int(option)]
            if whole:
                return whole
        near = [option for option in self.options if option.resembles(value)]
        return [option for option in near if not option.rules_out(value)] or near

    def _judge(
        self, near: Sequence[TypeSpec], value: Any, path: str, scope: Scope
    ) -> tuple[TypeSpec, list[Fault]]:
        """Return the option that `choose` describes, with its faults."""
        judged: list[tuple[TypeSpec, list[Fault]]] = []
        for option in near:
            judged.append((option, list(option.faults(value, path, scope))))
            if not judged[-1][1]:
                return judged[-1]
        # The option that is right in most: its faults lie deepest
        return max(judged, key=lambda pair: _depths(pair[1]))

    @overrides
    def build(self, value: Any, path: str, scope: Scope) -> Any:
        near = self._near(value)
        if len(near) < 2:
            return self.choose(value, path, scope).build(value, path, scope)
        refusal: ConfigurationError | None = None
        for option in near:
            if any(option.faults(value, path, scope)):
                continue
            try:
                return option.build(value, path, scope)
            except ConfigurationError as error:  # its constructor refuses what its types admit
                refusal = refusal or error
        if refusal is not None:
            raise refusal
        return self.choose(value, path, scope).build(value, path, scope)

    @overrides
    def inside(self, value: Any, path: str, scope: Scope) -> tuple[TypeSpec, Scope] | None:
        return self.choose(value, path, scope), scope

    @overrides
    def resembles(self, value: Any) -> bool:
        return any(option.resembles(value) for option in self.options)

    @overrides
    def rules_out(self, value: Any) -> bool:
        return all(option.rules_out(value) for option in self.options if option.resembles(value))

    @overrides
    def json_schema(self, definitions: dict[str, Any]) -> dict[str, Any]:
        return {"anyOf": [option.json_schema(definitions) for option in self.options]}

    def __str__(self) -> str:
        return " or ".join(dict.fromkeys(str(option) for option in self.options))


def _is_int(spec: TypeSpec) -> bool:
    """Return whether a spec is that of `int`, perhaps within limits."""
    inner = spec.inner if isinstance(spec, WrappingSpec) else spec
    return inner == ScalarSpec(int)


def _depths(found: Sequence[Fault]) -> list[float]:
    """Return a key that is larger the more of a value was right.

    That is, the fewer faults lie near the top: a fault deep inside says that all around it fits.
    """
    return [*sorted(fault.path.count(".") for fault in found), math.inf]


@dataclass(frozen=True)
class ListSpec(TypeSpec):
    """A list, set or frozenset of one type, or a tuple of any length."""

    item: TypeSpec
    container: Callable[[Iterator[Any]], Any] = list
    name: str = "list"

    @property
    @overrides
    def parts(self) -> tuple[TypeSpec, ...]:
        return (self.item,)

    @overrides
    def faults(self, value: Any, path: str, scope: Scope) -> Iterator[Fault]:
        if not self.resembles(value):
            yield self.expected(value, path)
            return
        for index, inner in enumerate(value):
            yield from self.item.faults(inner, join(path, index), scope)
        if self.name == "set":
            yield from self._set_faults(value, path)

    def _set_faults(self, value: Sequence[Any], path: str) -> Iterator[Fault]:
        if isinstance(self.item, AnySpec):
            for index, inner in enumerate(value):
                if isinstance(inner, (list, Mapping)):
                    message = f"expected a value without parts, found {repr_json(inner)}"
                    yield Fault(join(path, index), message)
        try:
            # By text: lists and objects cannot be hashed
            texts = [json.dumps(inner, sort_keys=True, default=dict) for inner in value]
        except (TypeError, ValueError, RecursionError):
            return  # objects from Python code: the set itself leaves doubles out
        if len(set(texts)) != len(texts):
            yield Fault(path, f"expected distinct values, found {repr_json(value)}")

    @overrides
    def build(self, value: Any, path: str, scope: Scope) -> Any:
        return self.container(
            self.item.build(inner, join(path, index), scope) for index, inner in enumerate(value)
        )

    @overrides
    def views(self, value: Any, path: str, scope: Scope) -> list[Any]:
        if not isinstance(value, (list, tuple)):
            return []
        seen = (self.item.view(inner, join(path, i), scope) for i, inner in enumerate(value))
        return [view for view in seen if view is not None]

    @overrides
    def resembles(self, value: Any) -> bool:
        return isinstance(value, (list, tuple, set, frozenset))

    @overrides
    def json_schema(self, definitions: dict[str, Any]) -> dict[str, Any]:
        schema = {"type": "array", "items": self.item.json_schema(definitions)}
        return {**schema, "uniqueItems": True} if self.name == "set" else schema

    def __str__(self) -> str:
        return f"{self.name} of {_within(self.item)}"


@dataclass(frozen=True)
class TupleSpec(TypeSpec):
    """A tuple of known length, each place with its type."""

    items: tuple[TypeSpec, ...]

    @property
    @overrides
    def parts(self) -> tuple[TypeSpec, ...]:
        return self.items

    @overrides
    def faults(self, value: Any, path: str, scope: Scope) -> Iterator[Fault]:
        if not self.resembles(value):
            yield self.expected(value, path)
        elif len(value) != len(self.items):
            count = counted(len(value), "value")
            yield Fault(path, f"expected {self}, found {count}: {repr_json(value)}")
        else:
            for index, (item, inner) in enumerate(zip(self.items, value, strict=True)):
                yield from item.faults(inner, join(path, index), scope)

    @overrides
    def build(self, value: Any, path: str, scope: Scope) -> Any:
        return tuple(
            item.build(inner, join(path, index), scope)
            for index, (item, inner) in enumerate(zip(self.items, value, strict=True))
        )

    @overrides
    def resembles(self, value: Any) -> bool:
        return isinstance(value, (list, tuple))

    @overrides
    def json_schema(self, definitions: dict[str, Any]) -> dict[str, Any]:
        count = len(self.items)
        schema: dict[str, Any] = {"type": "array", "minItems": count, "maxItems": count}
        if count:  # JSON Schema forbids an empty prefixItems
            schema["prefixItems"] = [item.json_schema(definitions) for item in self.items]
        return schema

    def __str__(self) -> str:
        kinds = ", ".join(str(item) for item in self.items)
        return f"a list of exactly {len(self.items)} ({kinds})"


@dataclass(frozen=True)
class MappingSpec(TypeSpec):
    """An object with any keys; keys are strings in JSON and converted where the type says so."""

    key: TypeSpec
    value: TypeSpec

    @property
    @overrides
    def parts(self) -> tuple[TypeSpec, ...]:
        return (self.key, self.value)

    @overrides
    def faults(self, value: Any, path: str, scope: Scope) -> Iterator[Fault]:
        if not self.resembles(value):
            yield self.expected(value, path)
            return
        seen = set()
        for key, inner in value.items():
            place, reading = join(path, key), self._read_key(key)
            for fault in self.key.faults(reading, place, scope):
                yield Fault(fault.path, f"the key: {fault.message}")
            if reading in seen:
                yield Fault(place, "the key: means the same as another one")
            seen.add(reading)
            yield from self.value.faults(inner, place, scope)

    @overrides
    def build(self, value: Any, path: str, scope: Scope) -> Any:
        return {
            self.key.build(self._read_key(key), join(path, key), scope): self.value.build(
                inner, join(path, key), scope
            )
            for key, inner in value.items()
        }

    def _read_key(self, key: Any) -> Any:
        """Return what a key stands for: itself, or the number that the type wants."""
        for reading in (key, *_numbers(key)):
            if not any(self.key.faults(reading, "", Scope())):
                return reading
        return key

    @overrides
    def resembles(self, value: Any) -> bool:
        return isinstance(value, Mapping)

    @overrides
    def json_schema(self, definitions: dict[str, Any]) -> dict[str, Any]:
        schema = {"type": "object", "additionalProperties": self.value.json_schema(definitions)}
        if self.key == ScalarSpec(int):
            schema["propertyNames"] = {"pattern": "^(0|-?[1-9][0-9]*)$"}
        elif isinstance(self.key, (LiteralSpec, EnumSpec)):
            choices = self.key.json_schema(definitions)["enum"]
            schema["propertyNames"] = {"enum": [str(choice) for choice in choices]}
        return schema

    def __str__(self) -> str:
        return f"an object of {_within(self.value)}"


def _within(spec: TypeSpec) -> str:
    """Return how a type is said behind `list of`: alternatives in parentheses."""
    text = str(spec)
    chosen = isinstance(spec, (UnionSpec, LiteralSpec, EnumSpec))
    return f"({text})" if chosen and " or " in text else text


def _numbers(key: Any) -> Iterator[int | float]:
    if not isinstance(key, str):
        return
    for kind in (int, float):
        try:
            number = kind(key)
        except ValueError:
            continue
        if kind is float or str(number) == key:  # not "01", not "1_000"
            yield number
