from __future__ import annotations

from pathlib import Path

import pytest

from allencv_al.data.dataset_readers.split_path import split_path


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
def test_the_part_stands_behind_the_last_two_colons(text: str, expected: tuple[str, str | None]):
    assert split_path(text) == (Path(expected[0]), expected[1])
    assert split_path(Path(text)) == (Path(expected[0]), expected[1])


def test_a_file_of_that_very_name_is_meant_itself(tmp_path: Path):
    (tmp_path / "a::b").touch()
    assert split_path(tmp_path / "a::b") == (tmp_path / "a::b", None)


def test_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert split_path("~/a.csv::test") == (tmp_path / "a.csv", "test")
