from __future__ import annotations

import sys
import types
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from allencv_al.common import ConfigurationError, FromParams, Registrable
from allencv_al.common.config import plugins, registrable
from allencv_al.common.config.registrable import families
from allencv_al.common.errors import ConfigurationFaults


@pytest.fixture
def base() -> type[Registrable]:
    class Gadget(Registrable):
        """A family for one test."""

    return Gadget


@pytest.fixture(autouse=True)
def forget_families(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registrable, "_registries", dict(registrable._registries))


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package on the path, with a gadget that registers itself when it is imported."""
    name = "gadget_package_of_a_test"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("")
    (tmp_path / name / "small.py").write_text(
        "import sys\n"
        "base = sys.modules['gadget_base_of_a_test'].Gadget\n"
        "@base.register('small')\n"
        "class Small(base): pass\n"
        "@base.register('tiny')\n"
        "class Tiny(base): pass\n"
        "class Other: pass\n"
    )
    (tmp_path / name / "broken.py").write_text("1 / 0")
    (tmp_path / name / "needy.py").write_text("import an_absent_package")
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    for loaded in [loaded for loaded in sys.modules if loaded.partition(".")[0] == name]:
        del sys.modules[loaded]


@pytest.fixture
def tabled(module: str, monkeypatch: pytest.MonkeyPatch) -> type[Registrable]:
    """A family with built-in names that are imported when asked for."""

    class Gadget(Registrable):
        builtin = {  # noqa: RUF012
            "small": f"{module}.small",
            "tiny": f"{module}.small",
            "broken": f"{module}.broken",
            "needy": f"{module}.needy",
        }

    holder: Any = types.ModuleType("gadget_base_of_a_test")
    holder.Gadget = Gadget
    monkeypatch.setitem(sys.modules, holder.__name__, holder)
    return Gadget


def message_of(base: type[FromParams], name: Any) -> str:
    with pytest.raises(ConfigurationFaults) as info:
        base.from_params({"type": name})
    (fault,) = info.value.faults
    assert fault.path == "type"
    return fault.message


# --- registering ----------------------------------------------------------------------------------


def test_a_registered_class_is_found_by_its_name(base: type[Registrable]) -> None:
    @base.register("round")
    class Round(base):  # type: ignore[valid-type,misc]
        pass

    assert base.by_name("round") is Round
    assert base.list_available() == ["round"]
    assert base.registry_name() == "gadget"
    assert type(base.from_params({"type": "round"})) is Round
    assert type(base.from_params("round")) is Round


def test_a_class_can_have_several_names_and_several_registries(base: type[Registrable]) -> None:
    class Tool(Registrable):
        pass

    @Tool.register("round_tool")
    @base.register("round")
    @base.register("circle")
    class Round(base, Tool):  # type: ignore[valid-type,misc]
        pass

    assert base.list_available() == ["circle", "round"]
    assert base.by_name("circle") is base.by_name("round") is Tool.by_name("round_tool") is Round
    assert Tool.list_available() == ["round_tool"]


def test_families_do_not_mix(base: type[Registrable]) -> None:
    class Other(Registrable):
        pass

    @base.register("x")
    class One(base):  # type: ignore[valid-type,misc]
        pass

    @Other.register("x")
    class Two(Other):
        pass

    assert (base.by_name("x"), Other.by_name("x")) == (One, Two)


def test_a_second_class_cannot_take_a_name(base: type[Registrable]) -> None:
    @base.register("round")
    class Round(base):  # type: ignore[valid-type,misc]
        pass

    with pytest.raises(ConfigurationError, match=r'cannot register .*Wheel as gadget "round": .*'):

        @base.register("round")
        class Wheel(base):  # type: ignore[valid-type,misc]
            pass

    assert base.by_name("round") is Round

    @base.register("round", exist_ok=True)
    class Better(base):  # type: ignore[valid-type,misc]
        pass

    assert base.by_name("round") is Better


def test_the_same_class_may_register_again(base: type[Registrable]) -> None:
    """A module that is reloaded, or that runs as `__main__` and is imported too."""

    def define(module: str) -> type:
        new = type("Round", (base,), {"__module__": module, "__qualname__": "Round"})
        return base.register("round")(new)

    first, again = define("my.module"), define("my.module")
    assert base.by_name("round") is again is not first
    assert base.by_name("round") is not define("__main__")


def test_a_classmethod_can_be_the_constructor(base: type[Registrable]) -> None:
    @base.register("from_size", constructor="from_size")
    @base.register("round")
    class Round(base):  # type: ignore[valid-type,misc]
        def __init__(self, radius: float) -> None:
            self.radius = radius

        @classmethod
        def from_size(cls, size: int) -> Round:
            return cls(size / 2)

    assert base.by_name("from_size")(4).radius == 2.0
    assert base.from_params({"type": "from_size", "size": 4}).radius == 2.0  # type: ignore[attr-defined]
    assert base.from_params({"type": "round", "radius": 4}).radius == 4.0  # type: ignore[attr-defined]
    with pytest.raises(ConfigurationFaults, match="radius: unknown key; known here: size"):
        base.from_params({"type": "from_size", "size": 4, "radius": 4})


def test_a_constructor_that_is_not_there_is_refused_at_once(base: type[Registrable]) -> None:
    with pytest.raises(ConfigurationError, match="it has no constructor from_sise"):

        @base.register("x", constructor="from_sise")
        class Round(base):  # type: ignore[valid-type,misc]
            pass

    assert base.list_available() == []


def test_a_concrete_class_is_no_family(base: type[Registrable]) -> None:
    @base.register("round")
    class Round(base):  # type: ignore[valid-type,misc]
        def __init__(self, radius: int = 1) -> None:
            self.radius = radius

    with pytest.raises(ConfigurationError):
        Round.by_name("round")
    assert Round.from_params({"radius": 3}).radius == 3  # asking did not make it a family
    with pytest.raises(ConfigurationFaults, match="type: unknown key"):
        Round.from_params({"type": "round"})


def test_a_family_within_a_family(base: type[Registrable]) -> None:
    @base.register("wheel")
    class Wheel(base):  # type: ignore[valid-type,misc]
        def __init__(self, spokes: int = 0) -> None:
            self.spokes = spokes

    @Wheel.register("spoked")
    class Spoked(Wheel):
        pass

    assert Wheel.list_available() == ["spoked"]
    assert base.list_available() == ["wheel"]
    assert type(base.from_params({"type": "wheel", "spokes": 2})) is Wheel
    assert type(Wheel.from_params({"type": "spoked", "spokes": 2})) is Spoked


def test_families_lists_every_base(base: type[Registrable]) -> None:
    assert base in families()
    names = [family.registry_name() for family in families()]
    assert names == sorted(names)


# --- names ----------------------------------------------------------------------------------------


def test_the_default_stands_first_and_needs_no_type() -> None:
    class Gadget(Registrable):
        default_implementation = "z"

    @Gadget.register("a")
    class A(Gadget):
        pass

    with pytest.raises(ConfigurationError, match="the default 'z' is not registered"):
        Gadget.list_available()

    @Gadget.register("z")
    class Z(Gadget):
        def __init__(self, x: int = 0) -> None:
            self.x = x

    assert Gadget.list_available() == ["z", "a"]
    assert type(Gadget.from_params({})) is type(Gadget.from_params(None)) is Z
    built = Gadget.from_params({"x": 3})
    assert isinstance(built, Z) and built.x == 3
    assert type(Gadget.from_params("a")) is A


def test_an_unknown_name_suggests_the_nearest(base: type[Registrable]) -> None:
    for name in ("center_crop", "center_drop", "resize"):
        base.register(name)(type(name, (base,), {}))
    assert message_of(base, "center-crap") == (
        '"center-crap" is not a registered gadget; did you mean "center_crop" or "center_drop"? '
        "(your own code comes in by --include-package)"
    )
    assert "; known: center_crop, center_drop, resize (" in message_of(base, "banana")


def test_a_missing_or_wrong_type_lists_the_names(base: type[Registrable]) -> None:
    with pytest.raises(ConfigurationFaults, match="type: missing key; none is registered"):
        base.from_params({"x": 1})
    base.register("a")(type("A", (base,), {}))
    base.register("b")(type("B", (base,), {}))
    with pytest.raises(ConfigurationFaults, match=r"type: missing key; one of a, b$"):
        base.from_params({})
    assert message_of(base, 3) == "expected the name of a gadget, found 3"
    assert message_of(base, ["a"]) == 'expected the name of a gadget, found ["a"]'


def test_an_abstract_class_is_a_fault_not_a_crash(base: type[Registrable]) -> None:
    @base.register("half")
    class Half(base):  # type: ignore[valid-type,misc]
        @abstractmethod
        def area(self) -> float: ...

    @base.register("whole")
    class Whole(Half):
        def area(self) -> float:
            return 1.0

    assert message_of(base, "half") == "Half is abstract: it lacks area"
    assert type(base.from_params("whole")) is Whole


# --- built-in names -------------------------------------------------------------------------------


def test_built_in_names_are_imported_when_asked_for(tabled: type[Registrable], module: str) -> None:
    assert tabled.list_available() == ["broken", "needy", "small", "tiny"]
    assert f"{module}.small" not in sys.modules
    assert tabled.by_name("tiny").__name__ == "Tiny"
    assert f"{module}.small" in sys.modules
    assert f"{module}.broken" not in sys.modules


def test_a_name_whose_extra_is_not_installed_is_a_fault(tabled: type[Registrable]) -> None:
    assert message_of(tabled, "needy") == (
        "the gadget \"needy\" needs what is not installed: No module named 'an_absent_package'"
    )


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("1 / 0", ZeroDivisionError),
        ("import allencv_al.no_such_module", ModuleNotFoundError),
        ("from allencv_al.common.names import no_such_name", ImportError),
    ],
)
def test_a_bug_in_a_built_in_module_is_not_hidden(
    tabled: type[Registrable], tmp_path: Path, module: str, text: str, error: type[Exception]
) -> None:
    (tmp_path / module / "broken.py").write_text(text)
    with pytest.raises(error):
        tabled.by_name("broken")


def test_an_import_error_without_a_name_is_a_fault(
    tabled: type[Registrable], tmp_path: Path, module: str
) -> None:
    (tmp_path / module / "needy.py").write_text("raise ImportError('libGL.so.1 is missing')")
    assert message_of(tabled, "needy").endswith(
        "needs what is not installed: libGL.so.1 is missing"
    )


def test_user_code_cannot_take_a_built_in_name_by_accident(
    tabled: type[Registrable], module: str
) -> None:
    with pytest.raises(
        ConfigurationError, match=rf'as gadget "small": {module}\.small has the name'
    ):
        tabled.register("small")(type("Mine", (tabled,), {}))
    assert tabled.by_name("small").__name__ == "Small"


@pytest.mark.parametrize("imported_first", [True, False])
def test_user_code_can_replace_a_built_in_name(
    tabled: type[Registrable], imported_first: bool
) -> None:
    if imported_first:
        tabled.by_name("small")
    mine = tabled.register("small", exist_ok=True)(type("Mine", (tabled,), {}))
    assert tabled.by_name("small") is mine
    assert tabled.by_name("tiny").__name__ == "Tiny"  # imports the module of both
    assert tabled.by_name("small") is mine


def test_a_subclass_does_not_inherit_the_table(tabled: type[Registrable]) -> None:
    class Special(tabled):  # type: ignore[valid-type,misc]
        pass

    @Special.register("one")
    class One(Special):
        pass

    assert Special.list_available() == ["one"]
    with pytest.raises(ConfigurationError, match='"small" is not a registered special'):
        Special.by_name("small")


# --- dotted names ---------------------------------------------------------------------------------


@pytest.fixture
def included(tabled: type[Registrable], module: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(plugins, "_included_packages", {module})
    return module


def test_a_dotted_name_needs_its_package_included(tabled: type[Registrable], module: str) -> None:
    assert message_of(tabled, f"{module}.small.Small") == (
        f'"{module}.small.Small" is a dotted type; those work only in your own configs, with '
        f"--include-package {module}"
    )
    assert f"{module}.small" not in sys.modules


def test_a_dotted_name_works_with_its_package_included(
    tabled: type[Registrable], included: str
) -> None:
    assert type(tabled.from_params(f"{included}.small.Small")).__name__ == "Small"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("{}.small.Other", "is not a subclass of Gadget"),
        ("{}.small.sys", "is not a subclass of Gadget"),
        ("{}.small.Absent", "cannot be imported: AttributeError"),
        ("{}.absent.Small", "cannot be imported: ModuleNotFoundError"),
        ("{}.broken.Small", "cannot be imported: ZeroDivisionError: division by zero"),
        ("{}..Small", "cannot be imported: "),
        ("os.system", "is a dotted type; those work only"),
        ("{}_evil.x", "is a dotted type; those work only"),
        (".x", "is a dotted type; those work only"),
    ],
)
def test_a_dotted_name_that_is_no_such_class(
    tabled: type[Registrable], included: str, name: str, message: str
) -> None:
    assert message in message_of(tabled, name.format(included))


def test_foreign_configs_resolve_registered_names_only(
    tabled: type[Registrable], included: str
) -> None:
    with plugins.registered_names_only():
        assert "is a dotted type" in message_of(tabled, f"{included}.small.Small")
        assert tabled.by_name("small").__name__ == "Small"
    assert type(tabled.from_params(f"{included}.small.Small")).__name__ == "Small"


class Shape(Registrable):
    pass


@Shape.register("foreign")
class Foreign:
    def __init__(self, size: int, name: str = "x") -> None:
        self.size = size
        self.name = name


@Shape.register("wide")
class WideForeign:
    def __init__(self, **options: Any) -> None:
        self.options = options


@Shape.register("made")
def make(size: int, inner: Shape | None = None) -> tuple[int, Any]:
    return size, inner


Shape.register("module")(torch.nn.Threshold)


def test_a_class_that_does_not_inherit_and_a_function_are_built() -> None:
    built = Shape.from_params({"type": "foreign", "size": 2}, name="y", other=1)
    assert (type(built), built.size, built.name) == (Foreign, 2, "y")
    assert Shape.from_params({"type": "wide", "a": [1]}, b=2).options == {"a": [1], "b": 2}
    size, inner = Shape.from_params({"type": "made", "size": 1, "inner": "wide"})
    assert (size, type(inner)) == (1, WideForeign)
    assert Shape.from_params({"type": "module", "threshold": 1, "value": 2}).value == 2
    assert Shape.by_name("made")(3) == (3, None)
    assert Shape.resolve_class_name("foreign") == (Foreign, None)


@pytest.mark.parametrize("name", ["foreign", "made"])
def test_their_parameters_are_checked_as_any_other(name: str) -> None:
    with pytest.raises(ConfigurationFaults) as caught:
        Shape.from_params({"type": name, "size": "big", "colour": 1})
    assert [fault.path for fault in caught.value.faults] == ["size", "colour"]


def test_what_cannot_be_called_is_not_registered() -> None:
    with pytest.raises(ConfigurationError, match='cannot register 3 as shape "three": expected a'):
        Shape.register("three")(3)  # type: ignore[type-var]
