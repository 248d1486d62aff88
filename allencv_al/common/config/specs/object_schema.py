"""JSON Schema of objects: families of registered classes, and constructors."""

from __future__ import annotations

import json
from typing import Any

from allencv_al.common.config.configurable import Configurable
from allencv_al.common.config.signatures import Signature, summary
from allencv_al.common.config.specs.annotations import spec_of
from allencv_al.common.config.targets import Target
from allencv_al.common.errors import ConfigurationError


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
