"""`Lazy[T]`: a part of a config that is built later, when what it needs is there."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from allencv_al.common.config.signatures import signature_of

T = TypeVar("T")
U = TypeVar("U")


class Lazy(Generic[T]):
    """A `T` that is built by `construct`, as often as asked.

    Args:
        constructor: What builds it. `Lazy(Adam)` in Python code needs nothing else.
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

    @staticmethod
    def wrap(value: U | Lazy[U]) -> Lazy[U]:
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
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return extras
    return {name: value for name, value in extras.items() if name in parameters}
