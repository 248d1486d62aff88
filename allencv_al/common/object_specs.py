"""Specs of objects: registered families, plain `FromParams` classes, dataclasses and `Lazy`."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from overrides import overrides

from allencv_al.common.annotations import spec_of
from allencv_al.common.errors import ConfigurationError, ConfigurationFaults, Fault
from allencv_al.common.json_values import plain, repr_json
from allencv_al.common.lazy import Lazy
from allencv_al.common.names import did_you_mean, with_article
from allencv_al.common.params import Params
from allencv_al.common.signatures import Argument, Signature, signature_of
from allencv_al.common.type_specs import Scope, TypeSpec, join

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


@dataclass(frozen=True)
class ObjectSpec(TypeSpec):
    """An object built by a constructor; of a registered family, the one that `type` names.

    Args:
        cls: The class, or the base of the family.
        by_constructor: Whether a `from_params` of the class's own is left aside: it is what runs.
    """

    cls: type[FromParams]
    by_constructor: bool = False

    @overrides
    def faults(self, value: Any, path: str, scope: Scope) -> Iterator[Fault]:
        if isinstance(value, self.cls):
            return
        target, arguments, found = self.resolve(value, path)
        yield from found
        if target is None or self._is_custom(target):
            return
        from allencv_al.common.config_check import ConfigView, hook_faults

        scope = self.narrowed(target, scope)
        sound: dict[str, bool] = {}
        injected = target.cls.injected
        told = list(argument_faults(target.signature, arguments, path, scope, injected, sound))
        yield from told
        view = scope.views[path, target.cls] = ConfigView(target, arguments, path, scope, sound)
        yield from hook_faults(view, told)

    def narrowed(self, target: Target, scope: Scope) -> Scope:
        """Return the scope inside the object, with what the program gives to it and below it."""
        return scope.providing(target.cls.injected) if scope.assume_injected else scope

    def resolve(self, value: Any, path: str) -> tuple[Target | None, dict[str, Any], list[Fault]]:
        """Return the class that `value` names, its arguments, and what is wrong with the name."""
        place = join(path, "type")
        if isinstance(value, str) and self.cls.has_registry():
            place, value = path, {"type": value}
        if not isinstance(value, Mapping):
            return None, {}, [self.expected(value, path)]
        arguments = dict(value.params if isinstance(value, Params) else value)
        if "_pretrained" in arguments:
            return None, arguments, [Fault(join(path, "_pretrained"), _NO_PRETRAINED)]
        target, message = self._target(arguments)
        if target is not None and target.missing_methods:
            lacking = ", ".join(target.missing_methods)
            message = f"{target.cls.__name__} is abstract: it lacks {lacking}"
        if message:
            return None, arguments, [Fault(place, message)]
        return target, arguments, []

    def _target(self, arguments: dict[str, Any]) -> tuple[Target | None, str]:
        """Return the class that `type`, which is taken out of `arguments`, names; or what is wrong.

        Raises nothing.
        """
        if not self.cls.has_registry():
            return Target(self.cls), ""
        family = self.cls.registry_name()
        name = arguments.pop("type", self.cls.default_implementation)
        if name is None:
            known = ", ".join(self.cls.list_available())
            return None, f"missing key; {f'one of {known}' if known else 'none is registered'}"
        if not isinstance(name, str):
            return None, f"expected the name of {with_article(family)}, found {repr_json(name)}"
        try:
            return Target(*self.cls.resolve(name)), ""
        except ConfigurationError as error:
            return None, str(error)

    @overrides
    def build(self, value: Any, path: str, scope: Scope) -> Any:
        if isinstance(value, self.cls):
            return value
        target, arguments, found = self.resolve(value, path)
        if target is None:
            raise ConfigurationFaults(found)
        if self._is_custom(target):
            return _call_custom(target, arguments, path, scope)
        return target.build(arguments, path, scope)

    def _is_custom(self, target: Target) -> bool:
        return target.is_custom and not (self.by_constructor and target.cls is self.cls)

    @overrides
    def resembles(self, value: Any) -> bool:
        return isinstance(value, (Mapping, self.cls)) or (
            isinstance(value, str) and self.cls.has_registry()
        )

    @overrides
    def rules_out(self, value: Any) -> bool:
        return not isinstance(value, self.cls) and self.resolve(value, "")[0] is None

    @overrides
    def json_schema(self, definitions: dict[str, Any]) -> dict[str, Any]:
        from allencv_al.common.object_schema import object_schema

        return object_schema(self.cls, definitions)

    def __str__(self) -> str:
        return f"{with_article(self.cls.registry_name())} (an object)"


_NO_PRETRAINED = (
    "parts of another archive cannot be named in a config (AllenNLP's _pretrained); name a weights "
    "file in the encoder, or use Archive.extract_module in Python"
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
        raise ConfigurationFaults([_located(str(error), path, signature)]) from error


def _located(message: str, path: str, signature: Signature) -> Fault:
    """Return the fault that a constructor's error tells: `height: expected ...` is of `height`."""
    name, colon, rest = message.partition(": ")
    if colon and name in signature.arguments:
        return Fault(join(path, name), rest)
    return Fault(path, message)


def _call_custom(target: Target, arguments: dict[str, Any], path: str, scope: Scope) -> Any:
    """Call a `from_params` that the user's class overrides, with the extras it names."""
    parameters = inspect.signature(target.cls.from_params).parameters
    takes_all = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    extras = {k: v for k, v in scope.extras.items() if takes_all or k in parameters}
    return target.cls.from_params(Params(arguments, path), **extras)


@dataclass(frozen=True)
class LazySpec(TypeSpec):
    """A part that is built later: checked now like any other."""

    inner: TypeSpec

    @property
    @overrides
    def parts(self) -> tuple[TypeSpec, ...]:
        return (self.inner,)

    @overrides
    def faults(self, value: Any, path: str, scope: Scope) -> Iterator[Fault]:
        if not isinstance(value, Lazy):
            yield from self.inner.faults(value, path, self.narrowed(scope))

    def narrowed(self, scope: Scope) -> Scope:
        """Return the scope inside: what is injected will be there when the part is built."""
        return dataclasses.replace(scope, assume_injected=True)

    @overrides
    def build(self, value: Any, path: str, scope: Scope) -> Any:
        if isinstance(value, Lazy):
            return value

        def build_inner(**extras: Any) -> Any:
            return self.inner.build(value, path, scope.with_extras(extras))

        return Lazy(build_inner)

    @overrides
    def resembles(self, value: Any) -> bool:
        return isinstance(value, Lazy) or self.inner.resembles(value)

    @overrides
    def rules_out(self, value: Any) -> bool:
        return not isinstance(value, Lazy) and self.inner.rules_out(value)

    @overrides
    def json_schema(self, definitions: dict[str, Any]) -> dict[str, Any]:
        return self.inner.json_schema(definitions)

    def __str__(self) -> str:
        return str(self.inner)


@dataclass(frozen=True)
class DataclassSpec(TypeSpec):
    """A dataclass, from an object with its fields."""

    cls: type

    @overrides
    def faults(self, value: Any, path: str, scope: Scope) -> Iterator[Fault]:
        if isinstance(value, self.cls):
            return
        if not isinstance(value, Mapping):
            yield self.expected(value, path)
            return
        yield from argument_faults(signature_of(self.cls), value, path, scope)

    @overrides
    def build(self, value: Any, path: str, scope: Scope) -> Any:
        if isinstance(value, self.cls):
            return value
        return construct(self.cls, signature_of(self.cls), value, path, scope)

    @overrides
    def resembles(self, value: Any) -> bool:
        return isinstance(value, (Mapping, self.cls))

    @overrides
    def json_schema(self, definitions: dict[str, Any]) -> dict[str, Any]:
        from allencv_al.common.object_schema import parameters_schema

        return parameters_schema(signature_of(self.cls), definitions)

    def __str__(self) -> str:
        return f"an object with {', '.join(signature_of(self.cls).arguments)}"
