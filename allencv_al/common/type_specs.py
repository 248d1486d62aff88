"""What an annotation admits: check a JSON value, build the Python value, describe both.

One class per kind of annotation, each with the same three abilities, so that checking, building and
the JSON Schema cannot drift apart. Objects are in `object_specs.py`.
"""

from __future__ import annotations

import enum
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from overrides import overrides

from allencv_al.common.errors import Fault
from allencv_al.common.names import did_you_mean, repr_json


@dataclass(frozen=True)
class Scope:
    """What surrounds a value while it is checked or built.

    Args:
        extras: Values that the program gives, by parameter name.
        provided: Names that the program will give; only the check uses them.
        assume_injected: Whether a base's `injected` names count as provided: true for a whole
            config and inside `Lazy`, where the program gives them later.
    """

    extras: Mapping[str, Any] = field(default_factory=dict)
    provided: frozenset[str] = frozenset()
    assume_injected: bool = False

    def with_extras(self, extras: Mapping[str, Any]) -> Scope:
        """Return a scope in which the program gives `extras` too."""
        return replace(self, extras={**self.extras, **extras})

    def providing(self, names: Sequence[str]) -> Scope:
        """Return a scope in which `names` will be given by the program."""
        return replace(self, provided=self.provided | set(names))


class TypeSpec(ABC):
    """What one annotation admits."""

    @abstractmethod
    def faults(self, value: Any, path: str, scope: Scope) -> Iterator[Fault]:
        """Yield everything that is wrong with `value`."""

    @abstractmethod
    def build(self, value: Any, path: str, scope: Scope) -> Any:
        """Return the Python value for a `value` without faults."""

    @abstractmethod
    def json_schema(self, definitions: dict[str, Any]) -> dict[str, Any]:
        """Return a JSON Schema; shared parts go into `definitions`."""

    @abstractmethod
    def __str__(self) -> str:
        """Return the type as a user would say it."""

    def resembles(self, value: Any) -> bool:
        """Say whether `value` is at least of the right kind, so that its faults are telling."""
        return not any(self.faults(value, "", Scope()))

    def expected(self, value: Any, path: str) -> Fault:
        """Return the fault for a value of the wrong type."""
        return Fault(path, f"expected {self}, found {repr_json(value)}")


def join(path: str, key: str | int) -> str:
    """Return the path of `key` inside `path`."""
    return f"{path}.{key}" if path else str(key)


@dataclass(frozen=True)
class AnySpec(TypeSpec):
    """Anything goes."""

    @overrides
    def faults(self, value: Any, path: str, scope: Scope) -> Iterator[Fault]:
        return iter(())

    @overrides
    def build(self, value: Any, path: str, scope: Scope) -> Any:
        return value

    @overrides
    def json_schema(self, definitions: dict[str, Any]) -> dict[str, Any]:
        return {}

    def __str__(self) -> str:
        return "anything"


@dataclass(frozen=True)
class ScalarSpec(TypeSpec):
    """int, float, str, bool or None; a whole number is a float, true is not an int."""

    kind: type

    _JSON_NAMES = {int: "integer", float: "number", str: "string", bool: "boolean"}  # noqa: RUF012

    @overrides
    def faults(self, value: Any, path: str, scope: Scope) -> Iterator[Fault]:
        accepted: tuple[type, ...] = (int, float) if self.kind is float else (self.kind,)
        is_bool = isinstance(value, bool) and self.kind is not bool
        if is_bool or not isinstance(value, accepted):
            yield self.expected(value, path)

    @overrides
    def build(self, value: Any, path: str, scope: Scope) -> Any:
        return float(value) if self.kind is float else value

    @overrides
    def json_schema(self, definitions: dict[str, Any]) -> dict[str, Any]:
        return {"type": self._JSON_NAMES.get(self.kind, "null")}

    def __str__(self) -> str:
        return "null" if self.kind is type(None) else self.kind.__name__


@dataclass(frozen=True)
class TextSpec(TypeSpec):
    """A string that stands for something else: a path, a regular expression."""

    kind: str
    convert: Callable[[str], Any]
    python_type: type

    @overrides
    def faults(self, value: Any, path: str, scope: Scope) -> Iterator[Fault]:
        if isinstance(value, self.python_type):
            return
        if not isinstance(value, str):
            yield self.expected(value, path)
            return
        try:
            self.convert(value)
        except (re.error, ValueError) as error:
            yield Fault(path, f"expected {self}, found {repr_json(value)}: {error}")

    @overrides
    def build(self, value: Any, path: str, scope: Scope) -> Any:
        return self.convert(value) if isinstance(value, str) else value

    @overrides
    def resembles(self, value: Any) -> bool:
        return isinstance(value, (str, self.python_type))

    @overrides
    def json_schema(self, definitions: dict[str, Any]) -> dict[str, Any]:
        return {"type": "string"}

    def __str__(self) -> str:
        return self.kind


@dataclass(frozen=True)
class LiteralSpec(TypeSpec):
    """One of a few values."""

    choices: tuple[Any, ...]

    @overrides
    def faults(self, value: Any, path: str, scope: Scope) -> Iterator[Fault]:
        if not any(value == c and type(value) is type(c) for c in self.choices):
            near = ""
            if isinstance(value, str):
                near = did_you_mean(value, [c for c in self.choices if isinstance(c, str)])
            yield Fault(path, f"{self.expected(value, path).message}{near}")

    @overrides
    def build(self, value: Any, path: str, scope: Scope) -> Any:
        return value

    @overrides
    def resembles(self, value: Any) -> bool:
        return any(type(value) is type(choice) for choice in self.choices)

    @overrides
    def json_schema(self, definitions: dict[str, Any]) -> dict[str, Any]:
        return {"enum": list(self.choices)}

    def __str__(self) -> str:
        return " or ".join(repr_json(choice) for choice in self.choices)


@dataclass(frozen=True)
class EnumSpec(TypeSpec):
    """A member of an Enum, by its value or its name."""

    kind: type[enum.Enum]

    def _member(self, value: Any) -> enum.Enum | None:
        if isinstance(value, self.kind):
            return value
        for member in self.kind:
            if value == member.value or value == member.name:
                return member
        return None

    @overrides
    def faults(self, value: Any, path: str, scope: Scope) -> Iterator[Fault]:
        if self._member(value) is None:
            near = did_you_mean(value, self._names()) if isinstance(value, str) else ""
            yield Fault(path, f"{self.expected(value, path).message}{near}")

    @overrides
    def build(self, value: Any, path: str, scope: Scope) -> Any:
        return self._member(value)

    @overrides
    def resembles(self, value: Any) -> bool:
        return isinstance(value, (str, self.kind))

    def _names(self) -> list[str]:
        return [str(member.value) for member in self.kind]

    @overrides
    def json_schema(self, definitions: dict[str, Any]) -> dict[str, Any]:
        return {"enum": [member.value for member in self.kind]}

    def __str__(self) -> str:
        return " or ".join(repr_json(member.value) for member in self.kind)


@dataclass(frozen=True)
class InstanceSpec(TypeSpec):
    """An object that only Python code can give: an array, a data set."""

    kind: type

    @overrides
    def faults(self, value: Any, path: str, scope: Scope) -> Iterator[Fault]:
        if not isinstance(value, self.kind):
            yield self.expected(value, path)

    @overrides
    def build(self, value: Any, path: str, scope: Scope) -> Any:
        return value

    @overrides
    def json_schema(self, definitions: dict[str, Any]) -> dict[str, Any]:
        return {"not": {}}

    def __str__(self) -> str:
        return f"a {self.kind.__name__} object (from Python code only)"


@dataclass(frozen=True)
class UnionSpec(TypeSpec):
    """One of several types, tried in order."""

    options: tuple[TypeSpec, ...]

    def matching(self, value: Any, scope: Scope) -> TypeSpec | None:
        """Return the first option without faults."""
        for option in self.options:
            if not any(option.faults(value, "", scope)):
                return option
        return None

    @overrides
    def faults(self, value: Any, path: str, scope: Scope) -> Iterator[Fault]:
        if self.matching(value, scope) is not None:
            return
        candidates = [list(o.faults(value, path, scope)) for o in self._near(value)]
        if candidates:
            yield from min(candidates, key=lambda found: (-_depth(found), len(found)))
        else:
            yield self.expected(value, path)

    def _near(self, value: Any) -> list[TypeSpec]:
        """Return the options of which `value` is a faulty example, not something else."""
        return [option for option in self.options if option.resembles(value)]

    @overrides
    def build(self, value: Any, path: str, scope: Scope) -> Any:
        option = self.matching(value, scope) or self.options[0]
        return option.build(value, path, scope)

    @overrides
    def resembles(self, value: Any) -> bool:
        return any(option.resembles(value) for option in self.options)

    @overrides
    def json_schema(self, definitions: dict[str, Any]) -> dict[str, Any]:
        return {"anyOf": [option.json_schema(definitions) for option in self.options]}

    def __str__(self) -> str:
        return " or ".join(str(option) for option in self.options)


def _depth(faults: Sequence[Fault]) -> int:
    """Return how deep the first fault lies: the deeper, the more of the value was right."""
    return faults[0].path.count(".") if faults else 0


@dataclass(frozen=True)
class ListSpec(TypeSpec):
    """A list, set or frozenset of one type, or a tuple of any length."""

    item: TypeSpec
    container: Callable[[Iterator[Any]], Any] = list
    name: str = "list"

    @overrides
    def faults(self, value: Any, path: str, scope: Scope) -> Iterator[Fault]:
        if not self.resembles(value):
            yield self.expected(value, path)
            return
        for index, inner in enumerate(value):
            yield from self.item.faults(inner, join(path, index), scope)
        if self.name == "set" and len(set(map(repr_json, value))) != len(value):
            yield Fault(path, f"expected distinct values, found {repr_json(value)}")

    @overrides
    def build(self, value: Any, path: str, scope: Scope) -> Any:
        return self.container(
            self.item.build(inner, join(path, index), scope) for index, inner in enumerate(value)
        )

    @overrides
    def resembles(self, value: Any) -> bool:
        return isinstance(value, (list, tuple, set, frozenset))

    @overrides
    def json_schema(self, definitions: dict[str, Any]) -> dict[str, Any]:
        schema = {"type": "array", "items": self.item.json_schema(definitions)}
        return {**schema, "uniqueItems": True} if self.name == "set" else schema

    def __str__(self) -> str:
        return f"{self.name} of {self.item}"


@dataclass(frozen=True)
class TupleSpec(TypeSpec):
    """A tuple of known length, each place with its type."""

    items: tuple[TypeSpec, ...]

    @overrides
    def faults(self, value: Any, path: str, scope: Scope) -> Iterator[Fault]:
        if not self.resembles(value):
            yield self.expected(value, path)
        elif len(value) != len(self.items):
            yield Fault(path, f"expected {self}, found {len(value)} values: {repr_json(value)}")
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
        prefix = [item.json_schema(definitions) for item in self.items]
        return {"type": "array", "prefixItems": prefix, "minItems": count, "maxItems": count}

    def __str__(self) -> str:
        kinds = ", ".join(str(item) for item in self.items)
        return f"a list of exactly {len(self.items)} ({kinds})"


@dataclass(frozen=True)
class MappingSpec(TypeSpec):
    """An object with any keys; keys are strings in JSON and converted where the type says so."""

    key: TypeSpec
    value: TypeSpec

    @overrides
    def faults(self, value: Any, path: str, scope: Scope) -> Iterator[Fault]:
        if not self.resembles(value):
            yield self.expected(value, path)
            return
        for key, inner in value.items():
            yield from self.key.faults(self._read_key(key), join(path, key), scope)
            yield from self.value.faults(inner, join(path, key), scope)

    @overrides
    def build(self, value: Any, path: str, scope: Scope) -> Any:
        return {
            self.key.build(self._read_key(key), join(path, key), scope): self.value.build(
                inner, join(path, key), scope
            )
            for key, inner in value.items()
        }

    def _read_key(self, key: Any) -> Any:
        numeric = isinstance(self.key, ScalarSpec) and self.key.kind in (int, float)
        if not numeric or not isinstance(key, str):
            return key
        try:
            return int(key) if self.key == ScalarSpec(int) else float(key)
        except ValueError:
            return key

    @overrides
    def resembles(self, value: Any) -> bool:
        return isinstance(value, Mapping)

    @overrides
    def json_schema(self, definitions: dict[str, Any]) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": self.value.json_schema(definitions)}

    def __str__(self) -> str:
        return f"an object of {self.value}"
