"""Classes built from a config: by their constructors, and by a name registered for them."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Hashable, Iterator, Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, cast

from overrides import overrides

from allencv_al.common.config import components_above, plugins
from allencv_al.common.config.config_check import ConfigView, check_call
from allencv_al.common.config.configurable import Configurable
from allencv_al.common.config.params import Params
from allencv_al.common.config.signatures import signature_of
from allencv_al.common.config.specs.object_specs import ObjectSpec
from allencv_al.common.config.specs.type_specs import Scope
from allencv_al.common.config.targets import build_by, by_signature
from allencv_al.common.errors import ConfigurationError, ConfigurationFaults, Fault
from allencv_al.common.files.json_values import plain, repr_json
from allencv_al.common.names import did_you_mean, snake_case
from allencv_al.common.user_mistakes import check_signatures

T = TypeVar("T", bound=Callable[..., Any])

Registration = tuple[Callable[..., Any], str | None]

_OWN_PACKAGE = f"{__name__.partition('.')[0]}."

_registries: dict[type, dict[str, Registration]] = {}


class FromParams(Configurable):
    """The base of every class that a config can describe."""

    if not TYPE_CHECKING:  # for type checkers the constructor is __init__ alone

        def __new__(cls, *args: Any, **kwargs: Any) -> Self:
            """Check what Python code passes by the limits of the annotations (`check_call`).

            Here, not in `__init__`: it is called once, with the arguments of the class itself, and
            before anything is done with them.
            """
            new = super().__new__
            if args or kwargs:
                if new is object.__new__ and cls.__init__ is object.__init__:
                    # object refuses arguments only where there is no other __new__
                    raise TypeError(f"{cls.__name__}() takes no arguments")
                check_call(cls, args, kwargs)
            return new(cls) if new is object.__new__ else new(cls, *args, **kwargs)

    @classmethod
    @by_signature
    def from_params(
        cls,
        params: Params | Mapping[str, Any] | str | None = None,
        constructor_to_call: Callable[..., Any] | None = None,
        constructor_to_inspect: Callable[..., Any] | None = None,
        **extras: Any,
    ) -> Self:
        """Build an object.

        Args:
            params: The parameters: for a registered family, `type` and the arguments of that
                class. A string is short for `{"type": string}`. None: no parameters.
            constructor_to_call: Builds the object instead of the class itself: a `from_params`
                of a class's own hands on what it was given (as in AllenNLP).
            constructor_to_inspect: Accepted as in AllenNLP; the signature of `constructor_to_call`
                counts.
            **extras: Values that the program gives (`vocab=vocab`). They reach every part below
                whose constructor names them; a value in `params` wins.

        Raises:
            ConfigurationFaults: Everything that is wrong, each with its path; nothing was built.
        """
        path = params.history if isinstance(params, Params) else ""
        value: Any = {} if params is None else params
        if not isinstance(value, (Mapping, str)):
            raise ConfigurationError(
                f"{cls.__name__}.from_params: expected Params, a mapping or a name, "
                f"found {type(value).__name__}"
            )
        # By way of Params, which translate the config of an experiment from older spellings
        value = value if isinstance(value, str) else Params(plain(value), path).params
        if constructor_to_call is not None and constructor_to_call is not cls:
            called: Self = build_by(constructor_to_call, value, path, extras)
            return called
        # A from_params of the class's own may end in super().from_params(...), which is this.
        spec, scope = ObjectSpec(cls, by_constructor=True), Scope(extras=extras)
        faults = list(spec.faults(value, path, scope))
        if faults:
            raise ConfigurationFaults(faults, f"the parameters of {cls.__name__}")
        built: Self = spec.build(value, path, scope)
        return built

    def to_params(self) -> Params:
        """Return parameters from which `from_params` builds an object like this one.

        Raises:
            NotImplementedError: An argument of the constructor is not kept under its name (then the
                class needs a `_to_params`), or has a value that a config cannot express.
        """
        return Params(_as_config(self._to_params(), type(self).__name__))

    def _to_params(self) -> dict[str, Any]:
        """Return the arguments by name; parts may be objects that have a `to_params`."""
        found: dict[str, Any] = {}
        for name, argument in signature_of(cast(Hashable, type(self))).arguments.items():
            if name in self.injected:
                continue
            # An attribute of the parameter's name, public or private, is taken for the argument
            kept = next((key for key in (name, f"_{name}") if key in vars(self)), None)
            if kept is not None:
                found[name] = vars(self)[kept]
            elif argument.required:
                raise NotImplementedError(
                    f"{type(self).__name__}: the argument {name} is not kept under its name; "
                    "write a _to_params() that returns the arguments"
                )
        return found

    @classmethod
    def config_faults(cls, config: ConfigView) -> Iterator[Fault]:
        """Yield what types cannot say is wrong; called before anything is built.

        Args:
            config: The arguments in the config, with which of them are already known to be wrong.
        """
        return iter(())


def _as_config(value: Any, owner: str) -> Any:
    """Return `value` as JSON, objects by their parameters."""
    if isinstance(value, FromParams):
        return value.to_params().as_dict()
    if isinstance(value, Mapping):
        return {key: _as_config(inner, owner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_as_config(inner, owner) for inner in value]
    if isinstance(value, PurePath):
        return str(value)
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise NotImplementedError(
        f"{owner}: a config cannot express {type(value).__name__}; "
        "write a _to_params() that returns arguments a config can have"
    )


class Registrable(FromParams):
    """A family of classes. A base derives from this; implementations register on the base.

    ::

        @DatasetReader.register("my_reader")
        class MyReader(DatasetReader): ...
    """

    builtin: ClassVar[Mapping[str, str]] = {}
    """Each name of this package with the module that registers it: imported when asked for.

    Modules of higher floors are named in `common.config.components_above`."""

    @classmethod
    def register(
        cls, name: str, constructor: str | None = None, exist_ok: bool = False
    ) -> Callable[[T], T]:
        """Return a decorator that gives a class or a function a name in this family.

        As a rule the class derives from the family's base. Any other class (a module of torch), or
        a function, is called with the arguments in the config, by its own signature.

        Args:
            name: The name, in snake_case, that `type` uses in a config.
            constructor: A classmethod that builds the object instead of `__init__`.
            exist_ok: Whether to replace what has the name.

        Raises:
            ConfigurationError: Another class has the name, this is nothing that can be called, or
                one of its methods cannot be called as the base's.
        """

        def add(subclass: T) -> T:
            if not callable(subclass):
                raise ConfigurationError(
                    f'cannot register {repr_json(subclass)} as {cls.registry_name()} "{name}": '
                    "expected a class or a function"
                )
            registry = _registries.setdefault(cls, {})
            known = registry.get(name)
            if constructor is not None and not hasattr(subclass, constructor):
                raise ConfigurationError(
                    f'cannot register {subclass.__qualname__} as {cls.registry_name()} "{name}": '
                    f"it has no constructor {constructor}"
                )
            if known is not None and _is_late_builtin(cls, name, subclass, known[0]):
                return subclass  # the user's replacement came first
            if known is not None and not exist_ok and not _is_reimport(known[0], subclass):
                raise ConfigurationError(
                    f'cannot register {subclass.__qualname__} as {cls.registry_name()} "{name}": '
                    f"{known[0].__module__}.{known[0].__qualname__} has the name "
                    "(exist_ok=True replaces it)"
                )
            if known is None and not exist_ok and _is_foreign_builtin(cls, name, subclass):
                raise ConfigurationError(
                    f'cannot register {subclass.__qualname__} as {cls.registry_name()} "{name}": '
                    f"{_builtin_of(cls)[name]} has the name (exist_ok=True replaces it)"
                )
            if isinstance(subclass, type) and not subclass.__module__.startswith(_OWN_PACKAGE):
                check_signatures(cls, subclass)
            registry[name] = (subclass, constructor)
            return subclass

        return add

    @classmethod
    @overrides
    def has_registry(cls) -> bool:
        return Registrable in cls.__bases__ or "builtin" in vars(cls) or cls in _registries

    @classmethod
    @overrides
    def registry_name(cls) -> str:
        return snake_case(cls.__name__)

    @classmethod
    @overrides
    def resolve(cls, name: str) -> Registration:
        table = _builtin_of(cls)
        if name in table and name not in _registries.get(cls, {}):
            _import_builtin(cls, name, table[name])
        registry = _registries.get(cls, {})
        if name in registry:
            return registry[name]
        if "." in name:
            return _resolve_dotted(cls, name), None
        known = cls.list_available()
        hint = did_you_mean(name, known) or f"; known: {', '.join(known) or 'none'}"
        raise ConfigurationError(
            f"{repr_json(name)} is not a registered {cls.registry_name()}{hint} "
            "(your own code comes in by --include-package)"
        )

    @classmethod
    def resolve_class_name(cls, name: str) -> Registration:
        """Return what `resolve` returns (AllenNLP's name for it)."""
        return cls.resolve(name)

    @overrides
    def _to_params(self) -> dict[str, Any]:
        names = (
            name
            for base in type(self).__mro__
            for name, (found, constructor) in _registries.get(base, {}).items()
            if found is type(self) and constructor is None
        )
        name = next(names, None)
        return {**({} if name is None else {"type": name}), **super()._to_params()}

    @classmethod
    def by_name(cls, name: str) -> Callable[..., Any]:
        """Return the class, or its classmethod, that has the name.

        Raises:
            ConfigurationError: There is none; the nearest names are suggested.
        """
        found, constructor = cls.resolve(name)
        return getattr(found, constructor) if constructor else found

    @classmethod
    @overrides
    def list_available(cls) -> list[str]:
        names = sorted({*_registries.get(cls, {}), *_builtin_of(cls)})
        if cls.default_implementation is None:
            return names
        if cls.default_implementation not in names:
            raise ConfigurationError(
                f"{cls.__name__}: the default {cls.default_implementation!r} is not registered"
            )
        return sorted(names, key=lambda name: name != cls.default_implementation)


def families() -> list[type[Registrable]]:
    """Return every base class imported so far, in the order of its name."""
    found = {cls for cls in Registrable.__subclasses__() if cls.has_registry()}
    return sorted(found | set(_registries), key=lambda cls: cls.registry_name())


def registered_anywhere(name: str) -> list[Callable[..., Any]]:
    """Return what has a name in any family, of what is imported so far."""
    return [registry[name][0] for registry in _registries.values() if name in registry]


def _is_reimport(known: Callable[..., Any], subclass: Callable[..., Any]) -> bool:
    """Return whether this is the same class again: its module ran as `__main__` or was reloaded."""
    same_name = known.__qualname__ == subclass.__qualname__
    modules = (known.__module__, subclass.__module__)
    return same_name and (modules[0] == modules[1] or "__main__" in modules)


def _is_foreign_builtin(base: type[Registrable], name: str, subclass: Callable[..., Any]) -> bool:
    """Return whether the name belongs to a module of this package that is not imported yet."""
    module = _builtin_of(base).get(name)
    return module is not None and module != subclass.__module__


def _is_late_builtin(
    base: type[Registrable], name: str, subclass: Callable[..., Any], known: Callable[..., Any]
) -> bool:
    """Return whether user code replaced a class of this package before its module was imported."""
    module = _builtin_of(base).get(name)
    return module == subclass.__module__ and module != known.__module__


def _builtin_of(base: type[Registrable]) -> Mapping[str, str]:
    """Return the table of the family itself: a family within a family does not inherit it."""
    table: Mapping[str, str] = vars(base).get("builtin", {})
    if base.__module__.startswith(_OWN_PACKAGE):
        # Only for families of this package: a user's family may have the same name
        table = {**table, **components_above.get(base.registry_name(), {})}
    return table


def _import_builtin(base: type[Registrable], name: str, module: str) -> None:
    try:
        importlib.import_module(module)
    except ImportError as error:
        if (error.name or "").partition(".")[0] == __name__.partition(".")[0]:
            raise  # a fault of this package, not an optional dependency
        raise ConfigurationError(
            f'the {base.registry_name()} "{name}" needs what is not installed: {error}'
        ) from error


def _resolve_dotted(base: type[Registrable], name: str) -> type[FromParams]:
    module_name, _, class_name = name.rpartition(".")
    top = name.partition(".")[0]
    if not plugins.is_included(top):
        raise ConfigurationError(
            f"{repr_json(name)} is a dotted type; those work only in your own configs, with "
            f"--include-package {top[:60]}"
        )
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except Exception as error:  # whatever the user's module can raise
        raise ConfigurationError(
            f"{repr_json(name)} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    if not inspect.isclass(found) or not issubclass(found, base):
        raise ConfigurationError(f"{repr_json(name)} is not a subclass of {base.__name__}")
    return found
