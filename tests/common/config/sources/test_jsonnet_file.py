"""Jsonnet files, and overrides of what they say."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import pytest

from allencv_al.common import ConfigurationError
from allencv_al.common.config.sources.jsonnet_file import (
    MOST_HINTS,
    apply_overrides,
    environment_variables,
    evaluate_file,
    evaluate_snippet,
)
from allencv_al.common.errors import ConfigurationFaults


def fault_of(path: Path, **variables: str) -> str:
    with pytest.raises(ConfigurationError) as info:
        evaluate_file(path, variables)
    return str(info.value)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A config's folder, with a secret beside it."""
    (tmp_path / "secret.txt").write_text("canary")
    root = tmp_path / "configs"
    (root / "parts").mkdir(parents=True)
    (root / "parts" / "model.libsonnet").write_text('{name: importstr "name.txt"}')
    (root / "parts" / "name.txt").write_text("resnet")
    return root


# --- syntax and run time faults -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{\n  "lr": 1e-3\n  "p": 2}', ":3:3: expected a comma before next field."),
        ('{"a": 1, "a": 2}', ":1:10: duplicate field: a"),
        ('{["a"]: 1, ["a"]: 2}', ':1:1: duplicate field name: "a"'),
        ("{a: nothing}", ":1:5: Unknown variable: nothing"),
        ('{\n\n a: error "too bad"}', ":3:5: too bad"),
        ('{a: error "two\\nlines"}', ":1:5: two\nlines"),
        ('{\n assert 1 > 2 : "sizes",\n a: 1}', ":2:17: sizes"),
        ("{a: 1e400}", ":1:5: overflow"),
        ("{a: 0 / 0}", ":1:5: division by zero."),
        ("{a: self.a}", ":1:5: max stack frames exceeded."),
        ("local f(x) = f(x + 1); f(1)", ":1:14: max stack frames exceeded."),
        pytest.param("(" * 5000, ":1:501: Exceeded maximum parse depth limit.", id="parentheses"),
        pytest.param("[" * 5000, ":1:501: Exceeded maximum parse depth limit.", id="brackets"),
        ('{"a": "\\ud800"}', ":1:7: Invalid non-BMP Unicode escape in string literal"),
        ("{a: function(x) x}", ":1:5: couldn't manifest function in JSON output."),
        ("", ":1:1: unexpected end of file."),
    ],
)
def test_a_fault_is_told_as_file_line_column(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "my config.jsonnet"
    path.write_text(text)
    assert fault_of(path) == f"{path}{expected}"


def test_a_fault_over_several_lines_is_told_where_it_starts(tmp_path: Path) -> None:
    path = tmp_path / "config.jsonnet"
    path.write_text("{\n  a: (\n    1 +\n    {b: 2}.c\n  )\n}")
    message = fault_of(path)
    assert message.startswith(f"{path}:") and "(" not in message.partition(": ")[0]


def test_a_fault_in_an_imported_file_names_that_file(tree: Path) -> None:
    (tree / "parts" / "broken.libsonnet").write_text("{\n a: }")
    (tree / "config.jsonnet").write_text('import "parts/broken.libsonnet"')
    message = fault_of(tree / "config.jsonnet")
    assert message.startswith(f"{tree / 'parts' / 'broken.libsonnet'}:2:5: unexpected")


@pytest.mark.parametrize("name", ["absent.jsonnet", "."])
def test_a_config_that_is_no_file(tmp_path: Path, name: str) -> None:
    assert fault_of(tmp_path / name) == f"{tmp_path / name}: no such config file"


def test_a_config_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> str:
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "config.jsonnet"
    path.touch()
    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert fault_of(path) == f"{path}: Permission denied"


@pytest.mark.parametrize("content", [b'{"a": "\xff\xfe"}', b'{"a": "\x00"}'])
def test_a_config_that_is_no_text(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "config.jsonnet"
    path.write_bytes(content)
    assert "in line 1; save it as UTF-8" in fault_of(path)


# --- variables ------------------------------------------------------------------------------------


def test_a_missing_variable_says_how_to_give_it(tmp_path: Path) -> None:
    path = tmp_path / "config.jsonnet"
    path.write_text('{train: std.extVar("TRAIN_PATH")}')
    assert fault_of(path) == (
        f"{path}:1:9: undefined external variable: TRAIN_PATH; set it in the environment "
        "(TRAIN_PATH=... before the command) or with -V TRAIN_PATH=..."
    )


def test_a_variable_can_be_optional() -> None:
    text = 'std.get(std.extVar("environment"), "TEST_PATH")'
    assert json.loads(evaluate_snippet("x", text, {})) is None
    assert json.loads(evaluate_snippet("x", text, {"TEST_PATH": "/test"})) == "/test"


def test_a_variable_called_environment_hides_nothing() -> None:
    text = 'std.extVar("environment").A'
    variables = {"A": "1", "environment": "mine"}
    assert json.loads(evaluate_snippet("x", text, variables)) == "1"


def test_a_variable_that_is_no_text_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="x: not a text"):
        evaluate_snippet("x", "1", {"A": "\udcff"})


def test_the_environment_leaves_out_what_is_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOD", "ü")
    monkeypatch.setenv("BAD", "\udcff")
    found = environment_variables()
    assert found["GOOD"] == "ü" and "BAD" not in found


def test_a_value_is_only_ever_text() -> None:
    variables = {"A": '"; std.extVar("B")', "B": "secret"}
    assert json.loads(evaluate_snippet("x", 'std.extVar("A")', variables)) == variables["A"]


# --- imports --------------------------------------------------------------------------------------


def test_imports_reach_the_whole_tree(tree: Path) -> None:
    path = tree / "config.jsonnet"
    path.write_text('{m: import "parts/model.libsonnet", n: importstr "./parts/../parts/name.txt"}')
    assert json.loads(evaluate_file(path, {})) == {"m": {"name": "resnet"}, "n": "resnet"}


def test_imports_go_from_the_importing_file(tree: Path) -> None:
    (tree / "shared.libsonnet").write_text("{x: 1}")
    (tree / "parts" / "up.libsonnet").write_text('import "../shared.libsonnet"')
    path = tree / "config.jsonnet"
    path.write_text('import "parts/up.libsonnet"')
    assert json.loads(evaluate_file(path, {})) == {"x": 1}


def test_a_relative_config_path_imports_from_its_folder(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tree / "config.jsonnet").write_text('import "parts/model.libsonnet"')
    monkeypatch.chdir(tree)
    assert json.loads(evaluate_file("config.jsonnet", {})) == {"name": "resnet"}
    monkeypatch.chdir(tree.parent)
    assert json.loads(evaluate_file("configs/config.jsonnet", {})) == {"name": "resnet"}


@pytest.mark.parametrize("keyword", ["import", "importstr", "importbin"])
@pytest.mark.parametrize(
    "target", ["../secret.txt", "parts/../../secret.txt", "{tmp}/secret.txt", "link", "folder/s"]
)
def test_nothing_outside_the_tree_is_read(tree: Path, keyword: str, target: str) -> None:
    (tree / "link").symlink_to(tree.parent / "secret.txt")
    (tree.parent / "s").write_text("canary")
    (tree / "folder").symlink_to(tree.parent)
    path = tree / "config.jsonnet"
    path.write_text(f'{{a: {keyword} "{target.format(tmp=tree.parent)}"}}')
    message = fault_of(path)
    assert "it lies outside the config's own folder" in message
    assert message.startswith(f"{path}:1:5: couldn't open import")
    assert "canary" not in message


def test_a_sibling_folder_with_the_same_beginning_is_outside(tree: Path) -> None:
    sibling = tree.parent / "configs-other"
    sibling.mkdir()
    (sibling / "x.libsonnet").write_text("{}")
    path = tree / "config.jsonnet"
    path.write_text('import "../configs-other/x.libsonnet"')
    assert "outside" in fault_of(path)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("absent.libsonnet", "No such file or directory"),
        ("parts", "it is not a file"),
        ("pipe", "it is not a file"),
        ("a\\u0000b", "couldn't open import"),
        pytest.param("x" * 5000, "File name too long", id="long"),
    ],
)
def test_an_import_that_cannot_be_read(tree: Path, target: str, message: str) -> None:
    os.mkfifo(tree / "pipe")
    path = tree / "config.jsonnet"
    path.write_text(f'{{a: import "{target}"}}')
    assert message in fault_of(path)


def test_a_circle_of_imports_ends(tree: Path) -> None:
    (tree / "a.libsonnet").write_text('{b: (import "b.libsonnet").a}')
    (tree / "b.libsonnet").write_text('{a: (import "a.libsonnet").b}')
    path = tree / "config.jsonnet"
    path.write_text('(import "a.libsonnet").b')
    assert "max stack frames exceeded" in fault_of(path)


def test_a_snippet_imports_nothing(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    with pytest.raises(ConfigurationError, match="imports are not allowed here"):
        evaluate_snippet("--overrides", 'importstr "parts/name.txt"', {})


# --- texts that compute without end ---------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "std.makeArray(1000000000, function(i) i)",
        "std.length(std.makeArray(1000000000, function(i) i))",
        "std.repeat('x', 10000000000)",
    ],
)
def test_a_text_that_fills_the_memory_is_a_fault(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^x: needs more than 1024 MiB of memory"):
        evaluate_snippet("x", text, {})


def test_a_text_that_computes_for_ever_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("allencv_al.common.config.sources.jsonnet_file.SECONDS", 1)
    with pytest.raises(ConfigurationError, match=r"^x: takes more than 1 s to evaluate"):
        evaluate_snippet("x", "local f(x) = f(x + 1) tailstrict; f(1)", {})


def test_a_result_that_is_too_large_is_a_fault() -> None:
    with pytest.raises(ConfigurationError, match=r"^x: expected at most 4,194,304 characters"):
        evaluate_snippet(
            "x", "local d(s, n) = if n == 0 then s else d(s + s, n - 1); d('x', 23)", {}
        )


@pytest.mark.parametrize(
    ("text", "is_plain"),
    [
        ('{"a": [1, -2.5e-3, true, null], b: \'x\', c+: {d:: 1} + {"e": "local f(x)"}}', True),
        ("// std.repeat\n{ # import\n a /* x */: 1}", False),
        ("// std.repeat\n{ # import\n a: 1 /* f(x) */}", True),
        ("", True),
        ("std.length([1])", False),
        ("local a = 1; a", False),
        ("[a for a in [1]]", False),
        ("{a: self.b, b: 1}", False),
        ("{a: $.b, b: 1}", False),
        ("'%d' % 1", False),
        ('import "x"', False),
        ("2 * 3", False),
        ("{a: truetrue}", False),
        ("{a+: 1, b+:: 1e+5, c: +1, d: [-1]}", True),
        ("{a: --1}", False),
        ("{a: ++1}", False),
        ("{a: +-1}", False),
    ],
)
def test_only_what_computes_nothing_is_evaluated_here(
    text: str, is_plain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> dict[str, str]:
        raise AssertionError("a process was started")

    monkeypatch.setattr("allencv_al.common.config.sources.jsonnet_file._run", refuse)
    if is_plain:
        try:
            evaluate_snippet("x", text, {})
        except ConfigurationError:
            assert text == ""
    else:
        with pytest.raises(AssertionError, match="a process was started"):
            evaluate_snippet("x", text, {})


def test_a_row_of_signs_is_a_fault_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("allencv_al.common.config.sources.jsonnet_file.SECONDS", 1)
    for sign in "+-":
        with pytest.raises(ConfigurationError, match=r"^x: takes more than 1 s to evaluate"):
            evaluate_snippet("x", f"{{a: {sign * 300_000}1}}", {})


def test_a_message_does_not_repeat_the_whole_file() -> None:
    with pytest.raises(ConfigurationError, match=r"^x:1:2: expected one of .* \.\.\.$") as caught:
        evaluate_snippet("x", f"{{a{':' * 100_000}1}}", {})
    assert len(str(caught.value)) < 3_000


def test_traces_are_shown(capfd: pytest.CaptureFixture[str]) -> None:
    assert evaluate_snippet("x", 'std.trace("here I am", 1)', {}) == "1\n"
    assert "here I am" in capfd.readouterr().err


# --- text -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_config_of_notepad_is_read(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "c.jsonnet").write_bytes("{\r\n// café\r\na: 'é'}\r\n".encode(encoding))
    assert json.loads(evaluate_file(tmp_path / "c.jsonnet", {})) == {"a": "é"}


def test_a_config_in_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / "c.jsonnet").write_bytes(b"{\n// caf\xe9\n}")
    fault = f"{tmp_path / 'c.jsonnet'}: expected UTF-8, found the byte 0xe9 in line 2; "
    assert fault_of(tmp_path / "c.jsonnet").startswith(fault)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("{“a”: 1}", r"x:1:2: found .*: \\u201c \(LEFT DOUBLE QUOTATION MARK\)"),
        ("{\n é: 1,\u00a0b: std.length('a')}", r"x:2:2: found .*: \\xe9 \(LATIN SMALL LETTER E"),
        ("{\u00a0a: 1}", r"x:1:2: found .*: \\xa0 \(NO-BREAK SPACE\)"),
        ("{a: '\ud800'}", r"x: not a text: found '\\ud800'"),
    ],
)
def test_a_character_that_has_no_place_is_shown(text: str, shown: str) -> None:
    with pytest.raises(ConfigurationError, match=shown):
        evaluate_snippet("x", text, {})


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
