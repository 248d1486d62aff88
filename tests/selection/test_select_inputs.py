"""What `select` chooses from."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from fixtures.table_files import write

from allencv_al.common.errors import DataError
from allencv_al.data.instance import Instance
from allencv_al.selection.select_inputs import read_pool, separate


def found(pool: list[Instance]) -> list[tuple[str, str]]:
    return [(item.id, str(item.image)) for item in pool]


def test_a_folder_is_read_at_any_depth_in_sorted_order(photos: Path) -> None:
    assert found(read_pool("photos")) == [
        ("a-.webp", "photos/a-.webp"),
        ("a/1.jpg", "photos/a/1.jpg"),
        ("a/2.PNG", "photos/a/2.PNG"),
        ("b.jpg", "photos/b.jpg"),
    ]
    assert {item.label for item in read_pool(str(photos))} == {None}


def test_a_pool_without_labels_is_no_cause_for_a_warning(
    photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert len(read_pool(write("t.csv", "path", "photos/b.jpg"))) == 1
    assert "label" not in caplog.text


def test_a_table_is_read_as_the_manifest_reader_does(photos: Path) -> None:
    Path("tables").mkdir()
    table = write("tables/t.csv", "path;label;id", "../photos/b.jpg;;one", "../photos/a/1.jpg;cat;")
    pool = read_pool(table)
    assert found(pool) == [
        ("one", "tables/../photos/b.jpg"),
        ("../photos/a/1.jpg", "tables/../photos/a/1.jpg"),
    ]
    assert [item.label for item in pool] == [None, "cat"]
    lines = write("tables/t.jsonl", {"path": "../photos/b.jpg", "id": "one"})
    assert found(read_pool(lines)) == found(pool)[:1]
    assert found(read_pool(write("photos/t.txt", "path,label", "b.jpg,"))) == [
        ("b.jpg", "photos/b.jpg")
    ]


def test_a_table_with_paths_of_the_current_folder_and_one_from_excel(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("tables").mkdir()
    expected = [("photos/b.jpg", "photos/b.jpg")]
    for name in ("tables/t.csv", "tables/t.txt"):
        assert found(read_pool(write(name, "label;Image_Path", ";photos/b.jpg"))) == expected
    content = io.BytesIO(b"path,label\nphotos/b.jpg,\n")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(content, encoding="utf-8"))
    assert found(read_pool("-")) == expected
    for text in ("path;label\r\nb.jpg;\r\n", "sep=;\r\npath;label\r\nb.jpg;\r\n"):
        Path("photos/excel.txt").write_bytes(text.encode("utf-8-sig"))
        assert found(read_pool("photos/excel.txt")) == [("b.jpg", "photos/b.jpg")]


def test_one_split_of_a_table(photos: Path) -> None:
    write("t.csv", "path,split", "photos/b.jpg,train", "photos/a/1.jpg,test")
    assert found(read_pool("t.csv::test")) == [("photos/a/1.jpg", "photos/a/1.jpg")]


def test_json_lines_start_at_the_current_folder_as_in_predict(photos: Path) -> None:
    Path("tables").mkdir()
    lines = write(
        "tables/t.jsonl",
        {"image_path": "photos/b.jpg"},
        "",
        {"image_path": "photos/a/1.jpg", "id": 7, "label": "cat"},
    )
    pool = read_pool(lines)
    assert found(pool) == [("photos/b.jpg", "photos/b.jpg"), ("7", "photos/a/1.jpg")]
    assert [item.label for item in pool] == [None, "cat"]


def test_a_list_of_files_on_stdin_or_in_a_file(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [("photos/b.jpg", "photos/b.jpg"), ("photos/a/1.jpg", "photos/a/1.jpg")]
    listed = write("list.txt", "photos/b.jpg", "", "photos/a/1.jpg\r")
    assert found(read_pool(listed)) == expected
    content = io.BytesIO(b"\xef\xbb\xbf" + Path(listed).read_bytes())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(content, encoding="utf-8"))
    assert found(read_pool("-")) == expected


def test_names_that_are_not_utf_8_are_found_and_have_an_id_that_is(photos: Path) -> None:
    name = b"photos/caf\xe9.jpg"
    Path(os.fsdecode(name)).touch()
    Path("list.txt").write_bytes(name + b"\n")
    listed = read_pool("list.txt")
    in_folder = [item for item in read_pool("photos") if "caf" in item.id]
    for item in (*listed, *in_folder):
        assert os.fsencode(str(item.image)) == name
        assert item.id.endswith("caf\\xe9.jpg")
        item.id.encode()


def test_a_file_that_is_not_there_is_left_to_be_found_unreadable(photos: Path) -> None:
    assert len(read_pool(write("list.txt", "photos/b.jpg", "photos/gone.jpg"))) == 2
    assert len(read_pool(write("t.csv", "path", "photos/b.jpg", "photos/gone.jpg"))) == 2


@pytest.mark.parametrize(
    ("pool", "lines", "message"),
    [
        ("nowhere", [], "nowhere: there is no such file or folder"),
        ("nowhere::train", [], "--use-dataset-reader"),
        ("photos/b.jpg", [], "expected a folder, a table or a list"),
        ("records.bin", ["\0\1"], "--use-dataset-reader"),
        ("empty", [], "found no images in this folder"),
        ("list.txt", [""], "expected the paths of images, one a line, found nothing"),
        ("list.txt", ["b.jpg", "b.jpg"], 'the id "b.jpg" occurs 2 times'),
        ("t.csv", ["file,label", "b.jpg,"], 'expected a column "path"'),
        ("t.jsonl", ['{"image_path": 3}', "{", "[]"], "line 2: not JSON"),
        ("t.jsonl", [{"image": [1, 2]}], 'expected {"image_path": path}, found the keys image'),
        ("t.jsonl", [{"image_path": "b.jpg", "label": ["cat"]}], "label: expected a text"),
        ("t.jsonl", ['{"image_path": ' + "[" * 100_000], "line 1"),
    ],
)
def test_what_is_no_pool_is_one_message(
    photos: Path, pool: str, lines: list[Any], message: str
) -> None:
    Path("empty").mkdir()
    if lines:
        write(pool, *lines)
    with pytest.raises(DataError) as error:
        read_pool(pool)
    assert message in str(error.value)


def test_all_bad_lines_are_told(photos: Path) -> None:
    with pytest.raises(DataError) as error:
        read_pool(write("t.jsonl", '{"image_path": 3}', {"image_path": "b.jpg"}, "{"))
    assert "2 problems" in str(error.value)
    assert "line 1" in str(error.value)
    assert "line 3" in str(error.value)


# What is labeled


def labels(labeled: list[Instance]) -> dict[str, str | None]:
    return {item.id: item.label for item in labeled}


def test_rows_of_the_pool_with_a_label_are_labeled(photos: Path) -> None:
    table = write("t.csv", "path,label", "photos/b.jpg,cat", "photos/a/1.jpg,", "photos/a/2.PNG,")
    rest, labeled = separate(read_pool(table), None)
    assert [item.id for item in rest] == ["photos/a/1.jpg", "photos/a/2.PNG"]
    assert labels(labeled) == {"photos/b.jpg": "cat"}


def test_nothing_left_to_choose_is_an_error(photos: Path) -> None:
    table = write("t.csv", "path,label", "photos/b.jpg,cat", "photos/a/1.jpg,dog")
    with pytest.raises(DataError, match="all 2 images of the pool are labeled"):
        separate(read_pool(table), None)


def test_labels_given_apart_come_before_those_of_the_pool(photos: Path) -> None:
    table = write("t.csv", "path,label", "photos/b.jpg,cat", "photos/a/1.jpg,")
    fixed = write("fixed.csv", "path,label", "photos/b.jpg,dog")
    rest, labeled = separate(read_pool(table), fixed)
    assert [item.id for item in rest] == ["photos/a/1.jpg"]
    assert labels(labeled) == {"photos/b.jpg": "dog"}
