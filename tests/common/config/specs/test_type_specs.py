"""Types without parts, and the one that wraps another."""

from __future__ import annotations

import enum
import re
from pathlib import Path
from typing import Any

import pytest

from allencv_al.common.config.specs.type_specs import (
    AnySpec,
    EnumSpec,
    InstanceSpec,
    LiteralSpec,
    ScalarSpec,
    Scope,
    TextSpec,
    TypeSpec,
    UnresolvedSpec,
    WrappingSpec,
)


class Kind(enum.Enum):
    CAT = "cat"
    DOG = "dog"


EVERY = [
    (AnySpec(), [None, 1, "a", [1]], []),
    (ScalarSpec(int), [0, -1], [True, 1.0, "1", None]),
    (ScalarSpec(float), [0, 0.5, float("nan")], [True, "0.5", 10**400]),
    (ScalarSpec(str), ["", Path("a")], [1, None]),
    (ScalarSpec(bool), [True, "true"], [1, "yes"]),
    (ScalarSpec(type(None)), [None], [0, ""]),
    (TextSpec("a regular expression", re.compile, re.Pattern), ["a+", re.compile("")], ["(", 1]),
    (LiteralSpec(("a", 1)), ["a", 1], ["b", True, 1.0]),
    (EnumSpec(Kind), ["cat", "CAT", Kind.DOG], ["bird", 1]),
    (InstanceSpec(bytes), [b""], ["", 1]),
    (UnresolvedSpec("Later", "NameError"), [b"from the program"], [None, "a", [1]]),
]


@pytest.mark.parametrize(("spec", "right", "wrong"), EVERY)
def test_right_values_have_no_fault_and_wrong_ones_have_one(
    spec: TypeSpec, right: list[Any], wrong: list[Any]
) -> None:
    for value in right:
        assert list(spec.faults(value, "x", Scope())) == []
        spec.build(value, "x", Scope())
    for value in wrong:
        (fault,) = spec.faults(value, "x", Scope())
        assert fault.path == "x"


@pytest.mark.parametrize(("spec", "right", "wrong"), EVERY)
def test_a_wrapping_spec_answers_as_the_one_inside(
    spec: TypeSpec, right: list[Any], wrong: list[Any]
) -> None:
    wrapping = WrappingSpec(spec)
    assert str(wrapping) == str(spec)
    assert wrapping.json_schema({}) == spec.json_schema({})
    for value in [*right, *wrong]:
        assert list(wrapping.faults(value, "x", Scope())) == list(spec.faults(value, "x", Scope()))
        assert wrapping.resembles(value) == spec.resembles(value)


def test_a_scope_grows_without_changing() -> None:
    scope = Scope(extras={"a": 1})
    assert scope.with_extras({"b": 2}).extras == {"a": 1, "b": 2}
    assert scope.providing(("c",)).provided == {"c"}
    assert scope == Scope(extras={"a": 1})
