"""`Lazy[T]`: a part of a config that is built later, when what it needs is there."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from allencv_al.common.signatures import signature_of

T = TypeVar("T")
U = TypeVar("U")


class Lazy(Generic[T]):
    """A `T` that is built by `construct`, as often as asked.

    Args:
        constructor: What builds it. `Lazy(Adam)` in Python code needs nothing else.
        **defaults: Arguments that are passed along; those given to `construct` win.
    """

    def __init__(self, constructor: Callable[..., T], **defaults: Any) -> None:
        self._constructor = constructor
        self._defaults = defaults

    def construct(self, **extras: Any) -> T:
        """Build the object.

        Args:
            **extras: What the program, not the config, gives (`vocab=vocab`). A constructor gets
                those of them that it names.
        """
        given = _named_by(self._constructor, extras)
        return self._constructor(**{**self._defaults, **given})

    @staticmethod
    def wrap(value: U | Lazy[U]) -> Lazy[U]:
        """Return `value` itself if it is lazy, else a `Lazy` that always gives `value`."""
        if isinstance(value, Lazy):
            return value
        built: U = value
        return Lazy(lambda **_: built)


def _named_by(constructor: Callable[..., Any], extras: dict[str, Any]) -> dict[str, Any]:
    """Return the extras that the constructor takes, as `FromParams` does for a config."""
    if isinstance(constructor, type):
        signature = signature_of(constructor)
        names = signature.arguments
        return {k: v for k, v in extras.items() if k in names or signature.accepts_any}
    parameters = inspect.signature(constructor).parameters
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return extras
    return {name: value for name, value in extras.items() if name in parameters}
