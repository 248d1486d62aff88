"""Types of parameters: lengths, shares, and numbers that may also be a range [from, to]."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, cast, get_args

from annotated_types import Ge, Interval

from allencv_al.common.config.signatures import signature_of
from allencv_al.common.errors import ConfigurationError

Pixels = Annotated[int, Ge(1)]
Share = Annotated[float, Interval(ge=0, le=1)]
Range = tuple[float, float]
NumberOrRange = float | Range

_ENDLESS = float("inf")


@dataclass(frozen=True, slots=True)
class FromTo:
    """Mark of a number or pair in an annotation; a single number is from itself to itself.

    Args:
        low: The least number allowed.
        high: The greatest number allowed.
        above: What all numbers are above.
    """

    low: float = -_ENDLESS
    high: float = _ENDLESS
    above: float = -_ENDLESS

    def __call__(self, name: str, value: NumberOrRange) -> Range:
        """Return the pair (from, to) for the parameter `name`."""
        start, end = (value, value) if isinstance(value, (int, float)) else value
        if not self.low <= start <= end <= self.high:  # false for NaN, too
            raise ConfigurationError(
                f"{name}: expected a number or [from, to]{self._bounds()} with from <= to, "
                f"found {value if isinstance(value, (int, float)) else list(value)}"
            )
        if not start > self.above:
            raise ConfigurationError(
                f"{name}: expected numbers above {self.above:g}, found {start:g}"
            )
        return start, end

    def _bounds(self) -> str:
        if self.low == -_ENDLESS:
            return ""
        if self.high == _ENDLESS:
            return f" from {self.low:g} on"
        return f" within {self.low:g}..{self.high:g}"


@dataclass(frozen=True, slots=True)
class Symmetric:
    """Mark of a number or pair in an annotation; a single number n is from -n to n.

    Args:
        limit: The largest magnitude allowed.
    """

    limit: float = _ENDLESS

    def __call__(self, name: str, value: NumberOrRange) -> Range:
        """Return the pair (from, to) for the parameter `name`."""
        if not isinstance(value, (int, float)):
            return FromTo(-self.limit, self.limit)(name, value)
        if not 0 <= value <= self.limit:
            most = "" if self.limit == _ENDLESS else f" to {self.limit:g}"
            raise ConfigurationError(f"{name}: expected a number from 0{most}, found {value}")
        return -value, value


@dataclass(frozen=True, slots=True)
class Factors:
    """Mark of factors, from 0 on, in an annotation; a single number n is from 1 - n to 1 + n."""

    def __call__(self, name: str, value: NumberOrRange) -> Range:
        """Return the pair (from, to) for the parameter `name`."""
        if not isinstance(value, (int, float)):
            return FromTo(0)(name, value)
        _, most = Symmetric()(name, value)
        return max(0.0, 1 - most), 1 + most


def convert_ranges(instance: Any) -> None:
    """Replace values of marked annotations by pairs, in the arguments of the constructor.

    Raises:
        ConfigurationError: A pair is in the wrong order, or beyond its limits.
    """
    for name, convert in _marked(cast(Hashable, type(instance))).items():
        value = getattr(instance, name)
        if value is not None:
            setattr(instance, name, convert(name, value))


@functools.cache
def _marked(cls: Any) -> Mapping[str, Callable[[str, NumberOrRange], Range]]:
    return {
        name: mark
        for name, argument in signature_of(cls).arguments.items()
        for part in (argument.annotation, *get_args(argument.annotation))  # of a union, too
        for mark in getattr(part, "__metadata__", ())
        if isinstance(mark, FromTo | Symmetric | Factors)
    }
