"""The contract of every registry: its table is complete, and every component can be described."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import pkgutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import allencv_al
from allencv_al.commands.registries import REGISTRIES, load_registry
from allencv_al.common.config import components_above
from allencv_al.common.config.registrable import FromParams, Registrable
from allencv_al.common.config.signatures import Unresolved, summary
from allencv_al.common.config.specs.annotations import spec_of
from allencv_al.common.config.targets import Target
from allencv_al.common.errors import ConfigurationError

ROOT = Path(allencv_al.__file__).parent
NEEDS_EXTRA = {"trainer_callback.tensorboard": "tensorboard"}


def module_names() -> list[str]:
    found = pkgutil.walk_packages([str(ROOT)], "allencv_al.")
    return sorted(module.name for module in found)


def registrations(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (base class, registered name) of every `Base.register("name")` in a source file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id=base), attr="register"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield base, name


@functools.cache
def registered() -> dict[tuple[str, str], str]:
    """Return the module of each (base class, registered name) in the source of the package."""
    return {
        key: ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
        for path in sorted(ROOT.rglob("*.py"))
        for key in registrations(path)
    }


def components() -> list[tuple[str, str]]:
    return [
        (family, name) for family in REGISTRIES for name in load_registry(family).list_available()
    ]


def resolve(family: str, name: str) -> Target:
    extra = NEEDS_EXTRA.get(f"{family}.{name}")
    if extra is not None:
        pytest.importorskip(extra)
    return Target(*load_registry(family).resolve(name))


every_family = pytest.mark.parametrize("family", REGISTRIES)
every_component = pytest.mark.parametrize(("family", "name"), components(), ids=str)


@every_family
def test_a_family_is_called_by_its_class(family: str) -> None:
    base = load_registry(family)
    assert base.registry_name() == family
    assert base.has_registry()
    assert base.__doc__, "describe shows the first paragraph of it"


@every_family
def test_the_table_of_built_in_names_is_complete_and_right(family: str) -> None:
    base = load_registry(family)
    table = {**vars(base).get("builtin", {}), **components_above.get(family, {})}
    found = {name: module for (cls, name), module in registered().items() if cls == base.__name__}
    assert found, "nothing is registered"
    assert table == found
    assert base.default_implementation is None or base.default_implementation in table


@every_family
def test_the_table_of_a_family_names_no_higher_floor(family: str) -> None:
    contracts = tomllib.loads((ROOT.parent / "pyproject.toml").read_text("utf-8"))["tool"][
        "importlinter"
    ]
    layers = next(c["layers"] for c in contracts["contracts"] if c["type"] == "layers")
    height = {
        floor.strip(): -index for index, line in enumerate(layers) for floor in line.split("|")
    }
    base = load_registry(family)

    def of(module: str) -> int:
        return height[".".join(module.split(".")[:2])]

    own = of(base.__module__)
    assert [m for m in vars(base).get("builtin", {}).values() if of(m) > own] == []
    assert [m for m in components_above.get(family, {}).values() if of(m) <= own] == []


def test_every_base_class_stands_among_the_registries() -> None:
    for name in module_names():
        if not name.endswith("__main__"):
            importlib.import_module(name)
    bases = {
        cls
        for cls in subclasses(Registrable)
        if cls.__module__.startswith("allencv_al.") and cls.has_registry()
    }
    assert bases == {load_registry(family) for family in REGISTRIES}
    assert {base for base, _ in registered()} == {base.__name__ for base in bases}


def subclasses(cls: type) -> set[type[Any]]:
    found: set[type[Any]] = set(cls.__subclasses__())
    return found.union(*(subclasses(child) for child in found))


@every_component
def test_a_component_resolves_to_a_class_of_its_family(family: str, name: str) -> None:
    target = resolve(family, name)
    assert issubclass(target.cls, load_registry(family))
    assert not target.missing_methods
    assert name == name.lower() and name.isidentifier()


@every_component
def test_a_component_is_documented(family: str, name: str) -> None:
    target = resolve(family, name)
    assert target.cls.__doc__, "a docstring of its own, not the family's"
    assert summary(target.cls)
    assert not target.is_custom, "a class of this package is described by its constructor"
    missing = [
        argument.name
        for argument in target.signature.arguments.values()
        if not argument.description and argument.name not in target.cls.injected
    ]
    assert missing == [], "each parameter has a line under Args:"


@every_component
def test_the_parameters_of_a_component_are_typed(family: str, name: str) -> None:
    target = resolve(family, name)
    signature = target.signature
    assert not signature.accepts_any, "every key is known"
    for argument in signature.arguments.values():
        if argument.name in target.cls.injected:
            continue
        assert not isinstance(argument.annotation, Unresolved), argument
        assert argument.annotation is not inspect.Parameter.empty
        assert spec_of(argument.annotation).json_schema({}) != {"not": {}}, (
            f"{argument.name}: a config cannot give it; is it injected?"
        )


@every_component
def test_no_parameter_has_a_default_that_its_type_refuses(family: str, name: str) -> None:
    from allencv_al.common.config.specs.type_specs import Scope

    target = resolve(family, name)
    for argument in target.signature.arguments.values():
        if argument.required or argument.name in target.cls.injected:
            continue
        faults = spec_of(argument.annotation).faults(argument.default, argument.name, Scope())
        assert [str(fault) for fault in faults] == []


@every_family
def test_what_the_program_gives_is_a_parameter(family: str) -> None:
    """A misspelt name in `injected` would make every config need that key."""
    base = load_registry(family)
    taken = {
        argument
        for name in base.list_available()
        if f"{family}.{name}" not in NEEDS_EXTRA
        for argument in Target(*base.resolve(name)).signature.arguments
    }
    for_users = {"serialization_dir"} if family == "model" else set()
    assert set(base.injected) <= taken | for_users


@every_family
def test_an_unknown_name_of_a_family_is_a_message(family: str) -> None:
    with pytest.raises(ConfigurationError, match=f'"zzz" is not a registered {family}; known: '):
        load_registry(family).by_name("zzz")


def test_every_constructible_class_is_documented() -> None:
    """The classes that a config describes without a registry: the experiment, for one."""
    for name in module_names():
        if not name.endswith("__main__"):
            importlib.import_module(name)
    for cls in subclasses(FromParams) - subclasses(Registrable) - {Registrable}:
        if cls.__module__.startswith("allencv_al."):
            arguments = Target(cls).signature.arguments.values()
            assert [a.name for a in arguments if not a.description] == [], cls
