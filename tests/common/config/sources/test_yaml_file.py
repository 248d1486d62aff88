from __future__ import annotations

from pathlib import Path

import pytest

from allencv_al.common.config.sources.yaml_file import read_yaml
from allencv_al.common.errors import ConfigurationError

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 30)
)
MERGES = "a0: &a0 {x: 1, y: 2}\n" + "".join(
    f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}\n" for n in range(1, 30)
)


def fault_of(tmp_path: Path, text: str | bytes) -> str:
    path = tmp_path / "config.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ConfigurationError) as caught:
        read_yaml(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:")
    return message.removeprefix(f"{path}:")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (LAUGHS, "5: expected at most 100,000 values"),
        (MERGES, "6: expected at most 100,000 values"),
        ("a: &a [*a]", "1: an alias stands inside of what it names"),
        ("x: 1\na: &a\n  b: {c: *a}", "2: an alias stands inside of what it names"),
        ("&a {*a : 1}", "1: an alias stands inside"),
        ("[" * 100 + "]" * 100, " expected at most 64 levels"),
        ("[" * 100_000, " expected at most 64 levels"),
        ("a: " + "9" * 5_000, "1: expected numbers of at most 4,000 digits, found 5,000"),
        ("a: 2026-13-45", " month must be in 1..12"),
        ("a: [1", " while parsing a flow sequence"),
        ("a: !!python/object/apply:os.system [ls]", " could not determine a constructor"),
        ("? [1]\n: 2", " while constructing a mapping"),
        ("a: 1\n---\nb: 2", " expected a single document"),
        (b"a: \xff", " expected UTF-8, found the byte 0xff in line 1; save it as UTF-8"),
        ("# " + "x" * 2**20, " expected at most 1,048,576 bytes"),
    ],
)
def test_what_is_no_small_config_is_a_fault(
    tmp_path: Path, text: str | bytes, expected: str
) -> None:
    assert expected in fault_of(tmp_path, text)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.yaml: No such file"):
        read_yaml(tmp_path / "none.yaml")


def test_aliases_and_merges_of_an_ordinary_config_are_read(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        "\ufeffbase: &base {lr: 0.1, size: [8, 8]}\nother: {<<: *base, lr: 0.2}\nsame: *base\n"
    )
    base = {"lr": 0.1, "size": [8, 8]}
    assert read_yaml(path) == {"base": base, "other": {**base, "lr": 0.2}, "same": base}
    path.write_text("")
    assert read_yaml(path) is None


@pytest.mark.parametrize("number", ["1" + ":1" * 100_000, "0x" + "f" * 4_000, "9" * 4_001])
def test_a_number_of_very_many_digits_is_refused(tmp_path: Path, number: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"a: 1\nb: {number}\n")
    with pytest.raises(ConfigurationError, match=r"yaml:2: expected numbers of at most 4,000 dig"):
        read_yaml(path)
    path.write_text(f"a: 1:30\nb: '{number}'\n")
    assert read_yaml(path) == {"a": 90, "b": number}
