from __future__ import annotations

import copy
from typing import Any

import pytest

from allencv_al.common.config.sources.overrides_text import MOST_HINTS, apply_overrides
from allencv_al.common.errors import ConfigurationFaults

CONFIG = {
    "trainer": {"optimizer": {"type": "adam", "lr": 0.1}, "num_epochs": 5},
    "augmentation": [{"type": "resize", "height": 4}, {"type": "flip"}],
    "empty": [],
    "name": "x",
}


@pytest.mark.parametrize(
    ("overrides", "path", "expected"),
    [
        ({"trainer.optimizer.lr": 1}, ("trainer", "optimizer"), {"type": "adam", "lr": 1}),
        ({"trainer.optimizer": {"type": "sgd"}}, ("trainer", "optimizer"), {"type": "sgd"}),
        ({"trainer": {"a": 1}}, ("trainer",), {"a": 1}),  # replaced whole, not merged
        ({"trainer.patience": None}, ("trainer", "patience"), None),
        ({"new": {"deep": [1]}}, ("new",), {"deep": [1]}),
        ({"augmentation.0.height": 9}, ("augmentation", 0, "height"), 9),
        ({"augmentation.1": "to_gray"}, ("augmentation", 1), "to_gray"),
        ({"augmentation": []}, ("augmentation",), []),
        ({"trainer": {"x": {}}, "trainer.x.y": 3}, ("trainer", "x"), {"y": 3}),
    ],
)
def test_an_override_replaces_what_its_path_names(
    overrides: dict[str, Any], path: tuple[str | int, ...], expected: Any
) -> None:
    found: Any = apply_overrides(CONFIG, overrides)
    for key in path:
        found = found[key]
    assert found == expected


def test_neither_argument_is_changed_nor_shared() -> None:
    before = copy.deepcopy(CONFIG)
    overrides = {"trainer.optimizer": {"type": "sgd"}}
    changed = apply_overrides(CONFIG, overrides)
    changed["trainer"]["optimizer"]["lr"] = 3
    changed["augmentation"].clear()
    assert before == CONFIG
    assert overrides == {"trainer.optimizer": {"type": "sgd"}}


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("trainr.num_epochs", 'the config has no "trainr"; did you mean "trainer"?'),
        ("trainer.optimzer.lr", 'the config has no "trainer.optimzer"; did you mean "optimizer"?'),
        ("nothing.like.it", 'the config has no "nothing"'),
        ("augmentation.2", "the list has items 0 to 1"),
        ("augmentation.2.height", "the list has items 0 to 1"),
        ("augmentation.-1", "the list has items 0 to 1"),
        ("augmentation.first", "the list has items 0 to 1"),
        ("augmentation." + "9" * 5000, "the list has items 0 to 1"),
        ("empty.0", "the list is empty"),
        ("name.x", '"x" holds no keys'),
        ("trainer.num_epochs.x", "5 holds no keys"),
        ("", None),
        ("trainer.", None),
    ],
)
def test_an_override_that_matches_nothing(key: str, message: str | None) -> None:
    if message is None:  # an empty key is a new key, which the check of the config will not know
        apply_overrides(CONFIG, {key: 1})
        return
    with pytest.raises(ConfigurationFaults) as info:
        apply_overrides(CONFIG, {key: 1})
    (fault,) = info.value.faults
    assert (fault.path, fault.message) == (key, f"matches nothing: {message}")


def test_all_overrides_that_match_nothing_are_told_in_their_order() -> None:
    with pytest.raises(ConfigurationFaults) as info:
        apply_overrides(CONFIG, {"z.z": 1, "name": 2, "a.a": 3, "augmentation.7": 4})
    assert [fault.path for fault in info.value.faults] == ["z.z", "a.a", "augmentation.7"]
    assert str(info.value).startswith("3 faults in --overrides:\n  z.z: matches nothing")


def test_of_many_misses_only_the_first_are_compared_with_all_keys() -> None:
    config = {f"key_{i}": i for i in range(1_000)}
    with pytest.raises(ConfigurationFaults) as info:
        apply_overrides(config, {f"kez_{i}.x": i for i in range(1_000)})
    assert len(info.value.faults) == 1_000
    hints = ["did you mean" in fault.message for fault in info.value.faults]
    assert hints == [True] * MOST_HINTS + [False] * (1_000 - MOST_HINTS)


DOTTED = {"groups": {"conv1.weight": {"lr": 1}, "conv1": {"bias": 2}}, "a.b": [{"c.d": 3}]}


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("groups.conv1.weight", {"groups": {"conv1.weight": 9, "conv1": {"bias": 2}}}),
        ("groups.conv1.weight.lr", {"groups": {"conv1.weight": {"lr": 9}, "conv1": {"bias": 2}}}),
        ("groups.conv1.bias", {"groups": {"conv1.weight": {"lr": 1}, "conv1": {"bias": 9}}}),
        ("a.b.0.c.d", {"a.b": [{"c.d": 9}]}),
        ("a.b.0.new", {"a.b": [{"c.d": 3, "new": 9}]}),
        (r"a.b.0.new\.x", {"a.b": [{"c.d": 3, "new.x": 9}]}),
        (r"new\.x", {"new.x": 9}),
    ],
)
def test_names_with_dots_can_be_addressed(key: str, expected: dict[str, Any]) -> None:
    assert apply_overrides(DOTTED, {key: 9}) == {**DOTTED, **expected}


NESTED = {
    "trainer": {"type": "default", "num_epochs": 20, "optimizer": {"type": "sgd", "lr": 0.1}},
    "steps": [{"type": "resize", "height": 8}],
}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            {"trainer": {"num_epochs": 6}},
            "trainer is replaced whole, without its optimizer; to change single values: "
            '{"trainer.num_epochs": 6}',
        ),
        ({"trainer.optimizer": "adam"}, "trainer.optimizer is replaced whole, without its lr"),
        ({"steps.0": {"type": "flip"}}, "steps.0 is replaced whole, without its height"),
    ],
)
def test_what_is_lost_with_a_replaced_object_is_warned_of(
    overrides: dict[str, Any], message: str, caplog: pytest.LogCaptureFixture
) -> None:
    apply_overrides(NESTED, overrides)
    assert f"--overrides: {message}" in caplog.text


@pytest.mark.parametrize(
    "overrides",
    [
        {"trainer.num_epochs": 6},
        {"trainer.optimizer": {"lr": 0.2}},
        {"trainer.optimizer": None},
        {"trainer": {**NESTED["trainer"], "patience": 2}},  # type: ignore[dict-item]
        {"data_loader": {"batch_size": 2}},
    ],
)
def test_nothing_is_warned_of_where_nothing_is_lost(
    overrides: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    apply_overrides(NESTED, overrides)
    assert not caplog.records
