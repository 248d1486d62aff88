"""Unions choose, containers name the place of a fault."""

from __future__ import annotations

from typing import Any

import pytest

from allencv_al.common.config.specs.annotations import spec_of
from allencv_al.common.config.specs.container_specs import UnionSpec
from allencv_al.common.config.specs.type_specs import Scope


def faults_of(annotation: Any, value: Any) -> list[str]:
    return [str(fault) for fault in spec_of(annotation).faults(value, "x", Scope())]


@pytest.mark.parametrize(
    ("annotation", "value", "chosen"),
    [
        (int | None, None, "null"),
        (float | int, 1, "int"),
        (float | int, 1.5, "float"),
        (float | list[int], 1, "float"),
        (list[str] | dict[str, int], {"a": 1}, "an object of int"),
        (list[int] | list[str], ["a"], "list of str"),
    ],
)
def test_a_union_chooses_the_option_that_fits(annotation: Any, value: Any, chosen: str) -> None:
    spec = spec_of(annotation)
    assert isinstance(spec, UnionSpec)
    assert str(spec.choose(value, "x", Scope())) == chosen


def test_a_union_tells_the_faults_of_the_nearest_option() -> None:
    assert faults_of(list[int] | dict[str, int], [1, "a"]) == ['x.1: expected int, found "a"']
    assert faults_of(int | None, "a") == ['x: expected int or null, found "a"']


def test_places_in_containers_are_named() -> None:
    assert faults_of(dict[str, list[int]], {"a": [1, None]}) == ["x.a.1: expected int, found null"]
    assert faults_of(tuple[int, str], [1]) == [
        "x: expected a list of exactly 2 (int, str), found 1 value: [1]"
    ]
    assert faults_of(set[int], [1, 1]) == ["x: expected distinct values, found [1, 1]"]


def test_keys_that_stand_for_numbers_are_read() -> None:
    spec = spec_of(dict[int, str])
    assert spec.build({"3": "a"}, "x", Scope()) == {3: "a"}
    assert faults_of(dict[int, str], {"a": "b"}) == ['x.a: the key: expected int, found "a"']
