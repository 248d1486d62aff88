"""Paths as they are written, and the files that they mean."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from allencv_al.common.files.paths import (
    absence_hint,
    existing_path,
    expanded,
    path_problem,
    shown_path,
    split_path,
    written_path,
)


@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
@pytest.mark.parametrize("written", ["NFC", "NFD"])
def test_a_path_is_found_in_either_form(tmp_path: Path, on_disk: str, written: str) -> None:
    file = tmp_path / unicodedata.normalize(on_disk, "Bär") / unicodedata.normalize("NFC", "é.png")
    file.parent.mkdir()
    file.write_bytes(b"x")
    path = tmp_path / unicodedata.normalize(written, "Bär/é.png")
    assert existing_path(path).read_bytes() == b"x"
    assert existing_path(tmp_path / "ö.png") == tmp_path / "ö.png"


@pytest.mark.parametrize(
    "text",
    [
        "a b.png",
        "a b.png\r",
        '"a b.png"',
        "“a b.png”",
        "a\u00a0b.png",
        "x\\..\\a b.png",
        "a b.png ",
    ],
)
def test_what_cannot_be_seen_in_a_path_does_not_hide_the_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "a b.png").write_bytes(b"x")
    (tmp_path / "x").mkdir()
    assert written_path(text, tmp_path).read_bytes() == b"x"


def test_a_file_is_taken_under_its_own_name_first(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"plain")
    (tmp_path / "a.png ").write_bytes(b"blank")
    assert written_path("a.png ", tmp_path).read_bytes() == b"blank"


def test_a_file_address_is_a_path(tmp_path: Path) -> None:
    (tmp_path / "a b.png").write_bytes(b"x")
    assert written_path(f"file://{tmp_path}/a%20b.png", tmp_path / "t").read_bytes() == b"x"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("https://x.example/001.png", "found the address https://x.example/001.png"),
        ("s3://b/002.png", "found the address s3://b/002.png"),
        ("C:\\photos\\1.png", "found the Windows path C:"),
        ("a\0b.png", "found a NUL character"),
    ],
)
def test_what_can_be_no_path_is_named(text: str, problem: str) -> None:
    assert problem in (path_problem(text) or "")
    assert path_problem("photos/1.png") is None


def test_a_path_that_leads_nowhere_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    assert absence_hint(f"{tmp_path}/data\r") == (
        f"; it holds a carriage return; did you mean {tmp_path}/data?"
    )
    assert absence_hint("“x”") == "; it holds a curly quote"
    assert absence_hint("x/y") == ""
    assert (
        absence_hint("https://x.example/y")
        == "; it is an address, and no image is fetched from one"
    )
    assert absence_hint("C:\\x") == "; it is a path of Windows"
    assert shown_path("a\r\u00a0") == "a\\r\\xa0"


def test_a_home_that_is_not_there_leaves_the_path_as_it_is() -> None:
    assert expanded("~no-such-user/a.jpg") == Path("~no-such-user/a.jpg")
    assert expanded("~/a.jpg") == Path.home() / "a.jpg"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a/b.csv", ("a/b.csv", None)),
        ("a/b.csv::test", ("a/b.csv", "test")),
        ("a::b/c::test", ("a::b/c", "test")),
        ("a.csv::", ("a.csv::", None)),
        ("::test", ("::test", None)),
    ],
)
def test_the_part_stands_behind_the_last_two_colons(
    text: str, expected: tuple[str, str | None]
) -> None:
    assert split_path(text) == (Path(expected[0]), expected[1])
    assert split_path(Path(text)) == (Path(expected[0]), expected[1])


def test_a_file_of_that_very_name_is_meant_itself(tmp_path: Path):
    (tmp_path / "a::b").touch()
    assert split_path(tmp_path / "a::b") == (tmp_path / "a::b", None)


def test_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert split_path("~/a.csv::test") == (tmp_path / "a.csv", "test")
