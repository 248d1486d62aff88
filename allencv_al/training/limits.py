"""Limits of the numbers of optimizers and schedulers, for configs and Python code."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from allencv_al.common.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Limit:
    """The numbers a parameter takes.

    Args:
        low: The smallest.
        high: The largest.
        open_low: Leave `low` itself out.
        open_high: Leave `high` itself out.
        reason: What else a message says of them.
    """

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False
    reason: str = ""

    def fault(self, value: object) -> str | None:
        """Return the fault of `value`, or of a number in a list or tuple; None if there is none.

        What is no number is left to the type check.
        """
        if isinstance(value, list | tuple):
            return next((fault for item in value if (fault := self.fault(item))), None)
        if not isinstance(value, int | float) or isinstance(value, bool) or self._holds(value):
            return None
        reason = f" ({self.reason})" if self.reason else ""
        return f"expected {self}{reason}, found {value!r}"

    def _holds(self, value: float) -> bool:
        above = value > self.low if self.open_low else value >= self.low
        below = value < self.high if self.open_high else value <= self.high
        return above and below and math.isfinite(value)

    def __str__(self) -> str:
        low = f"above {self.low:g}" if self.open_low else f"of at least {self.low:g}"
        high = f"below {self.high:g}" if self.open_high else f"at most {self.high:g}"
        bounds = [
            text for text, bound in ((low, self.low), (high, self.high)) if not math.isinf(bound)
        ]
        return f"a number {' and '.join(bounds)}" if bounds else "a finite number"


AT_LEAST_ZERO = Limit(0)
POSITIVE = Limit(0, open_low=True)
AT_LEAST_ONE = Limit(1)
FRACTION = Limit(0, 1)
DECAY = Limit(0, 1, open_high=True)

Limits = Mapping[str, Limit]


def limit_faults(limits: Limits, values: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield a name and what is wrong for each of `values` outside its limit."""
    for name, value in values.items():
        limit = limits.get(name)
        fault = limit.fault(value) if limit is not None else None
        if fault is not None:
            yield name, fault


def check_limits(limits: Limits, **values: object) -> None:
    """Raise a ConfigurationError that lists everything outside its limit."""
    faults = [f"{name}: {message}" for name, message in limit_faults(limits, values)]
    if faults:
        raise ConfigurationError("\n".join(faults))
