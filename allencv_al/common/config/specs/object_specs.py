"""Specs of objects: registered families, plain `FromParams` classes, dataclasses and `Lazy`."""

from __future__ import annotations

import dataclasses
import inspect
import json
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from overrides import overrides

from allencv_al.common.config.config_check import ConfigView, hook_faults
from allencv_al.common.config.configurable import Configurable, Lazy
from allencv_al.common.config.params import Params
from allencv_al.common.config.signatures import Signature, signature_of, summary
from allencv_al.common.config.specs.annotations import makes_specs, spec_of
from allencv_al.common.config.specs.type_specs import Scope, TypeSpec, WrappingSpec, join
from allencv_al.common.config.targets import Target, argument_faults, construct
from allencv_al.common.errors import ConfigurationError, ConfigurationFaults, Fault
from allencv_al.common.files.json_values import repr_json
from allencv_al.common.names import with_article

_OURS = __name__.partition(".")[0]

_NO_PRETRAINED = (
    "parts of another archive cannot be named in a config (AllenNLP's _pretrained); name a weights "
    "file in the encoder, or use Archive.extract_module in Python"
)


def object_schema(cls: type[Configurable], definitions: dict[str, Any]) -> dict[str, Any]:
    """Return a reference to the schema of `cls`, or of the family of which it is the base."""
    if not cls.has_registry():
        return _definition(cls.__name__, Target(cls), None, definitions)
    family = cls.registry_name()
    if family not in definitions:
        definitions[family] = {}  # families nest in each other
        definitions[family] = _family_schema(cls, definitions)
    return {"$ref": f"#/$defs/{family}"}


def parameters_schema(signature: Signature, definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an object whose keys are the parameters of a constructor."""
    properties: dict[str, Any] = {}
    for argument in signature.arguments.values():
        schema = dict(spec_of(argument.annotation).json_schema(definitions))
        if argument.description:
            schema["description"] = argument.description
        if not argument.required and _is_json(argument.default):
            schema["default"] = argument.default
        properties[argument.name] = schema
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name, argument in signature.arguments.items() if argument.required],
        "additionalProperties": signature.accepts_any,
    }


def _family_schema(cls: type[Configurable], definitions: dict[str, Any]) -> dict[str, Any]:
    family = cls.registry_name()
    default = cls.default_implementation
    short: list[str] = []  # names that need no arguments, so that the name alone will do
    options: list[dict[str, Any]] = []
    for name in cls.list_available():
        try:
            target = Target(*cls.resolve(name))
        except ConfigurationError:
            continue  # it needs an extra that is not installed
        options.append(_definition(f"{family}.{name}", target, name, definitions))
        schema = definitions[f"{family}.{name}"]
        required = schema.setdefault("required", [])
        if not required:
            short.append(name)
        if name != default:
            required.insert(0, "type")
    if short:
        options.insert(0, {"enum": short})
    schema = {"title": family, "description": summary(cls), "anyOf": options or [{"not": {}}]}
    if default is not None:
        schema["description"] += f" The type is {default} where none is given."
    return schema


def _definition(
    key: str, target: Target, name: str | None, definitions: dict[str, Any]
) -> dict[str, Any]:
    if key not in definitions:
        # Before its content, which may refer back to it
        definitions[key] = {}
        definitions[key] = _target_schema(target, name, definitions)
    return {"$ref": f"#/$defs/{key}"}


def _target_schema(target: Target, name: str | None, definitions: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object"}
    if not target.is_custom:
        schema = parameters_schema(target.signature, definitions)
        required = [key for key in schema["required"] if key not in target.injected]
        schema["required"] = required
    if name is not None:
        schema["properties"] = {"type": {"const": name}, **schema.get("properties", {})}
    return {"description": summary(target.documented), **schema}


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


@dataclass(frozen=True)
class ObjectSpec(TypeSpec):
    """An object built by a constructor; of a registered family, the one that `type` names.

    Args:
        cls: The class, or the base of the family.
        by_constructor: Whether a `from_params` of the class's own is left aside: it is what runs.
    """

    cls: type[Configurable]
    by_constructor: bool = False

    @overrides
    def faults(self, value: Any, path: str, scope: Scope) -> Iterator[Fault]:
        if isinstance(value, self.cls):
            return
        target, arguments, found = self.resolve(value, path)
        yield from found
        if target is None or self._is_custom(target):
            return
        scope = self.narrowed(target, scope)
        sound: dict[str, bool] = {}
        # Before the view exists: its `sound` is answered by what is found here, not once more
        told = list(argument_faults(target, arguments, path, scope, sound))
        yield from told
        view = scope.views[path, target.cls] = ConfigView(target, arguments, path, scope, sound)
        yield from hook_faults(view, told)

    @overrides
    def view(self, value: Any, path: str, scope: Scope) -> ConfigView | None:
        if isinstance(value, self.cls):
            return None
        target, arguments, _ = self.resolve(value, path)
        if target is None or target.is_custom:
            return None
        known: ConfigView | None = scope.views.get((path, target.cls))
        return known or ConfigView(target, arguments, path, self.narrowed(target, scope))

    def narrowed(self, target: Target, scope: Scope) -> Scope:
        """Return the scope inside the object, with what the program gives to it and below it."""
        if target.injected and scope.completed_later:
            scope = dataclasses.replace(scope, completed_later=False)
        return scope.providing(target.injected) if scope.assume_injected else scope

    def resolve(self, value: Any, path: str) -> tuple[Target | None, dict[str, Any], list[Fault]]:
        """Return the class that `value` names, its arguments, and what is wrong with the name."""
        place = join(path, "type")
        if isinstance(value, str) and self.cls.has_registry():
            place, value = path, {"type": value}
        value = self.cls.expand_shorthand(value)
        if not isinstance(value, Mapping):
            return None, {}, [self.expected(value, path)]
        # A copy, from which `type` is taken out
        arguments = dict(value.params if isinstance(value, Params) else value)
        if "_pretrained" in arguments:
            return None, arguments, [Fault(join(path, "_pretrained"), _NO_PRETRAINED)]
        target, message = self._target(arguments)
        if target is not None and target.missing_methods:
            lacking = ", ".join(target.missing_methods)
            message = f"{target.name} is abstract: it lacks {lacking}"
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
            return target.read(arguments, path, scope)
        return target.build(arguments, path, scope)

    def _is_custom(self, target: Target) -> bool:
        return target.is_custom and not (self.by_constructor and target.cls is self.cls)

    @overrides
    def resembles(self, value: Any) -> bool:
        if isinstance(value, str) and self.cls.has_registry():
            return True
        return isinstance(value, self.cls) or isinstance(self.cls.expand_shorthand(value), Mapping)

    @overrides
    def rules_out(self, value: Any) -> bool:
        return not isinstance(value, self.cls) and self.resolve(value, "")[0] is None

    @overrides
    def json_schema(self, definitions: dict[str, Any]) -> dict[str, Any]:
        return object_schema(self.cls, definitions)

    def __str__(self) -> str:
        return f"{with_article(self.cls.registry_name())} (an object)"


@dataclass(frozen=True)
class LazySpec(WrappingSpec):
    """A part that is built later: checked now like any other.

    Arguments that the config lacks are no fault yet where the class does not say what is
    `injected`: the program may give them to `construct`, which then checks them.
    """

    @overrides
    def faults(self, value: Any, path: str, scope: Scope) -> Iterator[Fault]:
        if not isinstance(value, Lazy):
            yield from self.inner.faults(value, path, self.narrowed(scope))

    @overrides
    def inside(self, value: Any, path: str, scope: Scope) -> tuple[TypeSpec, Scope] | None:
        return self.inner, self.narrowed(scope)

    def narrowed(self, scope: Scope) -> Scope:
        """Return the scope inside: what is injected will be there when the part is built."""
        return dataclasses.replace(scope, assume_injected=True, completed_later=True)

    @overrides
    def build(self, value: Any, path: str, scope: Scope) -> Any:
        if isinstance(value, Lazy):
            return value
        # Without the views of the check: they would keep the whole config alive, and be pickled
        return Lazy(_Part(self.inner, value, path, dataclasses.replace(scope, views={})))

    @overrides
    def resembles(self, value: Any) -> bool:
        return isinstance(value, Lazy) or self.inner.resembles(value)

    @overrides
    def rules_out(self, value: Any) -> bool:
        return not isinstance(value, Lazy) and self.inner.rules_out(value)


@dataclass(frozen=True)
class _Part:
    """The constructor of a `Lazy`; not a closure, so that a `Lazy` can be pickled."""

    spec: TypeSpec
    value: Any
    path: str
    scope: Scope

    def __call__(self, **extras: Any) -> Any:
        scope = self.scope.with_extras(extras)
        # A class with `injected` was checked with its config; of others an argument may have come
        # from the program only now
        if not self._says_what_is_injected():
            faults = list(self.spec.faults(self.value, self.path, scope))
            if faults:
                raise ConfigurationFaults(faults)
        return self.spec.build(self.value, self.path, scope)

    def _says_what_is_injected(self) -> bool:
        if not isinstance(self.spec, ObjectSpec) or isinstance(self.value, self.spec.cls):
            return False
        target, _, _ = self.spec.resolve(self.value, self.path)
        return target is not None and bool(target.injected)


def view_of(part: Lazy[Any]) -> ConfigView | None:
    """Return the config that a part will be built from; None for one that Python code describes."""
    maker = part.constructor
    if not isinstance(maker, _Part):
        return None
    scope = dataclasses.replace(maker.scope, assume_injected=True)
    view: ConfigView | None = maker.spec.view(maker.value, maker.path, scope)
    return view


@dataclass(frozen=True)
class DataclassSpec(TypeSpec):
    """A dataclass, or a class whose constructor is annotated like one, from its arguments."""

    cls: type

    @overrides
    def faults(self, value: Any, path: str, scope: Scope) -> Iterator[Fault]:
        if isinstance(value, self.cls):
            return
        if not isinstance(value, Mapping):
            yield self.expected(value, path)
            return
        yield from argument_faults(Target(self.cls), value, path, scope)

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
        return parameters_schema(signature_of(self.cls), definitions)

    def __str__(self) -> str:
        return f"an object with {', '.join(signature_of(self.cls).arguments)}"


@makes_specs
def _object_spec(cls: type, arguments: tuple[Any, ...]) -> TypeSpec | None:
    if cls is Lazy:
        return LazySpec(spec_of(arguments[0]))
    if issubclass(cls, Configurable):
        return ObjectSpec(cls)
    return DataclassSpec(cls) if dataclasses.is_dataclass(cls) or _describes_itself(cls) else None


def _describes_itself(cls: type) -> bool:
    """Return whether the constructor of a class that knows no configs can be its schema.

    Every parameter has an annotation, as in a dataclass. What this package's own classes take from
    Python code alone stays so.
    """
    init = inspect.getattr_static(cls, "__init__", None)
    if not isinstance(init, types.FunctionType) or cls.__module__.partition(".")[0] == _OURS:
        return False
    parameters = list(inspect.signature(init).parameters.values())[1:]
    named = [p for p in parameters if p.kind is not inspect.Parameter.VAR_POSITIONAL]
    return (
        bool(parameters)
        and named == parameters
        and all(p.annotation is not inspect.Parameter.empty for p in parameters)
    )
