from __future__ import annotations

import copy
import importlib
import logging
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import pytest
import torch
from annotated_types import Ge, Gt, MinLen

from allencv_al.common import ConfigurationError, FromParams, Lazy, Params, Registrable
from allencv_al.common.config.config_check import ConfigView, Fault, check
from allencv_al.common.errors import ConfigurationFaults


class Part(Registrable):
    injected = ("vocab",)


@Part.register("leaf")
class Leaf(Part):
    """A leaf.

    Args:
        size: At least 1.
        vocab: Given.
        hook: What the hook does.
    """

    made: ClassVar[list[int]] = []
    hook: ClassVar[Callable[[ConfigView], Iterator[Fault]] | None] = None

    def __init__(self, size: int, vocab: Any, scale: float = 2.0) -> None:
        self.size = size
        self.vocab = vocab
        self.scale = scale
        self.made.append(size)

    @classmethod
    def config_faults(cls, config: ConfigView) -> Iterator[Fault]:
        if cls.hook is not None:
            yield from cls.hook(config)
        if config.get("size") < 1:  # no look at sound(): a careless hook
            yield config.fault("size", f"expected at least 1, found {config.get('size')}")


@Part.register("box")
class Box(Part):
    def __init__(
        self,
        inner: Part | None = None,
        later: Lazy[Part] | None = None,
        parts: list[Part] | None = None,
        lazy_parts: list[Lazy[Part]] | None = None,
        text: str | Part = "none",
        count: int = 3,
        tags: tuple[str, ...] = ("a", "b"),
    ) -> None:
        self.inner = inner


class Whole(FromParams):
    hook: ClassVar[Callable[[ConfigView], Iterator[Fault]] | None] = None

    def __init__(self, box: Part, name: str = "x", rate: float = 0.1) -> None:
        self.box = box

    @classmethod
    def config_faults(cls, config: ConfigView) -> Iterator[Fault]:
        assert cls.hook is not None
        yield from cls.hook(config)


@pytest.fixture(autouse=True)
def nothing_made() -> Iterator[None]:
    yield
    Leaf.made.clear()


def seen(
    monkeypatch: pytest.MonkeyPatch, config: dict[str, Any], look: Callable[[ConfigView], Any]
) -> Any:
    """Return what a look at the view of a whole config gives, from inside its hook."""
    results = []

    def hook(view: ConfigView) -> Iterator[Fault]:
        results.append(look(view))
        return iter(())

    monkeypatch.setattr(Whole, "hook", staticmethod(hook))
    check(Whole, config)
    (result,) = results
    return result


LEAF = {"type": "leaf", "size": 4}


# --- the view -------------------------------------------------------------------------------------


def test_get_gives_the_raw_value_or_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    def look(view: ConfigView) -> tuple[Any, ...]:
        return view.get("box"), view.get("name"), view.get("rate"), view.get("zzz", 5), view.names

    assert seen(monkeypatch, {"box": LEAF, "rate": "fast"}, look) == (
        LEAF,
        "x",
        "fast",
        5,
        frozenset({"box", "rate"}),
    )


def test_get_of_a_required_argument_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert seen(monkeypatch, {}, lambda view: view.get("box")) is None
    assert seen(monkeypatch, {}, lambda view: view.get("box", 7)) == 7


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"box": LEAF}, {"box": True, "name": True, "rate": True}),
        ({"box": {"type": "leaf", "size": "x"}, "rate": "y"}, {"box": False, "rate": False}),
        ({"name": 3}, {"box": False, "name": False, "rate": True}),
        ({"box": LEAF, "zzz": 1}, {"box": True, "zzz": False, "never": False}),
    ],
)
def test_sound_says_which_arguments_are_right(
    monkeypatch: pytest.MonkeyPatch, config: dict[str, Any], expected: dict[str, bool]
) -> None:
    assert seen(monkeypatch, config, lambda v: {n: v.sound(n) for n in expected}) == expected
    assert seen(monkeypatch, config, lambda v: v.sound(*expected)) is all(expected.values())


def test_child_is_the_view_of_an_object_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    def look(view: ConfigView) -> tuple[Any, ...]:
        box = view.child("box")
        assert box is not None
        later, text = box.child("later"), box.child("text")
        assert later is not None and text is not None
        return (
            (box.cls, box.path, box.sound("later"), box.get("count")),
            (later.cls, later.path, later.get("size"), later.sound("size", "vocab", "scale")),
            (text.cls, text.path, text.sound("size")),
            box.child("inner"),
            box.child("zzz"),
            view.child("name"),
        )

    config = {"box": {"type": "box", "later": LEAF, "text": {"type": "leaf"}, "inner": None}}
    assert seen(monkeypatch, config, look) == (
        (Box, "box", True, 3),
        (Leaf, "box.later", 4, True),
        (Leaf, "box.text", False),
        None,
        None,
        None,
    )


def test_an_unknown_key_has_no_view(monkeypatch: pytest.MonkeyPatch) -> None:
    assert seen(monkeypatch, {"box": LEAF, "zzz": LEAF}, lambda view: view.child("zzz")) is None


def test_children_are_the_views_of_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    def look(view: ConfigView) -> tuple[Any, ...]:
        box = view.child("box")
        assert box is not None
        return tuple(
            [(child.path, child.get("size")) for child in box.children(name)]
            for name in ("parts", "lazy_parts", "text", "tags", "zzz")
        )

    config = {
        "box": {
            "type": "box",
            "parts": [LEAF, {"type": "laef"}, "leaf", 3],
            "lazy_parts": [{"type": "leaf", "size": 1}],
            "text": ["leaf"],
            "tags": "leaf",
            "zzz": ["leaf"],
        }
    }
    assert seen(monkeypatch, config, look) == (
        [("box.parts.0", 4), ("box.parts.2", None)],
        [("box.lazy_parts.0", 1)],
        [],
        [],
        [],
    )


def test_a_wrong_name_or_a_built_object_has_no_view(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ({"type": "laef"}, 3, Leaf(1, None)):
        assert seen(monkeypatch, {"box": value}, lambda view: view.child("box")) is None


def test_build_builds_one_argument_with_what_the_hook_gives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def look(view: ConfigView) -> tuple[Any, ...]:
        box = view.child("box")
        assert box is not None
        return (
            box.build("inner", vocab="v"),
            box.build("later", vocab="w"),
            box.build("tags"),
            box.build("parts"),
        )

    config = {"box": {"type": "box", "inner": LEAF, "later": {"type": "leaf", "size": 5}}}
    inner, later, tags, parts = seen(monkeypatch, config, look)
    assert (inner.size, inner.vocab, later.size, later.vocab) == (4, "v", 5, "w")
    assert (tags, parts) == (("a", "b"), None)
    assert Leaf.made == [4, 5]


def test_a_fault_has_the_path_of_its_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    def look(view: ConfigView) -> list[str]:
        box = view.child("box")
        assert box is not None
        faults = (
            view.fault("", "a"),
            view.fault("x", "b"),
            box.fault("", "c"),
            box.fault("y", "d"),
        )
        return [str(fault) for fault in faults]

    assert seen(monkeypatch, {"box": LEAF}, look) == ["a", "x: b", "box: c", "box.y: d"]


# --- the hook -------------------------------------------------------------------------------------


def faults_of(config: Any) -> list[str]:
    return [str(fault) for fault in check(Box, config)]


def hooked(monkeypatch: pytest.MonkeyPatch, hook: Callable[[ConfigView], Iterator[Fault]]) -> None:
    monkeypatch.setattr(Leaf, "hook", staticmethod(hook))


def test_hooks_speak_for_every_component_wherever_it_stands() -> None:
    bad = {"type": "leaf", "size": 0}
    config = {
        "inner": bad,
        "later": bad,
        "parts": [LEAF, bad],
        "lazy_parts": [bad],
        "text": {"type": "box", "inner": bad},
    }
    assert faults_of(config) == [
        f"{path}.size: expected at least 1, found 0"
        for path in ("inner", "later", "parts.1", "lazy_parts.0", "text.inner")
    ]
    assert Leaf.made == []
    with pytest.raises(ConfigurationFaults, match=r"inner\.size: expected at least 1"):
        Box.from_params({"inner": bad}, vocab=1)


def test_a_careless_hook_does_not_hide_the_fault_it_trips_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.DEBUG):
        assert faults_of({"inner": {"type": "leaf", "size": "x"}, "count": "y"}) == [
            'inner.size: expected int, found "x"',
            'count: expected int, found "y"',
        ]
    assert "config_faults of Leaf at inner" in caplog.text
    assert faults_of({"inner": "leaf"}) == ["inner.size: missing key, expected int"]


def test_a_bug_in_a_hook_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def hook(view: ConfigView) -> Iterator[Fault]:
        raise ZeroDivisionError

    hooked(monkeypatch, hook)
    with pytest.raises(ZeroDivisionError):
        check(Box, {"inner": LEAF})


def test_a_hook_may_raise_what_constructors_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    def hook(view: ConfigView) -> Iterator[Fault]:
        raise ConfigurationError("does not fit")

    hooked(monkeypatch, hook)
    assert faults_of({"inner": LEAF, "zzz": 1}) == [
        "inner: does not fit",
        "zzz: unknown key; known here: inner, later, parts, lazy_parts, text, count, tags",
    ]

    def build(view: ConfigView) -> Iterator[Fault]:
        raise ConfigurationFaults([view.fault("size", "too large"), view.fault("scale", "too odd")])

    hooked(monkeypatch, build)
    assert faults_of({"inner": LEAF}) == ["inner.size: too large", "inner.scale: too odd"]


def test_what_is_told_by_type_is_not_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def hook(view: ConfigView) -> Iterator[Fault]:
        yield view.fault("scale", "expected a positive number")

    hooked(monkeypatch, hook)
    assert faults_of({"inner": {"type": "leaf", "size": 1, "scale": "x"}}) == [
        'inner.scale: expected float, found "x"'
    ]
    assert faults_of({"inner": LEAF}) == ["inner.scale: expected a positive number"]


# --- the check of a whole config ------------------------------------------------------------------


def test_what_is_injected_need_not_be_in_a_config() -> None:
    assert faults_of({"inner": LEAF, "later": LEAF}) == []
    assert faults_of({"inner": {**LEAF, "vocab": 3}}) == []  # but it may be
    with pytest.raises(ConfigurationFaults, match=r"inner\.vocab: missing key"):
        Box.from_params({"inner": LEAF})
    Box.from_params({"later": LEAF})  # will be given when it is built


def test_params_and_mappings_are_checked_alike() -> None:
    config = {"inner": {"type": "leaf", "size": "x"}}
    assert check(Box, Params(config)) == check(Box, config) != []


def test_a_config_that_is_deep_or_contains_itself_is_a_fault() -> None:
    endless: dict[str, Any] = {"type": "box"}
    endless["inner"] = endless
    assert faults_of(endless) == ["the config nests deeper than 64 levels"]


def test_a_config_of_the_wrong_kind_is_a_fault() -> None:
    assert faults_of([]) == ["expected a box (an object), found []"]
    assert faults_of("box") == ['expected a box (an object), found "box"']


def test_ten_thousand_unknown_keys_are_told_at_once(cpu_seconds: Callable[[], float]) -> None:
    config = {f"innes{i}": i for i in range(10_000)}
    started = cpu_seconds()
    faults = faults_of(config)
    assert cpu_seconds() - started < 20
    assert len(faults) == 10_000
    assert faults[0] == 'innes0: unknown key; did you mean "inner"?'
    assert faults[-1] == "innes9999: unknown key"


def test_ten_thousand_wrong_values_are_told_at_once(cpu_seconds: Callable[[], float]) -> None:
    config = {"parts": [{"type": "leaf", "size": "x" * 10_000}] * 5_000, "tags": [1] * 5_000}
    started = cpu_seconds()
    assert len(faults_of(config)) == 10_000
    assert cpu_seconds() - started < 20


def _ordered(low: float, high: float) -> Iterator[tuple[str, str]]:
    if low > high:
        yield "high", f"expected at least low ({low}), found {high}"


class Band(FromParams):
    """A base with a rule."""

    joint_rules = (_ordered,)

    def __init__(
        self,
        low: Annotated[float, Ge(0)] = 0.0,
        high: Annotated[float, Gt(0)] = 1.0,
        names: Annotated[list[str], MinLen(1)] | None = None,
    ) -> None:
        self.low = low
        self.high = high
        self.names = names


class NamedBand(Band):
    """A subclass that passes the rest on."""

    def __init__(self, count: Annotated[int, Ge(1)], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.count = count


class Bare(FromParams):
    """No constructor."""


class Labels(FromParams, tuple[int, ...]):
    """A base with a `__new__` of its own."""


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Band(-1, 0, names=[])
    assert str(caught.value).splitlines() == [
        "low: expected float >= 0, found -1",
        "high: expected float > 0, found 0",
        "names: expected non-empty list of str, found []",
    ]


def test_parameters_of_the_superclass_are_checked_with_the_own() -> None:
    with pytest.raises(ConfigurationError) as caught:
        NamedBand(0, low=-1.0)
    assert [line.partition(":")[0] for line in str(caught.value).splitlines()] == ["count", "low"]


def test_a_rule_sees_defaults_and_only_sound_values() -> None:
    with pytest.raises(
        ConfigurationError, match=r"^high: expected at least low \(2\), found 1\.0$"
    ):
        Band(low=2)
    with pytest.raises(ConfigurationError, match=r"^high: expected float > 0, found -3$"):
        Band(low=2, high=-3)


def test_a_config_hears_the_same_of_a_rule() -> None:
    (fault,) = check(Band, {"low": 2})
    assert str(fault) == "high: expected at least low (2), found 1.0"
    assert [fault.path for fault in check(Band, {"low": 2, "high": -3})] == ["high"]


@pytest.mark.parametrize("value", [np.float32(0.5), np.int64(1), torch.tensor(0.5), 1])
def test_numbers_of_other_libraries_are_taken(value: Any) -> None:
    assert Band(low=value).low is value


def test_numbers_of_numpy_have_limits() -> None:
    with pytest.raises(ConfigurationError, match=r"low: expected float >= 0, found -0\.5"):
        Band(low=np.float32(-0.5))  # type: ignore[arg-type]


def test_copies_and_pickles_are_made_without_a_check() -> None:
    band = Band(low=0.5)
    band.low = -1.0
    assert copy.deepcopy(band).low == pickle.loads(pickle.dumps(band)).low == -1.0


def test_a_class_without_constructor_takes_nothing() -> None:
    Bare()
    with pytest.raises(TypeError, match=r"Bare\(\) takes no arguments"):
        Bare(1)  # type: ignore[call-arg]


def test_arguments_reach_another_new() -> None:
    assert Labels((1, 2)) == (1, 2)


def test_an_object_made_while_its_module_is_imported_does_not_fix_the_signature(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "makes_one_early.py").write_text(
        "from __future__ import annotations\n"
        "from typing import Annotated\n"
        "from annotated_types import Ge\n"
        "from allencv_al.common import FromParams\n"
        "class Early(FromParams):\n"
        "    def __init__(self, size: Annotated[int, Ge(1)], mode: Mode = 'a') -> None:\n"
        "        self.mode = mode\n"
        "ONE = Early(3)\n"
        "Mode = int | str\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    early = importlib.import_module("makes_one_early").Early
    assert check(early, {"size": 1, "mode": 2}) == []
    with pytest.raises(ConfigurationError, match="size: expected int >= 1, found 0"):
        early(0)
