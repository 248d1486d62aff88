"""Random annotations and random values: the check, the building and a plain oracle agree."""

from __future__ import annotations

import copy
import enum
import json
import random
import re
import types
import typing
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jsonschema  # type: ignore[import-untyped,unused-ignore]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allencv_al.common import FromParams, Lazy, Params, Registrable
from allencv_al.common.config.config_check import check
from allencv_al.common.config.sources.jsonnet_file import apply_overrides
from allencv_al.common.config.specs.annotations import spec_of
from allencv_al.common.config.specs.type_specs import Scope
from allencv_al.common.errors import ConfigurationError, Fault


class Mode(enum.Enum):
    ONE = "one"
    TWO = "two"


@dataclass(frozen=True)
class Point:
    x: int
    y: float = 0.5


class Shape(Registrable):
    default_implementation = "dot"


@Shape.register("dot")
class Dot(Shape):
    def __init__(self, at: Point | None = None) -> None:
        self.at = at


@Shape.register("ring")
class Ring(Shape):
    def __init__(self, size: int, inner: Shape | None = None) -> None:
        self.size = size
        self.inner = inner


# --- annotations and values -----------------------------------------------------------------------

CHOICE: Any = Literal["a", 1, None]
LEAVES: list[Any] = [int, float, str, bool, None, Path, Mode, re.Pattern[str], CHOICE, Any]
HASHABLE: list[Any] = [int, str, bool, Mode, tuple[int, str], Literal["a", "b"]]


def generic(origin: Any, *items: Any) -> Any:
    """Return `origin[items]`."""
    return origin[items[0] if len(items) == 1 else items]


annotation_trees = st.recursive(
    st.sampled_from([*LEAVES, Point, Shape, Ring]),
    lambda inner: st.one_of(
        inner.map(lambda item: generic(list, item)),
        inner.map(lambda item: generic(tuple, item, ...)),
        st.lists(inner, max_size=3).map(lambda items: generic(tuple, *items)),
        inner.map(lambda item: generic(dict, str, item)),
        inner.map(lambda item: generic(dict, int, item)),
        st.sampled_from(HASHABLE).map(lambda item: generic(set, item)),
        st.lists(inner, min_size=2, max_size=3).map(lambda items: generic(typing.Union, *items)),
    ),
    max_leaves=6,
)

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.floats(-2, 2),
    st.sampled_from(["", "a", "one", "ONE", "dot", "ring", "1", "(", "x/y"]),
)
KEYS = ["a", "1", "-2", "01", "x", "y", "type", "size", "inner", "at"]
json_values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    ),
    max_leaves=8,
)
SIMPLE: dict[Any, Any] = {
    int: st.integers(-3, 3),
    float: st.floats(-2, 2) | st.integers(-3, 3),
    str: st.sampled_from(["", "a", "dot"]),
    bool: st.booleans(),
    None: st.none(),
    type(None): st.none(),
    Path: st.just("x/y"),
    Mode: st.sampled_from(["one", "TWO"]),
    re.Pattern[str]: st.just("^a"),
    Any: json_values,
    Point: st.fixed_dictionaries({"x": st.integers(0, 9)}, optional={"y": st.floats(0, 1)}),
    Ring: st.fixed_dictionaries({"size": st.integers(0, 9)}),
    Shape: st.sampled_from(["dot", {}, {"at": {"x": 1}}, {"type": "ring", "size": 2}]),
}


def values_of(annotation: Any) -> st.SearchStrategy[Any]:
    """Return JSON values that are right for an annotation."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    found: st.SearchStrategy[Any]
    if annotation in SIMPLE:
        found = SIMPLE[annotation]
    elif origin is Literal:
        found = st.sampled_from(arguments)
    elif origin in (typing.Union, types.UnionType):
        found = st.one_of(*(values_of(option) for option in arguments))
    elif origin is tuple and not is_variable(arguments):
        found = st.tuples(*(values_of(item) for item in arguments)).map(list)
    elif origin is dict:
        keys = st.sampled_from(["1", "-2", "7"] if arguments[0] is int else ["a", "b"])
        found = st.dictionaries(keys, values_of(arguments[1]), max_size=3)
    else:
        unique = json.dumps if origin is set else None
        found = st.lists(values_of(arguments[0]), max_size=3, unique_by=unique)
    return found


def is_variable(arguments: tuple[Any, ...]) -> bool:
    return len(arguments) == 2 and arguments[1] is ...


@st.composite
def cases(draw: st.DrawFn) -> tuple[Any, Any]:
    """Return an annotation with a right value, a damaged one, or any."""
    annotation = draw(annotation_trees)
    source = draw(st.sampled_from(["right", "damaged", "any"]))
    if source == "any":
        return annotation, draw(json_values)
    value = draw(values_of(annotation))
    return annotation, (damaged(draw, value) if source == "damaged" else value)


def damaged(draw: st.DrawFn, value: Any) -> Any:
    """Replace one part of a value by something else."""
    if isinstance(value, list) and value and draw(st.booleans()):
        index = draw(st.integers(0, len(value) - 1))
        return [*value[:index], damaged(draw, value[index]), *value[index + 1 :]]
    if isinstance(value, dict) and value and draw(st.booleans()):
        key = draw(st.sampled_from(sorted(value)))
        return {**value, key: damaged(draw, value[key])}
    return draw(json_values)


# --- the oracle -----------------------------------------------------------------------------------

NUMBER = r"0|-?[1-9][0-9]*"


def admits(annotation: Any, value: Any) -> bool:
    """Say whether a JSON value is right, in the plainest way there is."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return any(type(value) is type(choice) and value == choice for choice in arguments)
    if origin in (typing.Union, types.UnionType):
        return any(admits(option, value) for option in arguments)
    if origin is dict:
        right = isinstance(value, dict) and all(admits(arguments[1], v) for v in value.values())
        return right and (arguments[0] is str or all(re.fullmatch(NUMBER, key) for key in value))
    if origin is tuple and not is_variable(arguments):
        right = isinstance(value, list) and len(value) == len(arguments)
        return right and all(map(admits, arguments, value))
    if origin in (list, set, tuple):
        if not isinstance(value, list) or not all(admits(arguments[0], item) for item in value):
            return False
        return origin is not set or len(set(map(json.dumps, value))) == len(value)
    return admits_scalar(annotation, value)


def admits_scalar(annotation: Any, value: Any) -> bool:
    if annotation is Any:
        return True
    if annotation in (int, str, bool):
        return type(value) is annotation
    if annotation is float:
        return type(value) in (int, float)
    if annotation in (None, type(None)):
        return value is None
    if annotation is Path:
        return isinstance(value, str)
    if annotation is Mode:
        return value in ("one", "two", "ONE", "TWO")
    if annotation == re.Pattern[str]:
        return isinstance(value, str) and value != "("
    return admits_object(annotation, value)


def admits_object(cls: Any, value: Any) -> bool:
    if cls is Shape and isinstance(value, str):
        value = {"type": value}
    if not isinstance(value, dict):
        return False
    value = dict(value)
    if cls is Shape:
        name = value.pop("type", "dot")
        cls = {"dot": Dot, "ring": Ring}.get(name) if isinstance(name, str) else None
    fields: dict[Any, tuple[dict[str, Any], set[str]]] = {
        Point: ({"x": int, "y": float}, {"x"}),
        Dot: ({"at": Point | None}, set()),
        Ring: ({"size": int, "inner": Shape | None}, {"size"}),
    }
    if cls not in fields:
        return False
    known, required = fields[cls]
    right = required <= set(value) <= set(known)
    return right and all(admits(known[name], inner) for name, inner in value.items())


def holds(annotation: Any, value: Any) -> bool:
    """Say whether a built value is of the type that the annotation says."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is Any:
        return True
    if origin is Literal:
        return value in arguments
    if origin in (typing.Union, types.UnionType):
        return any(holds(option, value) for option in arguments)
    if origin is dict:
        keys, inner = arguments
        return type(value) is dict and all(
            holds(keys, key) and holds(inner, item) for key, item in value.items()
        )
    if origin is tuple and not is_variable(arguments):
        return type(value) is tuple and all(map(holds, arguments, value))
    if origin in (list, set, tuple):
        return type(value) is origin and all(holds(arguments[0], item) for item in value)
    if annotation is None:
        return value is None
    kind: Any = origin or annotation
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool))


@given(cases())
@settings(max_examples=600, deadline=None)
def test_no_faults_means_that_it_can_be_built_and_is_of_its_type(case: tuple[Any, Any]) -> None:
    annotation, value = case
    spec = spec_of(annotation)
    before = copy.deepcopy(value)
    faults = list(spec.faults(value, "root", Scope()))
    assert (not faults) == admits(annotation, value)
    assert all(isinstance(fault, Fault) and fault.path.startswith("root") for fault in faults)
    if not faults:
        assert spec.resembles(value) and not spec.rules_out(value)
        assert holds(annotation, spec.build(value, "root", Scope()))
    assert value == before


@given(cases())
@settings(max_examples=150, deadline=None)
def test_params_at_any_depth_are_the_same_as_dicts(case: tuple[Any, Any]) -> None:
    def wrapped(value: Any) -> Any:
        if isinstance(value, dict):
            return Params({key: wrapped(inner) for key, inner in value.items()})
        return [wrapped(inner) for inner in value] if isinstance(value, list) else value

    annotation, value = case
    spec = spec_of(annotation)
    assert list(spec.faults(wrapped(value), "p", Scope())) == list(spec.faults(value, "p", Scope()))


@given(cases())
@settings(max_examples=150, deadline=None)
def test_the_schema_admits_what_the_check_admits(case: tuple[Any, Any]) -> None:
    annotation, value = case
    definitions: dict[str, Any] = {}
    schema = spec_of(annotation).json_schema(definitions)
    is_valid = jsonschema.Draft202012Validator({**schema, "$defs": definitions}).is_valid(value)
    text = json.dumps(value)
    if admits(annotation, value):
        assert is_valid
    elif "(" not in text and "." not in text:
        assert not is_valid  # a schema knows no broken regex, and 1.0 is an integer to it


# --- a whole config, with parts of it confused ----------------------------------------------------


class Part(Registrable):
    injected = ("vocab",)


@Part.register("a")
class PartA(Part):
    def __init__(
        self,
        vocab: Any,
        size: int,
        inner: Part | None = None,
        pair: tuple[int, float] = (0, 0.0),
        pattern: re.Pattern[str] | None = None,
    ) -> None: ...


@Part.register("b")
class PartB(Part):
    def __init__(
        self,
        parts: list[Part],
        later: Lazy[Part] | None = None,
        by_name: dict[int, Part] | None = None,
        mode: Mode | Literal["auto"] = "auto",
    ) -> None: ...


class Whole(FromParams):
    def __init__(
        self,
        part: Part,
        points: set[str] | Point | list[Point] | None = None,
        path: Path | None = None,
        rates: tuple[float, ...] | float = 0.0,
    ) -> None: ...


CONFIG: dict[str, Any] = {
    "part": {
        "type": "b",
        "parts": [
            {"type": "a", "size": 1, "pair": [1, 2.5], "pattern": "^x"},
            {"type": "a", "size": 2, "inner": {"type": "a", "size": 3}},
        ],
        "later": {"type": "a", "size": 4},
        "by_name": {"1": {"type": "b", "parts": []}},
        "mode": "one",
    },
    "points": [{"x": 1}, {"x": 2, "y": 3}],
    "path": "images",
    "rates": [0.1, 1],
}

ODD_VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    1.5,
    10**400,
    float("nan"),
    "",
    "a",
    "x" * 10_000,
    "\x00\udcff",
    "((",
    "a{99999999999}",
    [],
    [[]],
    [None],
    {},
    {"": {}},
    {"type": None},
    {"type": "a.b.C"},
    {"type": ["a"]},
    {"_pretrained": 3},
    {"1": 1, "01": 1},
    {"type": "b", "parts": [{"type": "b", "parts": "a"}]},
    Path("x"),
    b"bytes",
    object(),
    {1: 2, None: 3, (1,): 4},
]


def places(value: Any, prefix: str = "") -> list[str]:
    """Return the path of every part of a config."""
    found: list[str] = []
    if isinstance(value, (dict, list)):
        for key in value if isinstance(value, dict) else range(len(value)):
            found += [f"{prefix}{key}", *places(value[key], f"{prefix}{key}.")]
    return found


def test_the_config_itself_is_right() -> None:
    assert check(Whole, CONFIG) == []


def test_the_check_of_a_confused_config_yields_faults_and_raises_nothing(
    cpu_seconds: Callable[[], float],
) -> None:
    """Every odd value at every place, and then random triples of them."""
    spots = places(CONFIG)
    changes = [{spot: odd} for spot in spots for odd in ODD_VALUES]
    pick = random.Random(0).choice
    while len(changes) < 3_000:
        changes.append({pick(spots): pick(ODD_VALUES) for _ in range(3)})
    started = cpu_seconds()
    told = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for change in changes:
            try:
                config = apply_overrides(CONFIG, change)
            except ConfigurationError:
                continue  # one change took away the place of another
            faults = check(Whole, config)
            told += len(faults)
            assert all(len(fault.message) < 1000 for fault in faults)
            if not faults:
                Whole.from_params(config, vocab=1)
    assert told > 2_000
    assert cpu_seconds() - started < 20


@pytest.mark.parametrize("odd", ODD_VALUES, ids=lambda odd: ascii(odd)[:20])
def test_ten_thousand_overrides_with_the_same_odd_value(
    odd: Any, cpu_seconds: Callable[[], float]
) -> None:
    config = {**CONFIG, "extra": {}}
    spots = [f"extra.k{i}" for i in range(5_000)] + [f"k{i}" for i in range(5_000)]
    started = cpu_seconds()
    changed = apply_overrides(config, dict.fromkeys(spots, odd))
    assert len(check(Whole, changed)) == 5_001
    assert cpu_seconds() - started < 20
