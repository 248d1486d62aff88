from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from allencv_al.common import ConfigurationError, Params
from allencv_al.common.errors import ConfigurationFaults


@pytest.fixture
def config(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "config.jsonnet"
        path.write_text(text, encoding="utf-8")
        return path

    return write


NESTED = {"a": 1, "model": {"layers": [{"size": 2}, {"size": 3}, 7], "type": "m"}, "none": None}


# --- files, variables and overrides together ------------------------------------------------------


def test_a_jsonnet_file_becomes_json_values(config: Callable[[str], Path]) -> None:
    params = Params.from_file(
        config("local n = 3; {a: n * 2, 'b': [1e-3, null, true], c+: {d: 1},}")
    )
    assert params.as_dict() == {"a": 6, "b": [0.001, None, True], "c": {"d": 1}}


def test_plain_json_is_a_config_too(config: Callable[[str], Path]) -> None:
    assert Params.from_file(config('{"a": [1, 2.5, "x"]}')).as_dict() == {"a": [1, 2.5, "x"]}


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "windows.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert Params.from_file(path).as_dict() == {"a": 1}


def test_variables_come_from_the_environment(
    config: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAIN_PATH", "/images")
    params = Params.from_file(config('{path: std.extVar("TRAIN_PATH")}'))
    assert params.as_dict() == {"path": "/images"}


def test_a_given_variable_goes_before_the_environment(
    config: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAIN_PATH", "/images")
    path = config('{path: std.extVar("TRAIN_PATH"), all: std.extVar("environment").TRAIN_PATH}')
    assert Params.from_file(path, ext_vars={"TRAIN_PATH": "/mine"}).as_dict() == {
        "path": "/mine",
        "all": "/mine",
    }


def test_overrides_are_jsonnet_with_the_same_variables(config: Callable[[str], Path]) -> None:
    params = Params.from_file(
        config('{"trainer": {"num_epochs": 1}}'),
        '{"trainer.num_epochs": std.parseInt(std.extVar("N")) * 2}',
        {"N": "4"},
    )
    assert params.as_dict() == {"trainer": {"num_epochs": 8}}


@pytest.mark.parametrize("overrides", ["", "  \n"])
def test_an_empty_override_changes_nothing(config: Callable[[str], Path], overrides: str) -> None:
    assert Params.from_file(config('{"a": 1}'), overrides).as_dict() == {"a": 1}


def test_overrides_may_be_a_mapping_with_params_in_it(config: Callable[[str], Path]) -> None:
    params = Params.from_file(config('{"a": 1}'), {"a": Params({"b": 2})})
    assert json.loads(json.dumps(params.as_dict())) == {"a": {"b": 2}}


@pytest.mark.parametrize(
    "text", ['"+:"', '"\\"+:"', "'+:'", '@"+:"', "@'a''+:'", "|||\n  +:\n|||", "/* +: */ 'x'"]
)
def test_a_plus_and_colon_in_a_string_are_text(config: Callable[[str], Path], text: str) -> None:
    params = Params.from_file(config("{}"), f"{{a: {text}}} // +:")
    assert isinstance(params["a"], str)


HINT = re.escape(
    """expected an object such as '{"trainer.num_epochs": 3}', dotted keys in quotes"""
)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ("[1]", r"--overrides: expected an object, found "),
        ('{"a": }', r"--overrides:1:7: unexpected"),
        ('{"b.c": 1}', r"b\.c: matches nothing"),
        ('import "x.json"', "imports are not allowed here"),
        ("{trainer.num_epochs: 3}", HINT),
        ("a=3", HINT),
        ("overrides.json", HINT),
        ("3", HINT),
        ("{a+: {b: 1}}", "dotted keys change single values"),
        ('{"a"+::{b: 1}}', "dotted keys change single values"),
    ],
)
def test_a_wrong_override_says_so(
    config: Callable[[str], Path], overrides: str, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Params.from_file(config('{"a": 1}'), overrides)


def test_the_top_must_be_an_object(config: Callable[[str], Path]) -> None:
    with pytest.raises(ConfigurationError, match=r"config\.jsonnet: expected an object .* list"):
        Params.from_file(config("[1]"))


def test_a_file_that_nests_too_deep_is_refused(config: Callable[[str], Path]) -> None:
    path = config("local f(n) = if n == 0 then {} else {a: f(n - 1)}; f(100)")
    with pytest.raises(ConfigurationError, match="nests deeper than 64"):
        Params.from_file(path)


# --- the mapping ----------------------------------------------------------------------------------


def test_nested_objects_know_where_they_stand() -> None:
    params = Params(NESTED)
    assert params["model"].history == "model"
    assert [getattr(item, "history", item) for item in params["model"]["layers"]] == [
        "model.layers.0",
        "model.layers.1",
        7,
    ]
    assert params.get("model")["layers"][1]["size"] == 3
    assert params.get("absent") is None and params.get("absent", 5) == 5
    assert len(params) == 3 and list(params) == ["a", "model", "none"] and "a" in params
    assert params["none"] is None
    with pytest.raises(KeyError):
        params["absent"]


def test_what_is_set_inside_is_set_in_the_whole() -> None:
    params = Params(NESTED)
    params["model"]["layers"][0]["size"] = 9
    params["model"]["new"] = Params({"x": 1})
    del params["a"]
    assert params.as_dict() == {
        "model": {"layers": [{"size": 9}, {"size": 3}, 7], "type": "m", "new": {"x": 1}},
        "none": None,
    }
    assert NESTED["a"] == 1  # the given dict is not touched


def test_params_of_params_share() -> None:
    params = Params({"a": 1})
    assert Params(params).as_dict() is params.as_dict()


@pytest.mark.parametrize("value", ["text", 5, None, [1]])
def test_only_a_mapping_makes_params(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="expected a mapping, found"):
        Params(value)


def test_a_duplicate_is_independent() -> None:
    params = Params(NESTED, history="here")
    copy = params.duplicate()
    copy["model"]["layers"][0]["size"] = 0
    assert params["model"]["layers"][0]["size"] == 2
    assert copy.history == "here"


def test_params_compare_and_print_as_what_they_hold() -> None:
    assert Params({"a": {"b": 1}}) == {"a": {"b": 1}}
    assert Params({"a": 1}) != {"a": 2}
    assert repr(Params({"a": 1})) == "Params({'a': 1})"


def test_a_value_that_contains_itself_is_refused() -> None:
    endless: dict[str, Any] = {}
    endless["again"] = endless
    with pytest.raises(ConfigurationError, match="nests deeper"):
        Params(endless)


# --- pop and its family ---------------------------------------------------------------------------


def test_pop_removes_and_wraps() -> None:
    params = Params(NESTED)
    model = params.pop("model")
    assert isinstance(model, Params) and model.history == "model"
    assert params.pop("a") == 1 and params.pop("none") is None
    assert params.pop("absent", 3) == 3
    assert params.pop("absent", None) is None
    assert len(params) == 0
    params.assert_empty("Model")


def test_pop_can_leave_a_dict_and_wraps_a_default() -> None:
    assert type(Params(NESTED).pop("model", keep_as_dict=True)) is dict
    default = Params({}, "top").pop("absent", {"x": 1})
    assert isinstance(default, Params) and default.history == "top.absent"


def test_pop_of_a_missing_key_names_it_and_its_place() -> None:
    with pytest.raises(ConfigurationError, match=r'^key "x" is required$'):
        Params({}).pop("x")
    with pytest.raises(ConfigurationError, match=r'key "x" is required in "model\.encoder"'):
        Params({"model": {"encoder": {}}})["model"]["encoder"].pop("x")


@pytest.mark.parametrize(("value", "expected"), [(3, 3), ("12", 12), (None, None)])
def test_pop_int(value: Any, expected: int | None) -> None:
    assert Params({"n": value}).pop_int("n") == expected


@pytest.mark.parametrize("value", [1.5, "1.5", "many", [1], {}, "9" * 5000])
def test_pop_int_refuses(value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"t\.n: expected int, found "):
        Params({"n": value}, "t").pop_int("n")


@pytest.mark.parametrize(("value", "expected"), [(3, 3.0), ("1e-3", 0.001), (None, None)])
def test_pop_float(value: Any, expected: float | None) -> None:
    assert Params({"x": value}).pop_float("x") == expected


@pytest.mark.parametrize("value", ["fast", [1], {}, 10**400])
def test_pop_float_refuses(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="x: expected float, found "):
        Params({"x": value}).pop_float("x")


@pytest.mark.parametrize(
    ("value", "expected"), [(True, True), ("true", True), ("false", False), (None, None)]
)
def test_pop_bool(value: Any, expected: bool | None) -> None:
    assert Params({"b": value}).pop_bool("b") is expected


@pytest.mark.parametrize("value", ["True", 1, "yes", []])
def test_pop_bool_refuses(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="b: expected true or false, found "):
        Params({"b": value}).pop_bool("b")


def test_pop_choice() -> None:
    assert Params({"c": "x"}).pop_choice("c", ["y", "x"]) == "x"
    assert Params({}).pop_choice("c", ["y", "x"], default_to_first_choice=True) == "y"
    with pytest.raises(ConfigurationError, match=r"c: expected one of \['y', 'x'\], found \"z\""):
        Params({"c": "z"}).pop_choice("c", ["y", "x"])
    with pytest.raises(ConfigurationError, match='key "c" is required'):
        Params({}).pop_choice("c", ["y"])


def test_defaults_of_the_pop_family() -> None:
    params = Params({})
    assert params.pop_int("n", 4) == 4
    assert params.pop_float("n", None) is None
    assert params.pop_bool("n", False) is False


def test_assert_empty_lists_what_is_left() -> None:
    with pytest.raises(
        ConfigurationError, match=r'unknown keys for Model at "model": \[.b., .c.\]'
    ):
        Params({"c": 1, "b": 2}, "model").assert_empty("Model")


# --- other forms ----------------------------------------------------------------------------------


def test_the_flat_form_keeps_lists_and_empty_objects() -> None:
    flat = Params({"a": {"b": {"c": 1}, "empty": {}}, "l": [{"x": 1}]}).as_flat_dict()
    assert flat == {"a.b.c": 1, "a.empty": {}, "l": [{"x": 1}]}


def test_a_written_file_reads_data_first_and_type_first(tmp_path: Path) -> None:
    params = Params(
        {
            "trainer": {"z": 1, "type": "t", "a": [{"k": 1, "type": "x"}]},
            "zeta": 0,
            "model": {},
            "dataset_reader": "r",
            "alpha": "ü",
        }
    )
    params.to_file(tmp_path / "config.json")
    text = (tmp_path / "config.json").read_text(encoding="utf-8")
    written = json.loads(text)
    assert list(written) == ["dataset_reader", "model", "trainer", "alpha", "zeta"]
    assert list(written["trainer"]) == ["type", "a", "z"]
    assert list(written["trainer"]["a"][0]) == ["type", "k"]
    assert "ü" in text and text.endswith("\n")
    assert Params.from_file(tmp_path / "config.json") == params


def test_the_hash_does_not_see_the_order() -> None:
    one = Params({"a": 1, "b": {"c": [1, 2], "d": None}})
    other = Params({"b": {"d": None, "c": [1, 2]}, "a": 1})
    assert one.get_hash() == other.get_hash()
    assert len(one.get_hash()) == 64
    assert one.get_hash() != Params({"a": 1, "b": {"c": [2, 1], "d": None}}).get_hash()
    # SHA-256 of {"a": 1}, by sha256sum
    assert Params({"a": 1}).get_hash().startswith("f9d86028c6e0d64e225186f96acb6933")


def test_many_overrides_are_fast_and_all_their_faults_are_told(
    config: Callable[[str], Path], cpu_seconds: Callable[[], float]
) -> None:
    path = config(json.dumps({"trainer": {f"k{i}": i for i in range(10_000)}}))
    right = {f"trainer.k{i}": -i for i in range(10_000)}
    wrong = {f"trainer.k{i}.deeper": 1 for i in range(10_000)}
    started = cpu_seconds()
    assert Params.from_file(path, json.dumps(right))["trainer"]["k9999"] == -9999
    with pytest.raises(ConfigurationFaults) as info:
        Params.from_file(path, json.dumps(wrong))
    assert len(info.value.faults) == 10_000
    assert cpu_seconds() - started < 20


def test_lists_in_lists_hold_params_with_their_place() -> None:
    params = Params({"a": [[{"b": 1}]]})
    inner = params.get("a")[0][0]
    assert (type(inner), inner.history) == (Params, "a.0.0")
    assert params["a"][0][0].pop_int("b") == 1


def test_a_choice_may_be_the_full_name_of_a_class() -> None:
    assert Params({"type": "a.B"}).pop_choice("type", ["x"]) == "a.B"
    with pytest.raises(ConfigurationError, match="expected one of"):
        Params({"type": "a.B"}).pop_choice("type", ["x"], allow_class_names=False)
    with pytest.raises(ConfigurationError, match="expected one of"):
        Params({"type": 3.5}).pop_choice("type", ["x"])


def test_strings_of_the_environment_become_what_they_look_like() -> None:
    params = Params({"a": "1", "b": ["0.5", "TRUE", "x", None], "c": {"d": "false", "e": 2}})
    expected = {"a": 1, "b": [0.5, True, "x", None], "c": {"d": False, "e": 2}}
    assert params.as_dict(infer_type_and_cast=True) == expected
    assert params.as_dict()["a"] == "1"


def test_an_order_can_be_preferred(tmp_path: Path) -> None:
    params = Params({"b": {"z": 1, "type": 2}, "type": 3, "a": 4, "z": 5})
    orders = [["z"], ["type", "b"]]
    assert list(params.as_ordered_dict(orders)) == ["z", "type", "b", "a"]
    assert list(params.as_ordered_dict(orders)["b"]) == ["z", "type"]
    params.to_file(tmp_path / "c.json", preference_orders=orders)
    assert list(json.loads((tmp_path / "c.json").read_text())) == ["z", "type", "b", "a"]


def test_the_marker_of_a_required_key_is_public() -> None:
    with pytest.raises(ConfigurationError, match='key "a" is required'):
        Params({}).pop("a", Params.DEFAULT)
    assert Params({}).get("a", Params.DEFAULT) is None
    assert Params({}).pop("a", None) is None
