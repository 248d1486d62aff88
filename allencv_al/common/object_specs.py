"""Specs of objects: registered families, plain `FromParams` classes, dataclasses and `Lazy`."""

from __future__ import annotations

import copy
import dataclasses
import inspect
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from overrides import overrides

from allencv_al.common.annotations import spec_of
from allencv_al.common.docstrings import summary
from allencv_al.common.errors import ConfigurationError, ConfigurationFaults, Fault
from allencv_al.common.lazy import Lazy
from allencv_al.common.names import did_you_mean, repr_json
from allencv_al.common.params import Params
from allencv_al.common.signatures import Argument, Signature, signature_of
from allencv_al.common.type_specs import Scope, TypeSpec, join

if TYPE_CHECKING:
    from allencv_al.common.from_params import FromParams


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
    def is_custom(self) -> bool:
        """Whether the class reads its own parameters, so that nothing can be said beforehand."""
        from allencv_al.common.from_params import FromParams

        return self.cls.from_params.__func__ is not FromParams.from_params.__func__  # type: ignore[attr-defined]

    def build(self, arguments: Mapping[str, Any]) -> Any:
        """Call the constructor."""
        function = getattr(self.cls, self.constructor) if self.constructor else self.cls
        return function(**arguments)


@dataclass(frozen=True)
class ObjectSpec(TypeSpec):
    """An object built by a constructor; of a registered family, the one that `type` names."""

    cls: type[FromParams]

    @overrides
    def faults(self, value: Any, path: str, scope: Scope) -> Iterator[Fault]:
        if isinstance(value, self.cls):
            return
        target, arguments, found = self.resolve(value, path)
        yield from found
        if target is None or target.is_custom:
            return
        scope = self.narrowed(target, scope)
        sound: dict[str, bool] = {}
        injected = target.cls.injected
        yield from argument_faults(target.signature, arguments, path, scope, sound, injected)
        from allencv_al.common.config_check import ConfigView

        view = ConfigView(target, arguments, path, scope, sound)
        yield from target.cls.config_faults(view)

    def narrowed(self, target: Target, scope: Scope) -> Scope:
        """Return the scope inside the object, with what the program gives to it and below it."""
        return scope.providing(target.cls.injected) if scope.assume_injected else scope

    def resolve(self, value: Any, path: str) -> tuple[Target | None, dict[str, Any], list[Fault]]:
        """Return the class that `value` names, its arguments, and what is wrong with the name."""
        if isinstance(value, Params):
            value = value.params
        if isinstance(value, str) and self.cls.has_registry():
            value = {"type": value}
        if not isinstance(value, Mapping):
            return None, {}, [self.expected(value, path)]
        arguments = dict(value)
        if not self.cls.has_registry():
            return Target(self.cls), arguments, []
        name = arguments.pop("type", self.cls.default_implementation)
        if name is None:
            known = ", ".join(self.cls.list_available())
            return None, arguments, [Fault(join(path, "type"), f"missing key; one of {known}")]
        if not isinstance(name, str):
            message = f"expected the name of a {self.cls.registry_name()}, found {repr_json(name)}"
            return None, arguments, [Fault(join(path, "type"), message)]
        try:
            return Target(*self.cls.resolve(name)), arguments, []
        except ConfigurationError as error:
            return None, arguments, [Fault(join(path, "type"), str(error))]

    @overrides
    def build(self, value: Any, path: str, scope: Scope) -> Any:
        if isinstance(value, self.cls):
            return value
        target, arguments, found = self.resolve(value, path)
        if target is None:
            raise ConfigurationFaults(found)
        if target.is_custom:
            return _call_custom(target, arguments, path, scope)
        built = {
            name: spec_of(argument.annotation).build(arguments[name], join(path, name), scope)
            for name, argument in target.signature.arguments.items()
            if name in arguments
        }
        if target.signature.accepts_any:
            built = {**arguments, **built}
        given = {
            name: scope.extras[name]
            for name in target.signature.arguments
            if name in scope.extras and name not in built
        }
        try:
            return target.build({**given, **built})
        except ConfigurationFaults:
            raise
        except ConfigurationError as error:
            raise type(error)(f"{path}: {error}" if path else str(error)) from error

    @overrides
    def resembles(self, value: Any) -> bool:
        return isinstance(value, (Mapping, Params, self.cls)) or (
            isinstance(value, str) and self.cls.has_registry()
        )

    @overrides
    def json_schema(self, definitions: dict[str, Any]) -> dict[str, Any]:
        if not self.cls.has_registry():
            return _definition(f"{self.cls.__name__}", Target(self.cls), None, definitions)
        base = self.cls.registry_name()
        if base not in definitions:
            definitions[base] = {}  # families nest in each other
            names = self.cls.list_available()
            options: list[dict[str, Any]] = [{"enum": names}] if names else []
            for name in names:
                target = Target(*self.cls.resolve(name))
                options.append(_definition(f"{base}.{name}", target, name, definitions))
            definitions[base] = {"anyOf": options, "title": base}
            if self.cls.default_implementation:
                default = f"#/$defs/{base}.{self.cls.default_implementation}"
                definitions[base]["description"] = f"type defaults to {default.rpartition('.')[2]}"
        return {"$ref": f"#/$defs/{base}"}

    def __str__(self) -> str:
        return f"a {self.cls.registry_name()} (an object)"


def argument_faults(
    signature: Signature,
    values: Mapping[str, Any],
    path: str,
    scope: Scope,
    sound: dict[str, bool],
    injected: Sequence[str] = (),
) -> Iterator[Fault]:
    """Yield what is wrong with the arguments; note in `sound` which ones are right."""
    for name, argument in signature.arguments.items():
        found = list(_one_argument(argument, values, join(path, name), scope))
        sound[name] = not found
        yield from found
    if signature.accepts_any:
        return
    known = [name for name in signature.arguments if name not in injected]
    for name in values:
        if name not in signature.arguments:
            hint = did_you_mean(str(name), known)
            if not hint:
                hint = f"; known here: {', '.join(known)}" if known else "; no keys are known here"
            yield Fault(join(path, name), f"unknown key{hint}")


def _one_argument(
    argument: Argument, values: Mapping[str, Any], path: str, scope: Scope
) -> Iterator[Fault]:
    spec = spec_of(argument.annotation)
    given = argument.name in scope.extras or argument.name in scope.provided
    if argument.name in values:
        yield from spec.faults(values[argument.name], path, scope)
    elif argument.required and not given:
        yield Fault(path, f"missing key, expected {spec}")


def _call_custom(target: Target, arguments: dict[str, Any], path: str, scope: Scope) -> Any:
    """Call a `from_params` that the user's class overrides, with the extras it names."""
    parameters = inspect.signature(target.cls.from_params).parameters
    takes_all = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    extras = {k: v for k, v in scope.extras.items() if takes_all or k in parameters}
    return target.cls.from_params(Params(copy.deepcopy(arguments), path), **extras)


def _definition(
    key: str, target: Target, name: str | None, definitions: dict[str, Any]
) -> dict[str, Any]:
    if key not in definitions:
        definitions[key] = {}
        definitions[key] = _object_schema(target, name, definitions)
    return {"$ref": f"#/$defs/{key}"}


def _object_schema(target: Target, name: str | None, definitions: dict[str, Any]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    required: list[str] = []
    if name is not None:
        properties["type"] = {"const": name}
    if target.is_custom:
        return {"type": "object", "properties": properties, "description": summary(target.cls)}
    for argument in target.signature.arguments.values():
        if argument.name in target.cls.injected:
            continue
        schema = dict(spec_of(argument.annotation).json_schema(definitions))
        if argument.description:
            schema["description"] = argument.description
        if argument.required:
            required.append(argument.name)
        elif isinstance(argument.default, (str, int, float, bool, type(None))):
            schema["default"] = argument.default
        properties[argument.name] = schema
    return {
        "type": "object",
        "description": summary(target.cls),
        "properties": properties,
        "required": required,
        "additionalProperties": target.signature.accepts_any,
    }


@dataclass(frozen=True)
class LazySpec(TypeSpec):
    """A part that is built later: checked now like any other."""

    inner: TypeSpec

    @overrides
    def faults(self, value: Any, path: str, scope: Scope) -> Iterator[Fault]:
        if not isinstance(value, Lazy):
            yield from self.inner.faults(
                value, path, dataclasses.replace(scope, assume_injected=True)
            )

    @overrides
    def build(self, value: Any, path: str, scope: Scope) -> Any:
        if isinstance(value, Lazy):
            return value

        def construct(**extras: Any) -> Any:
            return self.inner.build(copy.deepcopy(value), path, scope.with_extras(extras))

        return Lazy(construct)

    @overrides
    def resembles(self, value: Any) -> bool:
        return isinstance(value, Lazy) or self.inner.resembles(value)

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
        if not isinstance(value, (Mapping, Params)):
            yield self.expected(value, path)
            return
        yield from argument_faults(signature_of(self.cls), dict(value), path, scope, {})

    @overrides
    def build(self, value: Any, path: str, scope: Scope) -> Any:
        if isinstance(value, self.cls):
            return value
        arguments = signature_of(self.cls).arguments
        try:
            return self.cls(
                **{
                    name: spec_of(arguments[name].annotation).build(inner, join(path, name), scope)
                    for name, inner in value.items()
                }
            )
        except ValueError as error:
            raise ConfigurationError(f"{path}: {error}") from error

    @overrides
    def resembles(self, value: Any) -> bool:
        return isinstance(value, (Mapping, Params, self.cls))

    @overrides
    def json_schema(self, definitions: dict[str, Any]) -> dict[str, Any]:
        properties = {}
        for argument in signature_of(self.cls).arguments.values():
            properties[argument.name] = spec_of(argument.annotation).json_schema(definitions)
        required = [a.name for a in signature_of(self.cls).arguments.values() if a.required]
        return {
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": False,
        }

    def __str__(self) -> str:
        return f"an object with {', '.join(signature_of(self.cls).arguments)}"
