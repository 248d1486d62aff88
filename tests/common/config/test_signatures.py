from __future__ import annotations

import dataclasses
import sys
import types
from pathlib import Path
from typing import Any, Literal

import pytest

from allencv_al.common import FromParams
from allencv_al.common.config.signatures import REQUIRED, Argument, Unresolved, signature_of


class Base(FromParams):
    """The base.

    Args:
        size: How large.
        name: What it is called.
    """

    def __init__(self, size: int, name: Literal["a", "b"] = "a") -> None: ...

    @classmethod
    def of_pair(cls, first: int, second: float = 0.0) -> Base:
        """Make one from two numbers.

        Args:
            first: One.
        """
        return cls(first)

    @classmethod
    def named(cls, first: int, **kwargs: Any) -> Base:
        """Make one that has the other parameters too.

        Args:
            first: One.
            size: How large, said anew.
        """
        return cls(first, **kwargs)


class Child(Base):
    """A child without a constructor of its own.

    Args:
        name: What the child is called.
    """


class Open(Base):
    """A child with more.

    Args:
        more: More of it.
    """

    def __init__(self, more: bool, *args: int, **kwargs: Any) -> None: ...


def described(cls: type, constructor: str | None = None) -> dict[str, str]:
    arguments = signature_of(cls, constructor).arguments.values()
    return {argument.name: argument.description for argument in arguments}


def test_the_constructor_is_the_schema() -> None:
    signature = signature_of(Base)
    assert signature.accepts_any is False
    assert list(signature.arguments.values()) == [
        Argument("size", int, REQUIRED, "How large."),
        Argument("name", Literal["a", "b"], "a", "What it is called."),
    ]
    assert [argument.required for argument in signature.arguments.values()] == [True, False]


def test_a_child_without_a_constructor_can_say_it_anew() -> None:
    assert described(Child) == {"size": "How large.", "name": "What the child is called."}


def test_keywords_bring_the_parameters_of_the_superclass_behind_ones_own() -> None:
    assert described(Open) == {
        "more": "More of it.",
        "size": "How large.",
        "name": "What it is called.",
    }
    assert signature_of(Open).accepts_any is False


def test_a_classmethod_has_its_own_parameters() -> None:
    assert described(Base, "of_pair") == {"first": "One.", "second": ""}
    assert signature_of(Base, "of_pair").arguments["second"].default == 0.0


def test_a_classmethod_with_keywords_has_those_of_the_constructor_too() -> None:
    assert described(Base, "named") == {
        "first": "One.",
        "size": "How large.",
        "name": "What it is called.",
    }


def test_a_class_without_any_constructor_takes_nothing() -> None:
    assert signature_of(FromParams).arguments == {}
    assert signature_of(int).arguments == {}
    assert signature_of(int).accepts_any is False


def test_a_decorated_constructor_is_seen_through() -> None:
    import functools
    from collections.abc import Callable

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> None:
            function(*args, **kwargs)

        return wrapper

    class Decorated(FromParams):
        @decorate
        def __init__(self, size: int) -> None: ...

    assert signature_of(Decorated).arguments["size"].annotation is int
    assert signature_of(Decorated).accepts_any is False


@dataclasses.dataclass
class Settings:
    size: int
    tags: list[str] = dataclasses.field(default_factory=lambda: ["x"])


def test_a_factory_gives_the_default() -> None:
    arguments = signature_of(Settings).arguments
    assert arguments["tags"].default == ["x"]
    assert arguments["size"].required and not arguments["tags"].required


def test_an_init_var_is_what_it_holds() -> None:
    made = dataclasses.make_dataclass(
        "made", [("x", int), ("scale", dataclasses.InitVar[float], 2)]
    )
    assert signature_of(made).arguments["scale"].annotation is float


@pytest.fixture
def two_modules(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A dataclass whose base is in another module, with names of its own."""
    for name, text in (
        (
            "module_of_the_base",
            "import dataclasses\n"
            "from pathlib import Path as Place\n"
            "@dataclasses.dataclass\n"
            "class Base:\n"
            "    where: Place\n",
        ),
        (
            "module_of_the_child",
            "import dataclasses\n"
            "from module_of_the_base import Base\n"
            "@dataclasses.dataclass\n"
            "class Child(Base):\n"
            "    count: int = 0\n",
        ),
    ):
        module = types.ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        exec("from __future__ import annotations\n" + text, vars(module))
    return sys.modules["module_of_the_child"]


def test_an_inherited_field_is_resolved_in_its_own_module(two_modules: types.ModuleType) -> None:
    arguments = signature_of(two_modules.Child).arguments
    assert (arguments["where"].annotation, arguments["count"].annotation) == (Path, int)


def test_a_class_of_a_module_that_is_gone_is_still_read(
    two_modules: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "module_of_the_base")
    where = signature_of(two_modules.Child).arguments["where"].annotation
    assert where == Unresolved("Place", "NameError: name 'Place' is not defined")
