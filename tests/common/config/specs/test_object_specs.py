"""Objects in configs: faults, values and schema."""

from __future__ import annotations

import dataclasses
import enum
import json
import pickle
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import jsonschema  # type: ignore[import-untyped,unused-ignore]
import pytest

from allencv_al.common import ConfigurationError, FromParams, Lazy, Registrable
from allencv_al.common.config.config_check import check
from allencv_al.common.config.specs.annotations import spec_of
from allencv_al.common.config.specs.object_specs import DataclassSpec, LazySpec, ObjectSpec
from allencv_al.common.config.specs.type_specs import Scope


class Mode(enum.Enum):
    LINEAR = "linear"
    NEAREST = 0


@dataclass
class Window:
    """A window.

    Args:
        start: The first.
        stop: The last.
        tags: What to call it.
    """

    start: int
    stop: float = 1.0
    tags: list[str] = field(default_factory=list)


class Layer(Registrable):
    """A layer of the test."""

    default_implementation = "linear"
    injected = ("vocab",)


@Layer.register("linear")
class Linear(Layer):
    """y = a x.

    Args:
        size: How many.
        vocab: Given.
        scale: How much.
    """

    def __init__(self, size: int, vocab: Any, scale: float | None = None) -> None: ...


@Layer.register("stack")
class Stack(Layer):
    """One on the other.

    Args:
        layers: Them.
        bounds: Two numbers.
        name: A pattern.
    """

    def __init__(
        self,
        layers: list[Layer],
        bounds: tuple[float, float] = (0.0, 1.0),
        name: re.Pattern[str] | None = None,
    ) -> None: ...


@Layer.register("none")
class Nothing(Layer):
    """Nothing."""


class Whole(FromParams):
    """All of it.

    Args:
        layer: The layer.
        mode: How.
        windows: Where.
        paths: Files.
        kind: Which.
        counts: By number.
        free: Anything.
        later: Another.
        ids: Distinct.
        device: From Python only.
    """

    def __init__(
        self,
        layer: Layer,
        mode: Mode = Mode.LINEAR,
        windows: tuple[Window, ...] = (),
        paths: dict[str, Path] | None = None,
        kind: Literal["a", "b", 3] = "a",
        counts: dict[int, bool] | None = None,
        free: Any = None,
        later: Lazy[Layer] | None = None,
        ids: set[int] | None = None,
        empty: tuple[()] = (),
        by_kind: dict[Literal["x", "y"], int] | None = None,
    ) -> None: ...


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    definitions: dict[str, Any] = {}
    root = ObjectSpec(Whole).json_schema(definitions)
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", **root}
    whole["$defs"] = definitions
    jsonschema.Draft202012Validator.check_schema(whole)
    return json.loads(json.dumps(whole, allow_nan=False))  # type: ignore[no-any-return]


LINEAR = {"type": "linear", "size": 1}

GOOD: list[dict[str, Any]] = [
    {"layer": LINEAR},
    {"layer": {"size": 1, "scale": None}},
    {"layer": "none"},
    {"layer": {"type": "none"}},
    {"layer": {"type": "stack", "layers": [LINEAR, "none", {"type": "stack", "layers": []}]}},
    {"layer": {"type": "stack", "layers": [], "bounds": [1, 2.5], "name": "^a"}},
    {"layer": "none", "mode": "linear", "kind": 3},
    {"layer": "none", "mode": 0},
    {"layer": "none", "mode": "NEAREST"},
    {"layer": "none", "windows": [{"start": 1}, {"start": 2, "stop": 3, "tags": ["x"]}]},
    {"layer": "none", "paths": {"a": "b"}, "counts": {"1": True, "-2": False}, "free": [{"x": 1}]},
    {"layer": "none", "later": LINEAR, "ids": [1, 2]},
    {"layer": "none", "later": None, "paths": None, "empty": [], "by_kind": {"x": 1}},
]

BAD: list[Any] = [
    {},
    [],
    "none",
    {"layer": {}},
    {"layer": "linear"},
    {"layer": "linaer"},
    {"layer": {"type": "linaer", "size": 1}},
    {"layer": {"type": "linear", "size": 1, "sice": 2}},
    {"layer": {"type": "linear", "size": "1"}},
    {"layer": {"type": "linear", "size": 1.5}},
    {"layer": {"type": "linear", "size": True}},
    {"layer": {"type": "stack"}},
    {"layer": {"type": "stack", "layers": [{"type": "stack", "layers": [{}]}]}},
    {"layer": {"layers": []}},
    {"layer": {"type": "stack", "layers": [], "bounds": [1]}},
    {"layer": {"type": "stack", "layers": [], "bounds": [1, 2, 3]}},
    {"layer": {"type": "stack", "layers": [], "bounds": [1, "2"]}},
    {"layer": "none", "mode": "linaer"},
    {"layer": "none", "kind": "c"},
    {"layer": "none", "windows": {"start": 1}},
    {"layer": "none", "windows": [{"stop": 1}]},
    {"layer": "none", "windows": [{"start": 1, "end": 1}]},
    {"layer": "none", "paths": ["a"]},
    {"layer": "none", "counts": {"one": True}},
    {"layer": "none", "counts": {"01": True}},
    {"layer": "none", "counts": {"1": 1}},
    {"layer": "none", "later": {"size": None}},
    {"layer": "none", "ids": [1, 1]},
    {"layer": "none", "empty": [1]},
    {"layer": "none", "by_kind": {"z": 1}},
    {"layer": "none", "unknown": 1},
]


@pytest.mark.parametrize("config", GOOD, ids=json.dumps)
def test_a_right_config_is_valid_and_without_faults(schema: dict[str, Any], config: Any) -> None:
    jsonschema.validate(config, schema)
    assert check(Whole, config) == []


@pytest.mark.parametrize("config", BAD, ids=json.dumps)
def test_a_planted_fault_is_invalid_and_told(schema: dict[str, Any], config: Any) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(config, schema)
    assert check(Whole, config) != []


def test_descriptions_and_defaults_are_in_it(schema: dict[str, Any]) -> None:
    whole = schema["$defs"]["Whole"]
    assert whole["description"] == "All of it."
    assert whole["properties"]["kind"] == {
        "enum": ["a", "b", 3],
        "description": "Which.",
        "default": "a",
    }
    assert whole["required"] == ["layer"]
    stack = schema["$defs"]["layer.stack"]
    assert stack["properties"]["bounds"]["default"] == [0.0, 1.0]
    assert stack["properties"]["type"] == {"const": "stack"}
    assert stack["required"] == ["type", "layers"]
    linear = schema["$defs"]["layer.linear"]
    assert linear["required"] == ["size"]  # neither the type, which is the default, nor the vocab
    assert "The type is linear where none is given." in schema["$defs"]["layer"]["description"]


def test_what_there_is_nothing_to_say_about_is_left_out() -> None:
    class Sized(Registrable):
        """All of these need a size."""

    @Sized.register("one")
    class One(Sized):
        """One.

        Args:
            size: How large.
        """

        def __init__(self, size: int, rate: float = float("nan"), free: Any = object) -> None: ...

    definitions: dict[str, Any] = {}
    ObjectSpec(Sized).json_schema(definitions)
    assert definitions["sized"] == {
        "title": "sized",
        "description": "All of these need a size.",
        "anyOf": [{"$ref": "#/$defs/sized.one"}],
    }
    assert definitions["sized.one"]["properties"]["rate"] == {"type": "number"}
    assert definitions["sized.one"]["properties"]["free"] == {}


def test_a_family_without_names_admits_nothing() -> None:
    class Empty(Registrable):
        """None yet."""

    definitions: dict[str, Any] = {}
    root = ObjectSpec(Empty).json_schema(definitions)
    validator = jsonschema.Draft202012Validator({**root, "$defs": definitions})
    validator.check_schema(validator.schema)
    assert not validator.is_valid({}) and not validator.is_valid("x")


def test_families_that_nest_in_each_other_end(schema: dict[str, Any]) -> None:
    layers = schema["$defs"]["layer.stack"]["properties"]["layers"]
    assert layers["items"] == {"$ref": "#/$defs/layer"}
    assert layers["description"] == "Them."


def test_a_class_that_reads_its_own_parameters_is_open() -> None:
    class Own(FromParams):
        """Reads them itself."""

        @classmethod
        def from_params(cls, params: Any = None, **extras: Any) -> Any:
            raise AssertionError("never called by a schema")

    definitions: dict[str, Any] = {}
    assert ObjectSpec(Own).json_schema(definitions) == {"$ref": "#/$defs/Own"}
    assert definitions["Own"] == {"description": "Reads them itself.", "type": "object"}


def test_a_name_whose_extra_is_not_installed_is_left_out() -> None:
    class Family(Registrable):
        builtin = {"needy": "an_absent_package.module"}  # noqa: RUF012

    @Family.register("ready")
    class Ready(Family):
        pass

    definitions: dict[str, Any] = {}
    ObjectSpec(Family).json_schema(definitions)
    assert "family.ready" in definitions and "family.needy" not in definitions
    with pytest.raises(ConfigurationError):
        Family.by_name("needy")


def test_what_only_python_can_give_is_never_valid() -> None:
    assert spec_of(complex).json_schema({}) == {"not": {}}


class Shape(Registrable):
    pass


@Shape.register("square")
class Square(Shape):
    def __init__(self, side: int) -> None:
        self.side = side


class Holder(FromParams):
    def __init__(self, shape: Shape, later: Lazy[Shape]) -> None:
        self.shape = shape
        self.later = later


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


def test_the_kind_of_a_class_decides_on_its_spec() -> None:
    assert spec_of(Shape) == ObjectSpec(Shape)
    assert spec_of(Lazy[Shape]) == LazySpec(ObjectSpec(Shape))
    assert spec_of(Point) == DataclassSpec(Point)


def test_an_object_is_built_by_the_name_of_its_type() -> None:
    spec = ObjectSpec(Shape)
    assert spec.build({"type": "square", "side": 3}, "shape", Scope()).side == 3
    (fault,) = spec.faults({"type": "sqare", "side": 3}, "shape", Scope())
    assert str(fault).startswith(
        'shape.type: "sqare" is not a registered shape; did you mean "square"?'
    )
    (fault,) = spec.faults(3, "shape", Scope())
    assert str(fault) == "shape: expected a shape (an object), found 3"


def test_the_view_of_an_object_is_seen_through_what_is_around_it() -> None:
    value = {"type": "square", "side": 3}
    for spec in (spec_of(Shape), spec_of(Shape | None), spec_of(Lazy[Shape])):
        assert spec.view(value, "shape", Scope()).get("side") == 3
    assert [view.path for view in spec_of(list[Shape]).views([value], "all", Scope())] == ["all.0"]
    assert spec_of(Shape).view(Square(1), "shape", Scope()) is None


def test_a_part_is_checked_now_and_built_later() -> None:
    config = {"shape": {"type": "square", "side": 1}, "later": {"type": "square", "side": 2}}
    holder = pickle.loads(pickle.dumps(Holder.from_params(config)))
    assert holder.later.construct().side == 2
    with pytest.raises(ConfigurationError, match=r"later\.side: expected int"):
        Holder.from_params({**config, "later": {"type": "square", "side": "a"}})


def test_a_dataclass_is_built_from_an_object() -> None:
    spec = DataclassSpec(Point)
    assert spec.build({"x": 1}, "p", Scope()) == Point(1)
    assert [str(fault) for fault in spec.faults({"z": 1}, "p", Scope())] == [
        "p.z: unknown key; known here: x, y",
        "p.x: missing key, expected int",
    ]
