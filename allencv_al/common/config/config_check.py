"""Check a config before anything is built, and a call from Python code by the same limits."""

from __future__ import annotations

import functools
import inspect
import logging
import sys
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from allencv_al.common.config.configurable import Configurable, Lazy, Rule
from allencv_al.common.config.signatures import signature_of
from allencv_al.common.config.specs.annotations import LimitedSpec, spec_of
from allencv_al.common.config.specs.type_specs import LiteralSpec, Scope, TypeSpec, join
from allencv_al.common.config.targets import Registered, Target, missing_faults
from allencv_al.common.errors import ConfigurationError, ConfigurationFaults, Fault
from allencv_al.common.files.json_values import plain

__all__ = ["ConfigView", "Fault", "check"]

logger = logging.getLogger(__name__)

_CONFIG_VALUES = (str, int, float, list, tuple, set, frozenset, Mapping, type(None))


@dataclass(frozen=True)
class ConfigView:
    """One object of a config.

    Args:
        target: The class it names.
        values: Its arguments as they stand in the config, without `type`.
        path: Its place.
        scope: Arguments from the program.
    """

    target: Target
    values: Mapping[str, Any]
    path: str
    scope: Scope
    _sound: dict[str, bool] = field(default_factory=dict)

    @property
    def cls(self) -> Registered:
        """The class that will be built, or the function that will be called."""
        return self.target.cls

    @property
    def names(self) -> frozenset[str]:
        """The keys that the config gives."""
        return frozenset(self.values)

    def sound(self, *names: str) -> bool:
        """Return whether there is no fault in any of these arguments."""
        return all(self._is_sound(name) for name in names)

    def _is_sound(self, name: str) -> bool:
        # Several rules may ask for one argument, and a part may be large
        if name not in self._sound:
            self._sound[name] = not any(self._faults(name))
        return self._sound[name]

    def _faults(self, name: str) -> Iterator[Fault]:
        argument = self.target.signature.arguments.get(name)
        path = join(self.path, name)
        if argument is None:
            yield Fault(path, "unknown key")
        elif name in self.values:
            yield from spec_of(argument.annotation).faults(self.values[name], path, self.scope)
        else:
            yield from missing_faults(argument, path, self.scope)

    def get(self, name: str, default: Any = None) -> Any:
        """Return the raw value in the config, else the constructor's default, else `default`."""
        if name in self.values:
            return self.values[name]
        argument = self.target.signature.arguments.get(name)
        return default if argument is None or argument.required else argument.default

    def build(self, name: str, **extras: Any) -> Any:
        """Build one argument (the constructor's default where the config does not give it).

        Call it only for sound arguments.
        """
        scope = self.scope.with_extras(extras)
        if name in self.values:
            built = self._spec(name).build(self.values[name], join(self.path, name), scope)
        else:
            built = self.get(name)
        # A rule looks at the object itself, which for a lazy part exists only once it is built
        return built.construct(**scope.extras) if isinstance(built, Lazy) else built

    def child(self, name: str) -> ConfigView | None:
        """Return the view of an object inside this one; None where there is none to see."""
        if self.values.get(name) is None or name not in self.target.signature.arguments:
            return None
        path = join(self.path, name)
        view: ConfigView | None = self._spec(name).view(self.values[name], path, self.scope)
        return view

    def children(self, name: str) -> list[ConfigView]:
        """Return the views of the objects in a list; those that name no class are left out."""
        if name not in self.values or name not in self.target.signature.arguments:
            return []
        return self._spec(name).views(self.values[name], join(self.path, name), self.scope)

    def fault(self, name: str, message: str) -> Fault:
        """Return a fault of the argument `name`, or of the object itself for an empty name."""
        return Fault(join(self.path, name) if name else self.path, message)

    def _spec(self, name: str) -> TypeSpec:
        return spec_of(self.target.signature.arguments[name].annotation)


def hook_faults(view: ConfigView, told: Sequence[Fault]) -> Iterator[Fault]:
    """Yield what the class's own check finds, less what was told already.

    Args:
        view: The object.
        told: Faults of its arguments that their types show.
    """
    paths = {fault.path for fault in told}
    # A rule may compare and compute: it gets values only that are right by themselves
    names = [name for name in view.target.signature.arguments if view.sound(name)]
    for fault in rule_faults(view.cls, {name: view.get(name) for name in names}):
        yield view.fault(fault.path, fault.message)
    find: Callable[[ConfigView], Iterator[Fault]] = getattr(
        view.cls, "config_faults", lambda _: iter(())
    )
    try:
        for fault in find(view):
            if fault.path not in paths:
                yield fault
    except ConfigurationFaults as error:
        yield from error.faults
    except ConfigurationError as error:
        yield Fault(view.path, str(error))
    except Exception:
        if not told:
            raise
        # The hook relied on a value that is known to be wrong.
        logger.debug("config_faults of %s at %s", view.cls.__name__, view.path, exc_info=True)


def check(cls: type[Configurable], value: Mapping[str, Any]) -> list[Fault]:
    """Return everything that is wrong with a whole config for `cls`; nothing is built.

    Args:
        cls: The class that the config describes.
        value: The config as JSON values.
    """
    try:
        spec = spec_of(cast(Hashable, cls))
        return list(spec.faults(plain(value), "", Scope(assume_injected=True)))
    except ConfigurationError as error:  # nested too deep
        return [Fault("", str(error))]


def check_call(cls: type, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Refuse arguments outside the limits of their annotations, and what `joint_rules` find.

    Values that no config can express (a tensor for a number) are left to the constructor.

    Raises:
        ConfigurationError: One line for each fault.
    """
    # While a module is being imported, names in its annotations may be missing, and signatures are
    # cached: an object made there is not checked
    module = getattr(sys.modules.get(cls.__module__), "__spec__", None)
    if getattr(module, "_initializing", False):
        return
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
    # `hidden_channels.2` is a fault of hidden_channels, which no rule may look at
    refused = {fault.path.partition(".")[0] for fault in faults}
    # Rules see defaults as they see what was given: one value may be wrong beside a default only
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
    """Return the specs of parameters with limits or a choice of values, or with such parts."""
    arguments = signature_of(cast(Hashable, cls)).arguments
    specs = {name: spec_of(argument.annotation) for name, argument in arguments.items()}
    return {name: spec for name, spec in specs.items() if _has_limits(spec)}


def _has_limits(spec: TypeSpec) -> bool:
    is_limited = isinstance(spec, LimitedSpec | LiteralSpec)
    return is_limited or any(_has_limits(part) for part in spec.parts)


@functools.cache
def _parameters(rule: Rule) -> tuple[str, ...]:
    return tuple(inspect.signature(rule).parameters)
