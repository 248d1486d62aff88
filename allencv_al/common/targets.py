"""The class that a config object names: what is wrong with its arguments, and how it is built."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from allencv_al.common.annotations import spec_of
from allencv_al.common.errors import ConfigurationError, ConfigurationFaults, Fault
from allencv_al.common.json_values import plain
from allencv_al.common.names import did_you_mean
from allencv_al.common.params import Params
from allencv_al.common.signatures import Argument, Signature, signature_of
from allencv_al.common.type_specs import Scope, join

if TYPE_CHECKING:
    from allencv_al.common.from_params import FromParams

MOST_HINTS = 20
"""How many unknown keys of one object get a hint; finding the nearest name takes a while."""


@dataclass(frozen=True)
class Target:
    """The class that a config object names, and how it is built."""

    cls: type[FromParams]
    constructor: str | None = None

    @property
    def signature(self) -> Signature:
        """The signature of the constructor."""
        return signature_of(cast(Hashable, self.cls), self.constructor)

    @property
    def documented(self) -> object:
        """What has the docstring: the class, or its classmethod that builds it."""
        return getattr(self.cls, self.constructor) if self.constructor else self.cls

    @property
    def is_custom(self) -> bool:
        """Whether the class reads its own parameters, so that nothing can be said beforehand."""
        from allencv_al.common.from_params import FromParams

        own = getattr(self.cls.from_params, "__func__", None)
        return own is not FromParams.from_params.__func__  # type: ignore[attr-defined]

    @property
    def missing_methods(self) -> list[str]:
        """The abstract methods that are left, so that no object of the class can work."""
        return [] if self.constructor else _abstract_methods(cast(Hashable, self.cls))

    def build(self, arguments: Mapping[str, Any], path: str, scope: Scope) -> Any:
        """Build the arguments and call the constructor."""
        function = getattr(self.cls, self.constructor) if self.constructor else self.cls
        return construct(function, self.signature, arguments, path, scope)

    def read(self, arguments: Mapping[str, Any], path: str, scope: Scope) -> Any:
        """Call the `from_params` of the class's own, with those of the extras that it names."""
        parameters = inspect.signature(self.cls.from_params).parameters
        takes_all = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
        extras = {k: v for k, v in scope.extras.items() if takes_all or k in parameters}
        return self.cls.from_params(Params(arguments, path), **extras)


@functools.cache
def _abstract_methods(cls: type) -> list[str]:
    """Return what Python itself tells of an ABC only, which a torch module is not."""
    attributes: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        attributes.update(vars(base))
    return sorted(
        name
        for name, value in attributes.items()
        if getattr(value, "__isabstractmethod__", False) is True
    )


def argument_faults(
    signature: Signature,
    values: Mapping[str, Any],
    path: str,
    scope: Scope,
    injected: Sequence[str] = (),
    sound: dict[str, bool] | None = None,
) -> Iterator[Fault]:
    """Yield what is wrong with the arguments: in the order of the config, then what is missing.

    Args:
        signature: The parameters.
        values: The arguments in the config.
        path: Where the object stands.
        scope: What the program gives.
        injected: Parameters that no hint names: the program gives them.
        sound: Where to note of each parameter in the config whether its argument is right.
    """
    known = [name for name in signature.arguments if name not in injected]
    unknown = 0
    for name, value in values.items():
        argument = signature.arguments.get(name)
        if argument is not None:
            found = list(spec_of(argument.annotation).faults(value, join(path, name), scope))
            if sound is not None:
                sound[name] = not found
            yield from found
        elif not signature.accepts_any:
            unknown += 1
            hint = _hint(name, known) if unknown <= MOST_HINTS else ""
            yield Fault(join(path, name), f"unknown key{hint}")
    for name, argument in signature.arguments.items():
        if name not in values:
            yield from missing_faults(argument, join(path, name), scope)


def missing_faults(argument: Argument, path: str, scope: Scope) -> Iterator[Fault]:
    """Yield the fault of an argument that the config does not give, if it is one."""
    given = argument.name in scope.extras or argument.name in scope.provided
    if argument.required and not given:
        yield Fault(path, f"missing key, expected {spec_of(argument.annotation)}")


def _hint(name: object, known: Sequence[str]) -> str:
    near = did_you_mean(str(name), known)
    if near:
        return near
    return f"; known here: {', '.join(known)}" if known else "; no keys are known here"


def construct(
    function: Callable[..., Any],
    signature: Signature,
    values: Mapping[str, Any],
    path: str,
    scope: Scope,
) -> Any:
    """Build the arguments of `function` from `values` and from what the program gives; call it.

    Raises:
        ConfigurationError: The constructor refuses the arguments, with the path of the object.
    """
    built = {
        name: spec_of(signature.arguments[name].annotation).build(value, join(path, name), scope)
        if name in signature.arguments
        else plain(value)
        for name, value in values.items()
    }
    for name in signature.arguments:
        if name in scope.extras and name not in built:
            built[name] = scope.extras[name]
    try:
        return function(**built)
    except ConfigurationFaults:
        raise
    except (ConfigurationError, ValueError) as error:
        raise ConfigurationFaults(_located(str(error), path, signature)) from error


def _located(message: str, path: str, signature: Signature) -> list[Fault]:
    """Return the faults that a constructor's error tells: `height: expected ...` is of `height`.

    Each line is a fault of its own if it begins with an argument, or a place inside one.
    """
    parts = [line.partition(": ") for line in message.splitlines()]
    if parts and all(colon and _argument(name) in signature.arguments for name, colon, _ in parts):
        return [Fault(join(path, name), rest) for name, _, rest in parts]
    name, colon, rest = message.partition(": ")
    if colon and name in signature.arguments:
        return [Fault(join(path, name), rest)]
    return [Fault(path, message)]


def _argument(place: str) -> str:
    return place.partition(".")[0]
