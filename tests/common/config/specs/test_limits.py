"""Limits in annotations, as configs and JSON Schema see them."""

from __future__ import annotations

import math
from typing import Annotated, Any

import pytest
from annotated_types import Ge, Gt, Interval, IsFinite, Le, Len, Lt, MaxLen, MinLen, doc

from allencv_al.common.config.specs.annotations import spec_of
from allencv_al.common.config.specs.type_specs import Scope

POSITIVE = Annotated[float, Gt(0)]
COUNT = Annotated[int, Ge(1)]
SHARE = Annotated[float, Interval(ge=0, le=1)]


@pytest.mark.parametrize(
    ("annotation", "text", "schema"),
    [
        (POSITIVE, "float > 0", {"type": "number", "exclusiveMinimum": 0}),
        (COUNT, "int >= 1", {"type": "integer", "minimum": 1}),
        (SHARE, "float from 0 to 1", {"type": "number", "minimum": 0, "maximum": 1}),
        (
            Annotated[float, Ge(0), Lt(0.5)],
            "float >= 0 and < 0.5",
            {"type": "number", "minimum": 0, "exclusiveMaximum": 0.5},
        ),
        (IsFinite[float], "finite float", {"type": "number"}),
        (Annotated[str, MinLen(1)], "non-empty str", {"type": "string", "minLength": 1}),
        (
            Annotated[list[str], MinLen(2)],
            "list of str with at least 2 items",
            {"type": "array", "items": {"type": "string"}, "minItems": 2},
        ),
        (
            Annotated[list[str], Len(1, 3)],
            "list of str with 1 to 3 items",
            {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 3},
        ),
        (
            Annotated[dict[str, int], MaxLen(1)],
            "an object of int with at most 1 item",
            {"type": "object", "additionalProperties": {"type": "integer"}, "maxProperties": 1},
        ),
        (Annotated[bool, Gt(0)], "bool", {"type": "boolean"}),
        (Annotated[float, doc("about"), "another tool's"], "float", {"type": "number"}),
    ],
)
def test_limits_are_described(annotation: Any, text: str, schema: dict[str, Any]) -> None:
    spec = spec_of(annotation)
    assert str(spec) == text
    assert spec.json_schema({}) == schema


@pytest.mark.parametrize(
    ("annotation", "value", "message"),
    [
        (POSITIVE, 0, "expected float > 0, found 0"),
        (POSITIVE, math.inf, "expected finite float > 0, found Infinity"),
        (POSITIVE, math.nan, "expected finite float > 0, found NaN"),
        (IsFinite[float], math.nan, "expected finite float, found NaN"),
        (POSITIVE, True, "expected float > 0, found true"),
        (POSITIVE, "1", 'expected float > 0, found "1"'),
        (COUNT, 1.0, "expected int >= 1, found 1.0"),
        (SHARE, 1.01, "expected float from 0 to 1, found 1.01"),
        (COUNT | None, 0, "expected int >= 1, found 0"),
        (COUNT | None, "a", 'expected int >= 1 or null, found "a"'),
        (Annotated[float | None, Gt(0)], -1.5, "expected float > 0, found -1.5"),
        (COUNT | SHARE, 0, "expected int >= 1, found 0"),
        (COUNT | SHARE, 1.5, "expected float from 0 to 1, found 1.5"),
        (Annotated[int, Ge(2), doc("one is no choice")], 1, "(one is no choice), found 1"),
        (Annotated[list[int], MinLen(1)], [], "expected non-empty list of int, found []"),
    ],
)
def test_what_is_outside_is_a_fault(annotation: Any, value: Any, message: str) -> None:
    (fault,) = spec_of(annotation).faults(value, "x", Scope())
    assert fault.path == "x"
    assert message in fault.message


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (POSITIVE, 1),
        (SHARE, 0),
        (SHARE, 1.0),
        (COUNT | None, None),
        (POSITIVE | list[COUNT], 1),
        (list[int] | float, 1),
        (list[COUNT] | POSITIVE, 1.5),
    ],
)
def test_what_is_inside_is_none(annotation: Any, value: Any) -> None:
    assert list(spec_of(annotation).faults(value, "x", Scope())) == []


def test_a_whole_number_stays_one_beside_a_float_with_limits() -> None:
    built = spec_of(POSITIVE | COUNT).build(2, "x", Scope())
    assert (built, type(built)) == (2, int)


def test_a_whole_number_beyond_the_largest_float_is_a_fault() -> None:
    (fault,) = spec_of(POSITIVE).faults(10**400, "x", Scope())
    assert fault.message.startswith("expected float > 0, found 1000")


def test_each_item_has_its_limits() -> None:
    spec = spec_of(list[COUNT])
    assert [fault.path for fault in spec.faults([1, 0, -1], "sizes", Scope())] == [
        "sizes.1",
        "sizes.2",
    ]
    assert str(spec) == "list of int >= 1"


def test_a_float_within_limits_is_built_as_one() -> None:
    built = spec_of(Annotated[float, Le(3)]).build(2, "x", Scope())
    assert (built, type(built)) == (2.0, float)
