"""Classes that a config can describe, and parts of theirs that are built later."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar, overload

from allencv_al.common.config.signatures import Wrapped, signature_of
from allencv_al.common.errors import ConfigurationError

Problem = tuple[str, str]
"""The name of a parameter, and the problem with its value."""

Rule = Callable[..., Iterable[Problem]]
"""Yields the problems of values; its parameters bear the names of constructor parameters."""

T = TypeVar("T")
U = TypeVar("U")


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


class Lazy(Generic[T]):
    """A `T` that is built by `construct`, as often as asked.

    Args:
        constructor: Builds it. `Lazy(Adam)` in Python code needs nothing else.
        params: Parameters for the `from_params` of the class `constructor`, as in a config
            (`Lazy(Optimizer, {"type": "adam"})`); None: the class or function is called.
        constructor_extras: Arguments that are passed along, as `defaults` are.
        **defaults: Arguments that are passed along; those given to `construct` win.
    """

    def __init__(
        self,
        constructor: Callable[..., T],
        params: Mapping[str, Any] | None = None,
        constructor_extras: Mapping[str, Any] | None = None,
        **defaults: Any,
    ) -> None:
        self._constructor = constructor
        self._params = params
        self._defaults = {**(constructor_extras or {}), **defaults}
        if params is None and getattr(constructor, "default_implementation", None) is not None:
            self._params = {}  # the base of a family, which stands for its default

    @property
    def constructor(self) -> Callable[..., T]:
        """Constructor that takes the arguments of `construct`."""
        if self._params is None:
            return self._constructor
        from_params: Callable[..., T] = getattr(self._constructor, "from_params")  # noqa: B009
        return lambda **extras: from_params(self._params, **extras)

    def construct(self, **extras: Any) -> T:
        """Build the object.

        Args:
            **extras: What the program, not the config, gives (`vocab=vocab`). A constructor gets
                those of them that it names; what the config says goes before them.

        Raises:
            ConfigurationFaults: Arguments are missing, or wrong.
        """
        given = extras if self._params is not None else _named_by(self._constructor, extras)
        return self.constructor(**{**self._defaults, **given})

    @overload
    @staticmethod
    def wrap(value: Lazy[U]) -> Lazy[U]: ...

    @overload
    @staticmethod
    def wrap(value: U) -> Lazy[U]: ...

    @staticmethod
    def wrap(value: Any) -> Lazy[Any]:
        """Return `value` itself if it is lazy, else a `Lazy` that always gives `value`."""
        if isinstance(value, Lazy):
            return value
        return Lazy(_Built(value))


@dataclass(frozen=True)
class _Built(Generic[T]):
    """A constructor that gives what is built already; a class, so that it can be pickled."""

    value: T

    def __call__(self, **_: Any) -> T:
        return self.value


def _named_by(constructor: Callable[..., Any], extras: dict[str, Any]) -> dict[str, Any]:
    """Return the extras that the constructor takes, as `FromParams` does for a config."""
    if isinstance(constructor, type):
        signature = signature_of(constructor)
        return {k: v for k, v in extras.items() if signature.takes(k)}
    parameters = inspect.signature(constructor).parameters
    # Whatever is given reaches a constructor with **options
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return extras
    return {name: value for name, value in extras.items() if name in parameters}
