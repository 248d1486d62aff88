"""Tables and lists of images, as `predict` and `select` read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from allencv_al.common.files.tables import Row
from allencv_al.data.dataset_readers.image_tables import file_of_row, is_path_table, path_lines


@pytest.mark.parametrize("name", [" a.jpg", "a.jpg ", "a.jpg"])
def test_blanks_belong_to_a_path_if_that_file_is_there(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert file_of_row(Row(1, {"path": name}), tmp_path) == ("a.jpg", tmp_path / name)
    assert file_of_row(Row(1, {"path": "  b.jpg"}), tmp_path) == ("b.jpg", tmp_path / "b.jpg")


def test_an_image_path_starts_at_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / " a.jpg").touch()
    row = Row(1, {"image_path": " a.jpg"})
    assert file_of_row(row, Path("elsewhere")) == ("a.jpg", Path(" a.jpg"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "path: expected the path of an image, found nothing"),
        ({"path": " "}, "path: expected the path of an image, found nothing"),
        ({"path": ["a.jpg"]}, "path: expected a text"),
        ({"image_path": "https://x.org/a.jpg"}, "image_path: .* found the address"),
    ],
)
def test_a_row_without_a_path_says_why(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        file_of_row(Row(1, values), Path())


def test_lists_have_no_header_and_any_line_ends() -> None:
    assert not is_path_table("list.txt", "[2021] a.jpg\nb.jpg\n")
    assert is_path_table("table.txt", "label;path\ncat;a.jpg\n")
    content = b"\xef\xbb\xbfa.jpg\r\n\r\n[1] b.jpg \rc\xff.jpg"
    assert list(path_lines(content)) == [(1, "a.jpg"), (3, "[1] b.jpg"), (4, "c\udcff.jpg")]
