"""Limits of numbers and of lengths, as `Annotated[float, Gt(0)]` states them.

`annotated_types` names the limits: `Gt`, `Ge`, `Lt`, `Le` and `Interval` for numbers, `MinLen`,
`MaxLen` and `Len` for strings, lists and objects, `IsFinite[float]` for a number without bounds. A
`doc("...")` beside them gives the reason, which messages repeat.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import annotated_types as at
from overrides import overrides

from allencv_al.common.config.specs.type_specs import Scope, TypeSpec
from allencv_al.common.errors import Fault
from allencv_al.common.files.json_values import repr_json


@dataclass(frozen=True)
class Bounds:
    """The limits that `Annotated` adds to a type.

    Args:
        low: The smallest number, or the number that all must exceed.
        high: The largest number, or the number that all must stay below.
        open_low: Whether `low` itself is refused.
        open_high: Whether `high` itself is refused.
        shortest: The smallest length of a string, list or object.
        longest: The largest length.
        finite: Whether numbers are limited at all: then NaN and infinities are refused, too.
        reason: Why, for messages.
    """

    low: float | None = None
    high: float | None = None
    open_low: bool = False
    open_high: bool = False
    shortest: int = 0
    longest: int | None = None
    finite: bool = False
    reason: str = ""

    @property
    def bounded(self) -> bool:
        """Whether a number has a smallest or a largest value."""
        return self.low is not None or self.high is not None

    @classmethod
    def read(cls, metadata: Iterable[Any]) -> Bounds:
        """Return the limits among the metadata of an `Annotated`; other metadata is ignored."""
        found: dict[str, Any] = {}
        for item in metadata:
            for limit in item if isinstance(item, at.GroupedMetadata) else (item,):
                found |= _fields(limit)
        return cls(**found)

    def admit(self, value: Any) -> bool:
        """Return whether a number, or the length of anything else, is within the limits."""
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return self._admits_number(value)
        if not hasattr(value, "__len__"):
            return True
        longest = math.inf if self.longest is None else self.longest
        return self.shortest <= len(value) <= longest

    def _admits_number(self, value: float) -> bool:
        if not self.finite:
            return True
        if isinstance(value, float) and not math.isfinite(value):
            return False
        above = self.low is None or value > self.low or (value == self.low and not self.open_low)
        below = (
            self.high is None or value < self.high or (value == self.high and not self.open_high)
        )
        return above and below

    def describe(self, kind: str) -> str:
        """Return `float > 0` for `float`, `list of str with at least 2 items` for `list of str`."""
        if self.low is not None and self.high is not None and not (self.open_low or self.open_high):
            kind = f"{kind} from {self.low} to {self.high}"
        elif self.bounded:
            low = "" if self.low is None else f"{'>' if self.open_low else '>='} {self.low}"
            high = "" if self.high is None else f"{'<' if self.open_high else '<='} {self.high}"
            kind = f"{kind} {' and '.join(filter(None, (low, high)))}"
        if self.finite and not self.bounded:
            kind = f"finite {kind}"
        return self._describe_length(kind)

    def _describe_length(self, kind: str) -> str:
        unit = "character" if kind == "str" else "item"
        if self.longest is None:
            if self.shortest < 2:
                return f"non-empty {kind}" if self.shortest else kind
            return f"{kind} with at least {self.shortest} {unit}s"
        if self.shortest == self.longest:
            return f"{kind} with {self.longest} {unit}{'' if self.longest == 1 else 's'}"
        if self.shortest:
            return f"{kind} with {self.shortest} to {self.longest} {unit}s"
        return f"{kind} with at most {self.longest} {unit}{'' if self.longest == 1 else 's'}"

    def json_schema(self, kind: object) -> dict[str, Any]:
        """Return the keywords of JSON Schema for a value of the JSON type `kind`."""
        if kind in ("integer", "number"):
            pairs = {
                "exclusiveMinimum" if self.open_low else "minimum": self.low,
                "exclusiveMaximum" if self.open_high else "maximum": self.high,
            }
        else:
            noun = {"string": "Length", "object": "Properties"}.get(str(kind), "Items")
            pairs = {f"min{noun}": self.shortest or None, f"max{noun}": self.longest}
        return {keyword: value for keyword, value in pairs.items() if value is not None}


def _fields(limit: object) -> dict[str, Any]:
    """Return the fields of `Bounds` that one piece of metadata states."""
    match limit:
        case at.Gt(low):
            return {"low": low, "open_low": True, "finite": True}
        case at.Ge(low):
            return {"low": low, "finite": True}
        case at.Lt(high):
            return {"high": high, "open_high": True, "finite": True}
        case at.Le(high):
            return {"high": high, "finite": True}
        case at.MinLen(shortest):
            return {"shortest": shortest}
        case at.MaxLen(longest):
            return {"longest": longest}
        case at.DocInfo(documentation=reason):
            return {"reason": reason}
        case at.Predicate(math.isfinite):
            return {"finite": True}
    return {}


@dataclass(frozen=True)
class LimitedSpec(TypeSpec):
    """A number, or a value with a length, within limits."""

    inner: TypeSpec
    bounds: Bounds

    @property
    @overrides
    def parts(self) -> tuple[TypeSpec, ...]:
        return (self.inner,)

    @overrides
    def faults(self, value: Any, path: str, scope: Scope) -> Iterator[Fault]:
        if not self.inner.resembles(value):
            yield self.expected(value, path)
        elif self.bounds.admit(value):
            yield from self.inner.faults(value, path, scope)
        else:
            # An infinity may well be above 0, as the text says: then what it lacks is told, too.
            endless = isinstance(value, float) and not math.isfinite(value)
            kind = f"a finite {self}" if endless and self.bounds.bounded else str(self)
            reason = f" ({self.bounds.reason})" if self.bounds.reason else ""
            yield Fault(path, f"expected {kind}{reason}, found {repr_json(value)}")

    @overrides
    def build(self, value: Any, path: str, scope: Scope) -> Any:
        return self.inner.build(value, path, scope)

    @overrides
    def view(self, value: Any, path: str, scope: Scope) -> Any:
        return self.inner.view(value, path, scope)

    @overrides
    def views(self, value: Any, path: str, scope: Scope) -> list[Any]:
        return self.inner.views(value, path, scope)

    @overrides
    def resembles(self, value: Any) -> bool:
        return self.inner.resembles(value)

    @overrides
    def rules_out(self, value: Any) -> bool:
        return self.inner.rules_out(value)

    @overrides
    def json_schema(self, definitions: dict[str, Any]) -> dict[str, Any]:
        schema = self.inner.json_schema(definitions)
        return {**schema, **self.bounds.json_schema(schema.get("type"))}

    def __str__(self) -> str:
        return self.bounds.describe(str(self.inner))
