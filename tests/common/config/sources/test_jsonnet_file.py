from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from allencv_al.common import ConfigurationError
from allencv_al.common.config.sources.jsonnet_file import (
    environment_variables,
    evaluate_file,
    evaluate_snippet,
)


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
