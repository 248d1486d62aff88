"""Check what Python code passes to a constructor by the same limits as a config."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Hashable, Iterator, Mapping
from typing import Any, cast

from allencv_al.common.config.configurable import Rule
from allencv_al.common.config.signatures import signature_of
from allencv_al.common.config.specs.annotations import spec_of
from allencv_al.common.config.specs.limits import LimitedSpec
from allencv_al.common.config.specs.type_specs import Scope, TypeSpec
from allencv_al.common.errors import ConfigurationError, Fault

_CONFIG_VALUES = (str, int, float, list, tuple, set, frozenset, Mapping, type(None))


def check_call(cls: type, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Refuse arguments outside the limits of their annotations, and what `joint_rules` find.

    Values that no config can express (a tensor for a number) are left to the constructor.

    Raises:
        ConfigurationError: One line for each fault.
    """
    limited = _limited(cls)
    if not limited and not getattr(cls, "joint_rules", ()):
        return
    arguments = signature_of(cast(Hashable, cls)).arguments
    by_position = list(zip(arguments, args, strict=False))  # too many: a TypeError follows
    given = {name: as_python(value) for name, value in by_position + list(kwargs.items())}
    faults = [
        fault
        for name, value in given.items()
        if name in limited and isinstance(value, _CONFIG_VALUES)
        for fault in limited[name].faults(value, name, Scope())
    ]
    refused = {fault.path.partition(".")[0] for fault in faults}
    for name, argument in arguments.items():
        if not argument.required:
            given.setdefault(name, argument.default)
    faults += rule_faults(cls, {k: v for k, v in given.items() if k not in refused})
    if faults:
        raise ConfigurationError("\n".join(map(str, faults)))


def rule_faults(cls: object, values: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield what the `joint_rules` find; a rule that names an absent value is left out."""
    for rule in getattr(cls, "joint_rules", ()):
        names = _parameters(rule)
        if all(name in values for name in names):
            for name, message in rule(**{name: values[name] for name in names}):
                yield Fault(name, message)


def as_python(value: Any) -> Any:
    """Return the Python number, or the list of them, for one of NumPy's."""
    return value.tolist() if type(value).__module__ == "numpy" else value


@functools.cache
def _limited(cls: type) -> Mapping[str, TypeSpec]:
    """Return the specs of the parameters that have limits, or parts with limits."""
    arguments = signature_of(cast(Hashable, cls)).arguments
    specs = {name: spec_of(argument.annotation) for name, argument in arguments.items()}
    return {name: spec for name, spec in specs.items() if _has_limits(spec)}


def _has_limits(spec: TypeSpec) -> bool:
    return isinstance(spec, LimitedSpec) or any(_has_limits(part) for part in spec.parts)


@functools.cache
def _parameters(rule: Rule) -> tuple[str, ...]:
    return tuple(inspect.signature(rule).parameters)
