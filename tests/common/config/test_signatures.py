from __future__ import annotations

import dataclasses
import sys
import types
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge

from allencv_al.common import FromParams
from allencv_al.common.config.signatures import (
    REQUIRED,
    Argument,
    Unresolved,
    Wrapped,
    argument_descriptions,
    signature_of,
    summary,
)
from allencv_al.common.errors import ConfigurationError


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


class _Library:
    """A class of a library.

    Args:
        target: What it is called with.
        rate: The speed (default: 1).
        eps: Theirs.
    """

    def __init__(self, target: object, rate: float = 1, eps: float = 0.5, odd: bool = False):
        self.given = (target, rate, eps, odd)


class _Wrapper(FromParams, _Library):
    """A class of ours.

    Args:
        size: Ours.
        epsilon: Ours, too.
        last: Behind the rest.
    """

    wraps = Wrapped(
        _Library,
        omit=("target", "odd"),
        rename={"eps": "epsilon"},
        annotations={"epsilon": Annotated[float, Ge(0)], "unknown": int},
        defaults={"epsilon": 0.25},
    )

    def __init__(self, size: int, *, last: str = "", **options: Any) -> None:
        _Library.__init__(self, size, **self.wraps.call(options))


class _Derived(_Wrapper):
    def __init__(self, more: int = 3, **kwargs: Any) -> None:
        super().__init__(**kwargs)


def test_parameters_come_from_a_wrapped_class() -> None:
    arguments = signature_of(_Wrapper).arguments
    assert list(arguments) == ["size", "rate", "epsilon", "last"]
    assert arguments["rate"].default == 1.0
    assert type(arguments["rate"].default) is float
    assert arguments["rate"].description == "The speed (default: 1)."
    assert arguments["epsilon"] == Argument("epsilon", Annotated[float, Ge(0)], 0.25, "Ours, too.")
    assert not signature_of(_Wrapper).accepts_any
    assert list(signature_of(_Derived).arguments) == ["more", "size", "rate", "epsilon", "last"]


def test_a_wrapped_class_gets_its_own_names() -> None:
    assert _Wrapper(3, epsilon=0.75).given == (3, 1, 0.75, False)
    assert _Wrapper(3, rate=2.0).given == (3, 2.0, 0.25, False)
    with pytest.raises(ConfigurationError, match="epsilon: expected float >= 0, found -1"):
        _Derived(size=1, epsilon=-1)


def test_a_wrapped_class_can_be_imported_when_asked_for() -> None:
    wrapped = Wrapped("fractions:Fraction")
    assert wrapped.resolve().__name__ == "Fraction"


class Documented:
    """Do one thing,
    over two lines.

    More about it: not an argument.

    Args:
        Those that count.
        first: The first one, with a colon: here.
            A second line of it.

            A paragraph of it.
        second (int): With a type.
        *rest: The others.
        **options: All else.

    Raises:
        ValueError: Not an argument.
    """


class Bare:
    pass


def test_the_summary_is_the_first_paragraph_on_one_line() -> None:
    assert summary(Documented) == "Do one thing, over two lines."
    assert summary(Bare) == ""


def test_each_argument_has_its_description_on_one_line() -> None:
    assert argument_descriptions(Documented) == {
        "first": "The first one, with a colon: here. A second line of it. A paragraph of it.",
        "second": "With a type.",
        "rest": "The others.",
        "options": "All else.",
    }
    assert argument_descriptions(Bare) == {}
    assert argument_descriptions(len) == {}
