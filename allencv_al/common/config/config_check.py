"""What a semantic check sees: the arguments of one object in a config, before it is built."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from allencv_al.common.config.constructor_check import rule_faults
from allencv_al.common.config.lazy import Lazy
from allencv_al.common.config.specs.annotations import spec_of
from allencv_al.common.config.specs.container_specs import ListSpec, UnionSpec
from allencv_al.common.config.specs.object_specs import LazySpec, ObjectSpec
from allencv_al.common.config.specs.type_specs import Scope, TypeSpec, join
from allencv_al.common.config.targets import missing_faults
from allencv_al.common.errors import ConfigurationError, ConfigurationFaults, Fault
from allencv_al.common.files.json_values import plain

if TYPE_CHECKING:
    from allencv_al.common.config.from_params import FromParams
    from allencv_al.common.config.targets import Registered, Target

__all__ = ["ConfigView", "Fault", "check"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ConfigView:
    """One object of a config.

    Args:
        target: The class it names.
        values: Its arguments as they stand in the config, without `type`.
        path: Where it stands.
        scope: What the program gives.
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
        return built.construct(**scope.extras) if isinstance(built, Lazy) else built

    def child(self, name: str) -> ConfigView | None:
        """Return the view of an object inside this one; None where there is none to see."""
        if self.values.get(name) is None or name not in self.target.signature.arguments:
            return None
        return view_of(self._spec(name), self.values[name], join(self.path, name), self.scope)

    def children(self, name: str) -> list[ConfigView]:
        """Return the views of the objects in a list; those that name no class are left out."""
        values = self.values.get(name)
        if not isinstance(values, (list, tuple)) or name not in self.target.signature.arguments:
            return []
        path = join(self.path, name)
        spec = self._spec(name)
        options = spec.options if isinstance(spec, UnionSpec) else (spec,)
        inner = [option.inner if isinstance(option, LazySpec) else option for option in options]
        item = next((option.item for option in inner if isinstance(option, ListSpec)), None)
        if item is None:
            return []
        views = (view_of(item, value, join(path, i), self.scope) for i, value in enumerate(values))
        return [view for view in views if view is not None]

    def fault(self, name: str, message: str) -> Fault:
        """Return a fault of the argument `name`, or of the object itself for an empty name."""
        return Fault(join(self.path, name) if name else self.path, message)

    def _spec(self, name: str) -> TypeSpec:
        return spec_of(self.target.signature.arguments[name].annotation)


def view_of(spec: TypeSpec, value: Any, path: str, scope: Scope) -> ConfigView | None:
    """Return the view of `value` where `spec` makes it an object of a known class."""
    if isinstance(spec, LazySpec):
        return view_of(spec.inner, value, path, spec.narrowed(scope))
    if isinstance(spec, UnionSpec):
        return view_of(spec.choose(value, path, scope), value, path, scope)
    if not isinstance(spec, ObjectSpec) or isinstance(value, spec.cls):
        return None
    target, arguments, _ = spec.resolve(value, path)
    if target is None or target.is_custom:
        return None
    known = scope.views.get((path, target.cls))
    return known or ConfigView(target, arguments, path, spec.narrowed(target, scope))


def hook_faults(view: ConfigView, told: Sequence[Fault]) -> Iterator[Fault]:
    """Yield what the class's own check finds, less what was told already.

    Args:
        view: The object.
        told: What is wrong with its arguments by their types.
    """
    paths = {fault.path for fault in told}
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


def check(cls: type[FromParams], value: Mapping[str, Any]) -> list[Fault]:
    """Return everything that is wrong with a whole config for `cls`; nothing is built.

    Args:
        cls: What the config describes.
        value: The config as JSON values.
    """
    try:
        return list(ObjectSpec(cls).faults(plain(value), "", Scope(assume_injected=True)))
    except ConfigurationError as error:  # nested too deep
        return [Fault("", str(error))]
