"""The class that a config object names: what is wrong with its arguments, and how it is built."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from allencv_al.common.config.params import Params
from allencv_al.common.config.signatures import Argument, Signature, signature_of
from allencv_al.common.config.specs.annotations import spec_of
from allencv_al.common.config.specs.type_specs import Scope, join
from allencv_al.common.errors import ConfigurationError, ConfigurationFaults, Fault
from allencv_al.common.files.json_values import plain
from allencv_al.common.names import did_you_mean

T = TypeVar("T")

MOST_HINTS = 20
"""Unknown keys of one object that get a hint; finding the nearest name takes a while."""


_BY_SIGNATURE = "_by_signature"

F = TypeVar("F", bound=Callable[..., Any])

Registered = Callable[..., Any]
"""Registered objects: a class, as a rule a `FromParams`, or a function."""

_TEXT_OF_A_NUMBER = (
    "a string; variables are strings in jsonnet: std.parseJson(std.extVar(...)) gives the number"
)
_WANTS_A_NUMBER = re.compile(r"expected (?:.* or )?(?:int|float)\b")


def by_signature(from_params: F) -> F:
    """Mark a `from_params` as one that reads the constructor's signature: `FromParams` has it."""
    setattr(from_params, _BY_SIGNATURE, True)
    return from_params


@dataclass(frozen=True)
class Target:
    """The class or function that a config object names, and how it is built."""

    cls: Registered
    constructor: str | None = None

    @property
    def name(self) -> str:
        """The name of the class or function."""
        return self.cls.__name__

    @property
    def injected(self) -> tuple[str, ...]:
        """The parameters that the program gives."""
        names: tuple[str, ...] = getattr(self.cls, "injected", ())
        return names

    @property
    def instead(self) -> Mapping[str, str]:
        """Keys and values of other tools that are refused, with what to do instead."""
        answers: Mapping[str, str] = getattr(self.cls, "instead", {})
        return answers

    @property
    def signature(self) -> Signature:
        """The signature of the constructor."""
        return signature_of(cast(Hashable, self.cls), self.constructor)

    @property
    def documented(self) -> object:
        """The object with the docstring: the class, or the classmethod that builds it."""
        return getattr(self.cls, self.constructor) if self.constructor else self.cls

    @property
    def is_custom(self) -> bool:
        """Whether the class reads its own parameters, so that nothing can be said beforehand."""
        # By a mark, since `FromParams` is above this module
        own = getattr(getattr(self.cls, "from_params", None), "__func__", None)
        return own is not None and not getattr(own, _BY_SIGNATURE, False)

    @property
    def missing_methods(self) -> list[str]:
        """The abstract methods that are left, so that no object of the class can work."""
        if self.constructor or not isinstance(self.cls, type):
            return []
        return _abstract_methods(cast(Hashable, self.cls))

    def build(self, arguments: Mapping[str, Any], path: str, scope: Scope) -> Any:
        """Build the arguments and call the constructor."""
        function = getattr(self.cls, self.constructor) if self.constructor else self.cls
        return construct(function, self.signature, arguments, path, scope)

    def read(self, arguments: Mapping[str, Any], path: str, scope: Scope) -> Any:
        """Call the `from_params` of the class's own, with those of the extras that it names."""
        read: Callable[..., Any] = getattr(self.cls, "from_params")  # noqa: B009  not of every class
        parameters = inspect.signature(read).parameters
        takes_all = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
        extras = {k: v for k, v in scope.extras.items() if takes_all or k in parameters}
        function = getattr(self.cls, self.constructor) if self.constructor else self.cls
        inspected = function if self.constructor else getattr(self.cls, "__init__", function)
        for key, value in (
            ("constructor_to_call", function),
            ("constructor_to_inspect", inspected),
        ):
            # As AllenNLP has it; without a constructor of its own a class need not be told
            if key in parameters or (takes_all and self.constructor):
                extras[key] = value
        return read(Params(arguments, path), **extras)


def subclass_of(found: object, base: Callable[..., T]) -> type[T] | None:
    """Return what is registered if it is a subclass of `base`, None for all else."""
    assert isinstance(base, type)
    fits = isinstance(found, type) and issubclass(found, base)
    return cast(type[T], found) if fits else None


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
    target: Target,
    values: Mapping[str, Any],
    path: str,
    scope: Scope,
    sound: dict[str, bool] | None = None,
) -> Iterator[Fault]:
    """Yield what is wrong with the arguments: in the order of the config, then what is missing.

    Args:
        target: The class or function.
        values: The arguments in the config.
        path: Its place in the config.
        scope: Arguments from the program.
        sound: Gets, for each parameter in the config, whether its argument is right.
    """
    signature, instead = target.signature, target.instead
    # A hint must not lead to a key that a config cannot give
    known = [name for name in signature.arguments if name not in target.injected]
    unknown = 0
    for name, value in values.items():
        argument = signature.arguments.get(name)
        if argument is not None:
            found = list(spec_of(argument.annotation).faults(value, join(path, name), scope))
            if sound is not None:
                sound[name] = not found
            # Variables of the environment are strings: the usual reason for a number in quotes
            if len(found) == 1 and _is_text_of_number(value, found[0].message):
                found[0] = Fault(found[0].path, f"{found[0].message}, {_TEXT_OF_A_NUMBER}")
            if found and name in instead:
                found[0] = Fault(found[0].path, f"{found[0].message}; {instead[name]}")
            yield from found
        elif name in instead:
            yield Fault(join(path, name), f"unknown key; {instead[name]}")
        # With **kwargs that end in a class of the user's own, any key may be right
        elif not signature.accepts_any:
            unknown += 1
            hint = _hint(name, known) if unknown <= MOST_HINTS else ""
            yield Fault(join(path, name), f"unknown key{hint}")
    for name, argument in signature.arguments.items():
        if name not in values:
            yield from missing_faults(argument, join(path, name), scope)


def _is_text_of_number(value: Any, message: str) -> bool:
    if not isinstance(value, str) or not _WANTS_A_NUMBER.match(message):
        return False
    try:
        float(value)
    except ValueError:
        return False
    return True


def missing_faults(argument: Argument, path: str, scope: Scope) -> Iterator[Fault]:
    """Yield the fault of an argument that the config does not give, if it is one."""
    given = argument.name in scope.extras or argument.name in scope.provided
    if argument.required and not given and not scope.completed_later:
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
    # The config goes before the program: `vocab` in a config replaces the one of the data
    for name, value in scope.extras.items():
        if name not in built and signature.takes(name):
            built[name] = value
    # The program may give less than a class counts on (`injected`)
    missing = [
        fault
        for name, argument in signature.arguments.items()
        if name not in built
        for fault in missing_faults(argument, join(path, name), Scope())
    ]
    if missing:
        raise ConfigurationFaults(missing)
    try:
        return function(**built)
    except ConfigurationFaults:
        raise  # its faults have their paths already
    # A ValueError, too: it is how Python code refuses a value
    except (ConfigurationError, ValueError) as error:
        raise ConfigurationFaults(_located(str(error), path, signature)) from error


def build_by(
    function: Callable[..., Any], values: Any, path: str, extras: Mapping[str, Any]
) -> Any:
    """Check the arguments of a function or of a classmethod, build them and call it.

    Raises:
        ConfigurationFaults: Everything that is wrong with the arguments.
    """
    owner = getattr(function, "__self__", None)
    target = Target(owner, function.__name__) if isinstance(owner, type) else Target(function)
    scope = Scope(extras=extras)
    faults = list(argument_faults(target, values, path, scope))
    if faults:
        raise ConfigurationFaults(faults, f"the parameters of {target.name}")
    return target.build(values, path, scope)


def _located(message: str, path: str, signature: Signature) -> list[Fault]:
    """Return the faults that a constructor's error tells: `height: expected ...` is of `height`.

    Each line is a fault of its own if it begins with an argument, or a place inside one.
    """
    parts = [line.partition(": ") for line in message.splitlines()]
    # Every line names an argument: each is a fault of its own
    if parts and all(colon and _argument(name) in signature.arguments for name, colon, _ in parts):
        return [Fault(join(path, name), rest) for name, _, rest in parts]
    name, colon, rest = message.partition(": ")
    if colon and name in signature.arguments:
        return [Fault(join(path, name), rest)]
    return [Fault(path, message)]


def _argument(place: str) -> str:
    return place.partition(".")[0]
