"""Checks of constructor arguments, each naming the argument, what was found and what is right."""

from __future__ import annotations

from collections.abc import Sequence

from allencv_al.common.errors import ConfigurationError


def check_pixels(**lengths: int | None) -> None:
    """Require positive whole numbers of pixels; None is let through."""
    for name, length in lengths.items():
        if length is not None and length < 1:
            raise ConfigurationError(f"{name}: expected at least 1 pixel, found {length}")


def check_not_negative(**values: float) -> None:
    """Require numbers that are zero or more."""
    for name, value in values.items():
        if not value >= 0:
            raise ConfigurationError(f"{name}: expected zero or more, found {value}")


def check_positive(**values: float) -> None:
    """Require numbers above zero."""
    for name, value in values.items():
        if not value > 0:
            raise ConfigurationError(f"{name}: expected a number above 0, found {value}")


def check_fraction(**values: float) -> None:
    """Require numbers from 0 to 1."""
    for name, value in values.items():
        if not 0 <= value <= 1:
            raise ConfigurationError(f"{name}: expected a number from 0 to 1, found {value}")


def as_range(
    name: str,
    value: float | Sequence[float],
    low: float = float("-inf"),
    high: float = float("inf"),
) -> tuple[float, float]:
    """Return a pair (from, to); a single number is from itself to itself.

    Args:
        name: The argument, for the message.
        value: A number or a pair.
        low: The least that is allowed.
        high: The most that is allowed.
    """
    start, end = (value, value) if isinstance(value, (int, float)) else value
    if not low <= start <= end <= high:
        bounds = "" if low == -high else f" within {low:g}..{high:g}"
        raise ConfigurationError(
            f"{name}: expected a number or [from, to]{bounds} with from <= to, "
            f"found {value if isinstance(value, (int, float)) else list(value)}"
        )
    return start, end


def as_symmetric_range(
    name: str, value: float | Sequence[float], limit: float = float("inf")
) -> tuple[float, float]:
    """Return a pair (from, to); a single number is from its negative to itself.

    Args:
        name: The argument, for the message.
        value: A number or a pair.
        limit: The largest magnitude that is allowed.
    """
    if isinstance(value, (int, float)):
        if not 0 <= value <= limit:
            most = "" if limit == float("inf") else f" to {limit:g}"
            raise ConfigurationError(f"{name}: expected a number from 0{most}, found {value}")
        return -value, value
    return as_range(name, value, -limit, limit)
