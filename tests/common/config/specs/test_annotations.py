"""Every kind of annotation: what it admits, what it builds, what it says is wrong."""

# ruff: noqa: UP006, UP007, UP045
#   the old spellings of types are what is tested

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import re
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    NewType,
    Optional,
    Protocol,
    TypeAlias,
    TypedDict,
    TypeVar,
    Union,
)

import pytest
from annotated_types import Le
from typing_extensions import TypeAliasType

from allencv_al.common import FromParams, Lazy, Params
from allencv_al.common.config.specs.annotations import spec_of
from allencv_al.common.config.specs.type_specs import Scope


class Mode(enum.Enum):
    LINEAR = "linear"
    NEAREST = "nearest"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Corner(enum.Enum):
    TOP = (0, 0)
    BOTTOM = (1, 1)


@dataclasses.dataclass
class Point:
    x: int
    y: float = 0.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Box:
    corners: tuple[Point, Point]
    tags: list[str] = dataclasses.field(default_factory=list)
    names: dict[int, Point] = dataclasses.field(default_factory=dict)
    area: float = dataclasses.field(init=False, default=0.0)


@dataclasses.dataclass
class Scaled:
    value: int
    factor: dataclasses.InitVar[int] = 2

    def __post_init__(self, factor: int) -> None:
        if factor < 0:
            raise ValueError("factor: expected a positive number")
        self.value *= factor


class Plain(FromParams):
    def __init__(self, size: int) -> None:
        self.size = size

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plain) and self.size == other.size

    def __hash__(self) -> int:
        return hash(self.size)


T = TypeVar("T")
BoundT = TypeVar("BoundT", bound=int)


class Holder(FromParams, Generic[T]):
    def __init__(self, value: int) -> None:
        self.value = value


class Shape(Protocol):
    def area(self) -> float: ...


class Options(TypedDict):
    a: int


Pixels = NewType("Pixels", int)
Size: TypeAlias = int | tuple[int, int]
NewStyle = TypeAliasType("NewStyle", list[int])  # what `type NewStyle = list[int]` makes
Endless = typing.Union[int, list["Endless"]]

thing = object()
point = Point(1)

GOOD: list[Any] = [
    # scalars
    (int, 3, 3),
    (int, -(10**30), -(10**30)),
    (float, 3, 3.0),
    (float, 1e-3, 1e-3),
    (str, "", ""),
    (bool, True, True),
    (bool, "true", True),
    (bool, "false", False),
    (None, None, None),
    (type(None), None, None),
    (Any, {"a": [1]}, {"a": [1]}),
    (object, [1, "x"], [1, "x"]),
    # optional and unions, old style and new
    (Optional[int], None, None),
    (int | None, 3, 3),
    (Union[int, str], "x", "x"),
    (float | int, 3, 3),
    (bool | int, True, True),
    (bool | int, 1, 1),
    (str | list[str], ["a"], ["a"]),
    (int | float | str, 1.5, 1.5),
    (str | dict[str, int], {"a": 1}, {"a": 1}),
    (Literal["auto"] | int, "auto", "auto"),
    (list[int] | int | None, [1], [1]),
    (Path | None, "a/b", Path("a/b")),
    # literals and enums
    (Literal["a", "b"], "b", "b"),
    (Literal[1, None, "x", True], True, True),
    (Mode, "linear", Mode.LINEAR),
    (Mode, "NEAREST", Mode.NEAREST),
    (Mode, Mode.LINEAR, Mode.LINEAR),
    (Level, 2, Level.HIGH),
    (Level, "LOW", Level.LOW),
    (Corner, "TOP", Corner.TOP),
    # text
    (Path, "a/b.png", Path("a/b.png")),
    (Path, Path("x"), Path("x")),
    (re.Pattern[str], "^a+$", re.compile("^a+$")),
    (re.Pattern, "x", re.compile("x")),
    (re.Pattern[str], re.compile("y"), re.compile("y")),
    # containers, old style and new
    (list[int], [1, 2], [1, 2]),
    (typing.List[float], [1, 2.5], [1.0, 2.5]),
    (list, [1, "x"], [1, "x"]),
    (Sequence[Path], ["a"], [Path("a")]),
    (Iterable[int], (1, 2), [1, 2]),
    (collections.abc.Collection[int], [], []),
    (tuple[int, str], [1, "x"], (1, "x")),
    (typing.Tuple[float, float, float], [1, 2, 3], (1.0, 2.0, 3.0)),
    (tuple[int, ...], [1, 2, 3], (1, 2, 3)),
    (tuple[int, ...], [], ()),
    (tuple[()], [], ()),
    (tuple, [1, "x"], (1, "x")),
    (set[str], ["a", "b"], {"a", "b"}),
    (typing.Set[int], [2, 1], {1, 2}),
    (frozenset[int], [1], frozenset({1})),
    (typing.FrozenSet[str], ["x"], frozenset({"x"})),
    (set, [1, "a"], {1, "a"}),
    (collections.abc.Set[int], [1], {1}),
    (set[tuple[int, int]], [[1, 2], [1, 3]], {(1, 2), (1, 3)}),
    (set[str], ["x" * 100 + "a", "x" * 100 + "b"], {"x" * 100 + "a", "x" * 100 + "b"}),
    (dict[str, int], {"a": 1}, {"a": 1}),
    (typing.Dict[int, str], {"1": "x", "-2": "y"}, {1: "x", -2: "y"}),
    (dict[int, str], {1: "x"}, {1: "x"}),
    (dict[float, int], {"0.5": 1, "1e-3": 2, "2": 3}, {0.5: 1, 0.001: 2, 2.0: 3}),
    (Mapping[str, list[Path]], {"a": ["b"]}, {"a": [Path("b")]}),
    (dict[Literal["train", "test"], int], {"train": 1}, {"train": 1}),
    (dict[Mode, int], {"linear": 1}, {Mode.LINEAR: 1}),
    (dict[Level, int], {"2": 1}, {Level.HIGH: 1}),
    (dict[int | str, int], {"1": 1, "x": 2}, {"1": 1, "x": 2}),
    (dict, {"a": None}, {"a": None}),
    (Mapping, {"a": 1}, {"a": 1}),
    (dict[str, dict[str, tuple[int, int]]], {"a": {"b": [1, 2]}}, {"a": {"b": (1, 2)}}),
    (dict[str, Any], Params({"a": {"b": 1}}), {"a": {"b": 1}}),
    # objects
    (Point, {"x": 1}, Point(1, 0.5)),
    (Point, Params({"x": 1, "y": 2}), Point(1, 2.0)),
    (Point, point, point),
    (Box, {"corners": [{"x": 1}, {"x": 2}]}, Box(corners=(Point(1), Point(2)))),
    (
        Box,
        {"corners": [{"x": 1}, point], "tags": ["t"], "names": {"7": {"x": 3}}},
        Box(corners=(Point(1), point), tags=["t"], names={7: Point(3)}),
    ),
    (Scaled, {"value": 2, "factor": 3}, Scaled(2, 3)),
    (Plain, {"size": 3}, Plain(3)),
    (list[Plain], [{"size": 3}, Plain(4)], [Plain(3), Plain(4)]),
    (dict[str, Plain | None], {"a": {"size": 1}, "b": None}, {"a": Plain(1), "b": None}),
    # names for types
    (Size, [1, 2], (1, 2)),
    (Pixels, 4, 4),
    (list[Pixels], [4], [4]),
    (NewStyle, [4], [4]),
    (Annotated[int, "pixels"], 4, 4),
    (T, thing, thing),
    (BoundT, 4, 4),
    (Endless, [1, [2, [3]]], [1, [2, [3]]]),
    # what only Python code can give
    (Callable[[int], int], len, len),
    (type[Plain], Plain, Plain),
    (Shape, thing, thing),
    (Options, {"a": 1}, {"a": 1}),
]


def name_of(value: Any) -> str:
    """Return the same in every process: without addresses, and sets in order."""
    if isinstance(value, (set, frozenset)):
        return f"{type(value).__name__}({sorted(value, key=repr)!r})"
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


@pytest.mark.parametrize(("annotation", "value", "expected"), GOOD, ids=name_of)
def test_a_right_value_is_built(annotation: Any, value: Any, expected: Any) -> None:
    spec = spec_of(annotation)
    assert [str(fault) for fault in spec.faults(value, "p", Scope())] == []
    built = spec.build(value, "p", Scope())
    assert built == expected
    assert type(built) is type(expected)
    assert spec.resembles(value)


def test_equal_items_have_equal_types() -> None:
    """`1 == 1.0 == True`, so equality alone would not see a value of the wrong type."""
    (built,) = spec_of(list[float]).build([1], "", Scope())
    assert type(built) is float
    ((first, second),) = spec_of(set[tuple[int, float]]).build([[1, 2]], "", Scope())
    assert (type(first), type(second)) == (int, float)


BAD: list[Any] = [
    (int, True, ["p: expected int, found true"]),
    (int, 3.0, ["p: expected int, found 3.0"]),
    (int, "3", ['p: expected int, found "3"']),
    (int, None, ["p: expected int, found null"]),
    (float, "fast", ['p: expected float, found "fast"']),
    (float, "1e-3", ['p: expected float, found "1e-3"']),
    (float, False, ["p: expected float, found false"]),
    pytest.param(float, 10**400, ["p: expected float, found 1" + "0" * 56 + "..."], id="huge"),
    (str, 3, ["p: expected str, found 3"]),
    (bool, 1, ["p: expected bool, found 1"]),
    (bool, "True", ['p: expected bool, found "True"']),
    (None, 0, ["p: expected null, found 0"]),
    (int | None, "x", ['p: expected int or null, found "x"']),
    (Optional[typing.List[int]], ["x"], ['p.0: expected int, found "x"']),
    (
        Literal["mean", "sum"],
        "men",
        ['p: expected "mean" or "sum", found "men"; did you mean "mean"?'],
    ),
    (Literal[1], True, ["p: expected 1, found true"]),
    (Literal[1], 1.0, ["p: expected 1, found 1.0"]),
    (Literal["a"], ["a"], ['p: expected "a", found ["a"]']),
    (Mode, "linar", ['p: expected "linear" or "nearest", found "linar"; did you mean "linear"?']),
    (Mode, 3, ['p: expected "linear" or "nearest", found 3']),
    (Level, True, ['p: expected "LOW" or "HIGH", found true']),
    (Level, "LOWW", ['p: expected "LOW" or "HIGH", found "LOWW"; did you mean "LOW"?']),
    (Corner, [0, 0], ['p: expected "TOP" or "BOTTOM", found [0, 0]']),
    (Path, 3, ["p: expected a path, found 3"]),
    (
        re.Pattern[str],
        "a(",
        [
            'p: expected a regular expression, found "a(": '
            "missing ), unterminated subpattern at position 1"
        ],
    ),
    (
        re.Pattern[str],
        "a{99999999999}",
        [
            'p: expected a regular expression, found "a{99999999999}": '
            "the repetition number is too large"
        ],
    ),
    (re.Pattern[str], ["a"], ['p: expected a regular expression, found ["a"]']),
    (list[int], 3, ["p: expected list of int, found 3"]),
    (list[int], "ab", ['p: expected list of int, found "ab"']),
    (list[int | str], 3, ["p: expected list of (int or str), found 3"]),
    (list[Literal["a"]], 3, ['p: expected list of "a", found 3']),
    (dict[str, Mode], 3, ['p: expected an object of ("linear" or "nearest"), found 3']),
    (
        list[tuple[int | str]],
        3,
        ["p: expected list of a list of exactly 1 (int or str), found 3"],
    ),
    (list[str], {"a": 1}, ['p: expected list of str, found {"a": 1}']),
    (list[int], [1, "a", None], ['p.1: expected int, found "a"', "p.2: expected int, found null"]),
    (tuple[int, int], [1], ["p: expected a list of exactly 2 (int, int), found 1 value: [1]"]),
    (
        tuple[int, int],
        [1, 2, 3],
        ["p: expected a list of exactly 2 (int, int), found 3 values: [1, 2, 3]"],
    ),
    (tuple[int, int], 3, ["p: expected a list of exactly 2 (int, int), found 3"]),
    (tuple[str, str], "ab", ['p: expected a list of exactly 2 (str, str), found "ab"']),
    (tuple[int, str], ["a", "b"], ['p.0: expected int, found "a"']),
    (tuple[int, ...], [1, "x"], ['p.1: expected int, found "x"']),
    (tuple[int, ...], 1, ["p: expected list of int, found 1"]),
    (tuple[()], [1], ["p: expected a list of exactly 0 (), found 1 value: [1]"]),
    (set[int], [1, 2, 1], ["p: expected distinct values, found [1, 2, 1]"]),
    (set[Any], [[1], 2], ["p.0: expected a value without parts, found [1]"]),
    (frozenset[str], [1], ["p.0: expected str, found 1"]),
    (set[int], "abc", ['p: expected set of int, found "abc"']),
    (dict[str, int], [1], ["p: expected an object of int, found [1]"]),
    (dict[str, int], {"a": "x", "b": 1}, ['p.a: expected int, found "x"']),
    (dict[int, int], {"one": 1}, ['p.one: the key: expected int, found "one"']),
    (
        dict[int, int],
        {"01": 1, "1_0": 1},
        [
            'p.01: the key: expected int, found "01"',
            'p.1_0: the key: expected int, found "1_0"',
        ],
    ),
    (dict[float, int], {"0.5": 1, "5e-1": 2}, ["p.5e-1: the key: means the same as another one"]),
    (
        dict[Literal["train", "test"], int],
        {"tran": 1},
        ['p.tran: the key: expected "train" or "test", found "tran"; did you mean "train"?'],
    ),
    (dict[str, list[int]], {"a": ["x"]}, ['p.a.0: expected int, found "x"']),
    (Point, 3, ["p: expected an object with x, y, found 3"]),
    (Point, {}, ["p.x: missing key, expected int"]),
    (Point, {"x": 1, "z": 2}, ["p.z: unknown key; known here: x, y"]),
    (Point, {"x": 1, "yy": 2}, ['p.yy: unknown key; did you mean "y"?']),
    (
        Box,
        {"area": 2, "corners": [{"x": 1}], "names": {"a": {"x": "b"}}},
        [
            "p.area: unknown key; known here: corners, tags, names",
            "p.corners: expected a list of exactly 2 (an object with x, y, an object with x, y), "
            'found 1 value: [{"x": 1}]',
            'p.names.a: the key: expected int, found "a"',
            'p.names.a.x: expected int, found "b"',
        ],
    ),
    (Plain, "size", ['p: expected a Plain (an object), found "size"']),
    (Plain, {"size": "x"}, ['p.size: expected int, found "x"']),
    (Size, "x", ['p: expected int or a list of exactly 2 (int, int), found "x"']),
    (Pixels, "x", ['p: expected int, found "x"']),
    (NewStyle, "x", ['p: expected list of int, found "x"']),
    (BoundT, "x", ['p: expected int, found "x"']),
    (
        Callable[[int], int],
        "len",
        ['p: expected a Callable object (from Python code only), found "len"'],
    ),
    (type[Plain], "Plain", ['p: expected a type object (from Python code only), found "Plain"']),
    (Shape, {"a": 1}, ['p: expected a Shape object (from Python code only), found {"a": 1}']),
    (complex, "1j", ['p: expected a complex object (from Python code only), found "1j"']),
]


@pytest.mark.parametrize(("annotation", "value", "messages"), BAD, ids=name_of)
def test_a_wrong_value_is_told(annotation: Any, value: Any, messages: list[str]) -> None:
    assert [str(fault) for fault in spec_of(annotation).faults(value, "p", Scope())] == messages


def test_a_post_init_that_refuses_is_a_fault_with_its_place() -> None:
    from allencv_al.common import ConfigurationError

    with pytest.raises(ConfigurationError, match=r"p\.factor: expected a positive number"):
        spec_of(Scaled).build({"value": 1, "factor": -1}, "p", Scope())


def test_what_goes_anywhere_is_a_copy() -> None:
    value = {"a": [1]}
    built = spec_of(Any).build(value, "", Scope())
    built["a"].append(2)
    assert value == {"a": [1]}


def test_a_lazy_annotation_checks_what_is_inside() -> None:
    spec = spec_of(Lazy[Plain])
    assert [str(f) for f in spec.faults({"size": "x"}, "p", Scope())] == [
        'p.size: expected int, found "x"'
    ]
    assert spec_of(Lazy).build({"a": 1}, "p", Scope()).construct() == {"a": 1}


def test_every_kind_says_what_it_is() -> None:
    said = {str(spec_of(annotation)) for annotation, *_ in GOOD}
    assert "anything" in said and "list of int" in said and '"a" or "b"' in said
    assert not any("Spec" in text or "<" in text for text in said)
    assert (
        str(spec_of(Union[Path, str, re.Pattern[str]])) == "a path or str or a regular expression"
    )
    assert str(spec_of(float | None | float)) == "float or null"


def test_null_is_named_once_for_an_optional_number_within_limits() -> None:
    optional = Annotated[float | None, Le(1)]
    assert str(spec_of(optional | None)) == "float <= 1 or null"
    assert str(spec_of(optional | None)) == str(spec_of(optional))
