"""Classes that a config can describe, as the specs see them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar

from allencv_al.common.config.signatures import Wrapped
from allencv_al.common.errors import ConfigurationError

Problem = tuple[str, str]
"""The name of a parameter, and the problem with its value."""

Rule = Callable[..., Iterable[Problem]]
"""Yields the problems of values; its parameters bear the names of constructor parameters."""


class Configurable:
    """The declarations of a class; `FromParams` adds how it is built."""

    injected: ClassVar[tuple[str, ...]] = ()
    """Constructor parameters that the program gives, so that a config need not."""

    default_implementation: ClassVar[str | None] = None
    """The registered name that an object without `type` means."""

    wraps: ClassVar[Wrapped | None] = None
    """The class or function of a library whose parameters are the constructor's `**options`."""

    joint_rules: ClassVar[tuple[Rule, ...]] = ()
    """Checks across parameters, for configs and for Python code alike.

    Functions that take values by the names of constructor parameters, and yield the name of one
    with the problem. They are called when types and limits find no fault in these values;
    `config_faults` is for what only a config shows, such as parts that are not built yet.
    """

    instead: ClassVar[Mapping[str, str]] = {}
    """For keys of a config that other tools know and this class refuses, what to do instead."""

    @classmethod
    def expand_shorthand(cls, value: Any) -> Any:
        """Return the object that another kind of value in a config stands for, else the value."""
        return value

    @classmethod
    def has_registry(cls) -> bool:
        """Return whether `type` chooses among implementations of this class."""
        return False

    @classmethod
    def registry_name(cls) -> str:
        """Return what this kind of object is called in messages."""
        return cls.__name__

    @classmethod
    def resolve(cls, name: str) -> tuple[Callable[..., Any], str | None]:
        """Return the class behind a registered name, and the classmethod that builds it."""
        raise ConfigurationError(f"{cls.__name__} has no registered implementations")

    @classmethod
    def list_available(cls) -> list[str]:
        """Return the registered names, the default first."""
        return []


def not_one_of_two(**values: object) -> Iterator[Problem]:
    """Yield the first name where both values are given, or neither is."""
    (first, value), (second, other) = values.items()
    if (value is None) == (other is None):
        found = "neither" if value is None else "both"
        yield first, f"expected this or {second}, found {found}"
