"""Objects, dataclasses and parts that are built later."""

from __future__ import annotations

import dataclasses
import pickle

import pytest

from allencv_al.common import ConfigurationError, FromParams, Lazy, Registrable
from allencv_al.common.config.specs.annotations import spec_of
from allencv_al.common.config.specs.object_specs import DataclassSpec, LazySpec, ObjectSpec
from allencv_al.common.config.specs.type_specs import Scope


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
