"""Specs of annotations: check a JSON value, build the Python value, describe both.

One class per kind of annotation, each with the same three abilities, so that checking, building and
the JSON Schema cannot drift apart. Here are the kinds without parts; lists, mappings and unions are
in `container_specs.py`, objects in `object_specs.py`.
"""

from __future__ import annotations

import enum
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any

from overrides import overrides

from allencv_al.common.errors import Fault
from allencv_al.common.files.json_values import plain, repr_json
from allencv_al.common.names import did_you_mean, with_article


@dataclass(frozen=True)
class Scope:
    """The context of a value while it is checked or built.

    Args:
        extras: Values that the program gives, by parameter name.
        provided: Names that the program will give; only the check uses them.
        assume_injected: Whether a base's `injected` names count as provided: true for a whole
            config and inside `Lazy`, where the program gives them later.
        completed_later: Whether the program may give arguments that the config lacks: true right
            inside a `Lazy` of a class that does not say what is `injected`.
        views: The `ConfigView` of each object seen so far, by path and class, which semantic checks
            look at again.
    """

    extras: Mapping[str, Any] = field(default_factory=dict)
    provided: frozenset[str] = frozenset()
    assume_injected: bool = False
    completed_later: bool = False
    views: dict[tuple[str, Callable[..., Any]], Any] = field(default_factory=dict, compare=False)

    def with_extras(self, extras: Mapping[str, Any]) -> Scope:
        """Return a scope in which the program gives `extras` too."""
        return replace(self, extras={**self.extras, **extras})

    def providing(self, names: Sequence[str]) -> Scope:
        """Return a scope in which `names` will be given by the program."""
        return replace(self, provided=self.provided | set(names))


class TypeSpec(ABC):
    """The values that one annotation admits."""

    @abstractmethod
    def faults(self, value: Any, path: str, scope: Scope) -> Iterator[Fault]:
        """Yield everything that is wrong with `value`."""

    def build(self, value: Any, path: str, scope: Scope) -> Any:
        """Return the Python value for a `value` without faults; by default the value itself."""
        return value

    @abstractmethod
    def json_schema(self, definitions: dict[str, Any]) -> dict[str, Any]:
        """Return a JSON Schema; shared parts go into `definitions`."""

    @abstractmethod
    def __str__(self) -> str:
        """Return the type as a user would say it."""

    @property
    def parts(self) -> tuple[TypeSpec, ...]:
        """The types of what is inside."""
        return ()

    def resembles(self, value: Any) -> bool:
        """Return whether `value` is at least of the right kind, so that its faults are telling.

        Every value without faults is of the right kind; the answer costs less than the faults.
        """
        return not any(self.faults(value, "", Scope()))

    def rules_out(self, value: Any) -> bool:
        """Return whether `value` of the right kind names something else, so that it has faults."""
        return False

    def inside(self, value: Any, path: str, scope: Scope) -> tuple[TypeSpec, Scope] | None:
        """Return the spec that decides on `value`, with its scope, for a type around others."""
        return None

    def view(self, value: Any, path: str, scope: Scope) -> Any:
        """Return the `ConfigView` of a `value` that is an object of a known class, else None."""
        inside = self.inside(value, path, scope)
        return None if inside is None else inside[0].view(value, path, inside[1])

    def views(self, value: Any, path: str, scope: Scope) -> list[Any]:
        """Return the views of the objects in a `value` that is a list, else an empty list."""
        inside = self.inside(value, path, scope)
        return [] if inside is None else inside[0].views(value, path, inside[1])

    def expected(self, value: Any, path: str) -> Fault:
        """Return the fault for a value of the wrong type."""
        return Fault(path, f"expected {self}, found {repr_json(value)}")


@dataclass(frozen=True)
class WrappingSpec(TypeSpec):
    """A type around another one, which does all that a subclass does not change."""

    inner: TypeSpec

    @property
    @overrides
    def parts(self) -> tuple[TypeSpec, ...]:
        return (self.inner,)

    @overrides
    def faults(self, value: Any, path: str, scope: Scope) -> Iterator[Fault]:
        return self.inner.faults(value, path, scope)

    @overrides
    def build(self, value: Any, path: str, scope: Scope) -> Any:
        return self.inner.build(value, path, scope)

    @overrides
    def inside(self, value: Any, path: str, scope: Scope) -> tuple[TypeSpec, Scope] | None:
        return self.inner, scope

    @overrides
    def resembles(self, value: Any) -> bool:
        return self.inner.resembles(value)

    @overrides
    def rules_out(self, value: Any) -> bool:
        return self.inner.rules_out(value)

    @overrides
    def json_schema(self, definitions: dict[str, Any]) -> dict[str, Any]:
        return self.inner.json_schema(definitions)

    def __str__(self) -> str:
        return str(self.inner)


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
        return plain(value)  # a copy: what is built may change it

    @overrides
    def json_schema(self, definitions: dict[str, Any]) -> dict[str, Any]:
        return {}

    def __str__(self) -> str:
        return "anything"


@dataclass(frozen=True)
class UnresolvedSpec(TypeSpec):
    """An annotation that cannot be evaluated, so that only Python code can give the argument."""

    annotation: str
    reason: str

    @overrides
    def faults(self, value: Any, path: str, scope: Scope) -> Iterator[Fault]:
        if value is None or isinstance(value, (str, int, float, list, tuple, Mapping)):
            yield Fault(
                path,
                f"cannot be checked: the annotation {self.annotation} of the constructor cannot be "
                f"resolved ({self.reason}); import its names at run time, not under TYPE_CHECKING",
            )

    @overrides
    def json_schema(self, definitions: dict[str, Any]) -> dict[str, Any]:
        return {"not": {}}

    def __str__(self) -> str:
        return f"{self.annotation} (from Python code only)"


# AllenNLP takes them for truth values, and configs of AllenCV have them
_WORDS = {"true": True, "false": False}


@dataclass(frozen=True)
class ScalarSpec(TypeSpec):
    """int, float, str, bool or None; a whole number is a float, true is not an int."""

    kind: type

    _JSON_NAMES = {int: "integer", float: "number", str: "string", bool: "boolean"}  # noqa: RUF012

    @overrides
    def faults(self, value: Any, path: str, scope: Scope) -> Iterator[Fault]:
        accepted: tuple[type, ...] = (self.kind,)
        if self.kind is bool and isinstance(value, str) and value in _WORDS:
            return
        if self.kind is float:
            accepted = (int, float)
        elif self.kind is str:
            accepted = (str, PurePath)  # from Python code
        # True is an int in Python; a config that says true means no number
        is_bool = isinstance(value, bool) and self.kind is not bool
        if is_bool or not isinstance(value, accepted) or (self.kind is float and _is_huge(value)):
            yield self.expected(value, path)

    @overrides
    def build(self, value: Any, path: str, scope: Scope) -> Any:
        if self.kind is float:
            return float(value)
        if self.kind is bool and isinstance(value, str):
            return _WORDS[value]
        return str(value) if self.kind is str else value

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
        # An expression may also be nested too deep, or repeat too often
        except (re.error, ValueError, OverflowError, RecursionError) as error:
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
        # 1 == 1.0 == True in Python, but not in a config
        if not any(type(value) is type(c) and value == c for c in self.choices):
            near = ""
            if isinstance(value, str):
                near = did_you_mean(value, [c for c in self.choices if isinstance(c, str)])
            yield Fault(path, f"{self.expected(value, path).message}{near}")

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
            if type(value) is type(member.value) and value == member.value:
                return member
        return self.kind.__members__.get(value) if isinstance(value, str) else None

    @overrides
    def faults(self, value: Any, path: str, scope: Scope) -> Iterator[Fault]:
        if self._member(value) is None:
            known = [choice for choice in self._choices() if isinstance(choice, str)]
            near = did_you_mean(value, known) if isinstance(value, str) else ""
            yield Fault(path, f"{self.expected(value, path).message}{near}")

    @overrides
    def build(self, value: Any, path: str, scope: Scope) -> Any:
        return self._member(value)

    @overrides
    def resembles(self, value: Any) -> bool:
        return isinstance(value, (str, self.kind)) or self._member(value) is not None

    def _choices(self) -> list[Any]:
        """Return what a config may say: the values where they are words, else the names."""
        values = [member.value for member in self.kind]
        return values if all(isinstance(value, str) for value in values) else self._names()

    def _names(self) -> list[str]:
        return list(self.kind.__members__)

    @overrides
    def json_schema(self, definitions: dict[str, Any]) -> dict[str, Any]:
        values = [member.value for member in self.kind]
        scalars = [value for value in values if isinstance(value, (str, int, float))]
        return {"enum": [*scalars, *(name for name in self._names() if name not in scalars)]}

    def __str__(self) -> str:
        return " or ".join(repr_json(choice) for choice in self._choices())


@dataclass(frozen=True)
class InstanceSpec(TypeSpec):
    """An object that only Python code can give: an array, a data set."""

    kind: type

    @overrides
    def faults(self, value: Any, path: str, scope: Scope) -> Iterator[Fault]:
        try:
            right = isinstance(value, self.kind)
        except TypeError:  # a Protocol of which only type checkers can tell the instances
            right = not isinstance(value, (str, int, float, list, Mapping, type(None)))
        if not right:
            yield self.expected(value, path)

    @overrides
    def json_schema(self, definitions: dict[str, Any]) -> dict[str, Any]:
        return {"not": {}}

    def __str__(self) -> str:
        return f"{with_article(self.kind.__name__)} object (from Python code only)"


def _is_huge(value: Any) -> bool:
    """Return whether a whole number is beyond the largest float."""
    try:
        # JSON has whole numbers of any length
        float(value)
    except OverflowError:
        return True
    return False
