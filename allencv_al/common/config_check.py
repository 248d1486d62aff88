"""What a semantic check sees: the arguments of one object in a config, before it is built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from allencv_al.common.annotations import spec_of
from allencv_al.common.errors import Fault
from allencv_al.common.object_specs import LazySpec, ObjectSpec, argument_faults
from allencv_al.common.signatures import REQUIRED
from allencv_al.common.type_specs import Scope, TypeSpec, UnionSpec, join

if TYPE_CHECKING:
    from allencv_al.common.from_params import FromParams
    from allencv_al.common.object_specs import Target

__all__ = ["ConfigView", "Fault"]


@dataclass(frozen=True)
class ConfigView:
    """One object of a config.

    Args:
        target: The class it names.
        values: Its arguments as they stand in the config, without `type`.
        path: Where it stands.
        scope: What the program gives.
        checked: For each parameter, whether no fault was found in it.
    """

    target: Target
    values: Mapping[str, Any]
    path: str
    scope: Scope
    checked: Mapping[str, bool]

    @property
    def cls(self) -> type[FromParams]:
        """The class that will be built."""
        return self.target.cls

    @property
    def names(self) -> frozenset[str]:
        """The keys that the config gives."""
        return frozenset(self.values)

    def sound(self, *names: str) -> bool:
        """Say whether no fault was found in any of these arguments."""
        return all(self.checked.get(name, False) for name in names)

    def get(self, name: str, default: Any = None) -> Any:
        """Return the raw value in the config, else the constructor's default, else `default`."""
        if name in self.values:
            return self.values[name]
        argument = self.target.signature.arguments.get(name)
        known = argument is not None and argument.default is not REQUIRED
        return argument.default if argument is not None and known else default

    def build(self, name: str, **extras: Any) -> Any:
        """Build one argument (the constructor's default where the config does not give it).

        Call it only for sound arguments.
        """
        if name not in self.values:
            return self.get(name)
        spec = self._spec(name)
        inner = spec.inner if isinstance(spec, LazySpec) else spec
        return inner.build(self.values[name], join(self.path, name), self.scope.with_extras(extras))

    def child(self, name: str) -> ConfigView | None:
        """Return the view of an object inside this one; None where there is none to see."""
        if self.values.get(name) is None:
            return None
        return view_of(self._spec(name), self.values[name], join(self.path, name), self.scope)

    def children(self, name: str) -> list[ConfigView]:
        """Return the views of the objects in a list; those that name no class are left out."""
        spec = self._spec(name)
        options = spec.options if isinstance(spec, UnionSpec) else (spec,)
        items = [option.item for option in options if hasattr(option, "item")]
        values = self.values.get(name)
        if not items or not isinstance(values, (list, tuple)):
            return []
        path = join(self.path, name)
        views = [
            view_of(items[0], value, join(path, i), self.scope) for i, value in enumerate(values)
        ]
        return [view for view in views if view is not None]

    def fault(self, name: str, message: str) -> Fault:
        """Return a fault of the argument `name`, or of the object itself for an empty name."""
        return Fault(join(self.path, name) if name else self.path, message)

    def _spec(self, name: str) -> TypeSpec:
        return spec_of(self.target.signature.arguments[name].annotation)


def view_of(spec: TypeSpec, value: Any, path: str, scope: Scope) -> ConfigView | None:
    """Return the view of `value` where `spec` makes it an object of a known class."""
    if isinstance(spec, LazySpec):
        return view_of(spec.inner, value, path, scope)
    if isinstance(spec, UnionSpec):
        views = (view_of(option, value, path, scope) for option in spec.options)
        return next((view for view in views if view is not None), None)
    if not isinstance(spec, ObjectSpec) or isinstance(value, spec.cls):
        return None
    target, arguments, _ = spec.resolve(value, path)
    if target is None or target.is_custom:
        return None
    inner_scope = spec.narrowed(target, scope)
    sound: dict[str, bool] = {}
    for _ in argument_faults(target.signature, arguments, path, inner_scope, sound):
        pass  # only the marks in `sound` are wanted
    return ConfigView(target, arguments, path, inner_scope, sound)


def check(cls: type[FromParams], value: Mapping[str, Any]) -> list[Fault]:
    """Return everything that is wrong with a whole config for `cls`; nothing is built.

    Args:
        cls: What the config describes.
        value: The config as JSON values.
    """
    return list(ObjectSpec(cls).faults(value, "", Scope(assume_injected=True)))
