"""One place for each rule about constructor values: Python callers and configs hear the same."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Sequence

from allencv_al.common.config.config_check import ConfigView, Fault
from allencv_al.common.errors import ConfigurationError

Problem = tuple[str, str]
"""The name of an argument (empty for all of it), and what is wrong."""

Rule = Callable[..., Iterable[Problem]]
"""Yields the problems of values; its parameters bear the names of constructor parameters."""


def raise_problems(problems: Iterable[Problem]) -> None:
    """Raise one error for all problems; for constructors.

    Raises:
        ConfigurationError: There is a problem; one line for each.
    """
    lines = [f"{argument}: {message}" if argument else message for argument, message in problems]
    if lines:
        raise ConfigurationError("\n".join(lines))


def faults_from(config: ConfigView, problems: Rule) -> Iterator[Fault]:
    """Yield the problems of a config's values, as a component's `config_faults` should.

    Args:
        config: The component's arguments.
        problems: A function whose parameters bear the names of constructor parameters. None is
            passed for a value of a wrong type, so that the others are still checked.
    """
    names = inspect.signature(problems).parameters
    values = {name: config.get(name) if config.sound(name) else None for name in names}
    for argument, message in problems(**values):
        yield config.fault(argument, message)


def not_positive(**values: int | Sequence[int] | None) -> Iterator[Problem]:
    """Yield the values, or the lists that hold a value, below 1."""
    for name, value in values.items():
        for item in value if isinstance(value, Sequence) else [value]:
            if item is not None and item < 1:
                yield name, f"expected at least 1, found {item}"


def not_positive_and_finite(**values: float | None) -> Iterator[Problem]:
    """Yield the values that are not above 0, infinite, or NaN."""
    for name, value in values.items():
        if value is not None and not (value > 0 and math.isfinite(value)):
            yield name, f"expected a positive, finite number, found {value}"


def not_a_share(**values: float | None) -> Iterator[Problem]:
    """Yield the values outside 0 <= value <= 1."""
    for name, value in values.items():
        if value is not None and not 0 <= value <= 1:
            yield name, f"expected a number from 0 to 1, found {value}"


def not_a_part(**values: float | None) -> Iterator[Problem]:
    """Yield the values outside 0 < value <= 1."""
    for name, value in values.items():
        if value is not None and not 0 < value <= 1:
            yield name, f"expected a number above 0, up to 1, found {value}"


def not_one_of_two(**values: object) -> Iterator[Problem]:
    """Yield the first name where both values are given, or neither is."""
    (first, value), (second, other) = values.items()
    if (value is None) == (other is None):
        found = "neither" if value is None else "both"
        yield first, f"expected this or {second}, found {found}"
