"""Tables as people, spreadsheets and programs write them."""

from __future__ import annotations

import csv
import io
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allencv_al.common.errors import DataError
from allencv_al.common.files.tables import (
    Table,
    cell_text,
    csv_bytes,
    csv_text,
    is_json_text,
    parse_table,
    read_table,
    records,
)

NAMES = ("path", "label")


def cells(table: Table) -> list[list[Any]]:
    return [[row.values.get(name) for name in NAMES] for row in table.rows]


ROWS = [["a.png", "cat"], ["b.png", "dog"]]


@pytest.mark.parametrize(
    "text",
    [
        "path,label\na.png,cat\nb.png,dog\n",
        "path,label\ra.png,cat\rb.png,dog\r",
        "path;label\r\na.png;cat\r\nb.png;dog",
        "path\tlabel\na.png\tcat\nb.png\tdog\n",
        "\ufeffpath,label\na.png,cat\nb.png,dog\n",
        "sep=;\r\npath;label\r\na.png;cat\r\nb.png;dog\r\n",
        '\ufeff"sep=,"\npath,label\na.png,cat\nb.png,dog\n',
        "sep=|\npath|label\na.png|cat\nb.png|dog\n",
        "\n\npath , Label\n a.png, cat\n;;\n,\n  \nb.png,  dog\n\n".replace(";;\n", ""),
        "PATH,LABEL\na.png,cat\nb.png,dog\n",
        "more;label;path\n1;cat;a.png\n2;dog;b.png\n",
        "path,label,,\na.png,cat,,\nb.png,dog\n",
        'path,label\n"a.png","cat"\n"b.png", "dog"\n',
    ],
)
def test_what_spreadsheets_write_is_one_table(text: str) -> None:
    found = parse_table(text, "t.csv", NAMES)
    stripped = [[cell.strip() for cell in row] for row in cells(found)]
    assert stripped == ROWS
    assert not any(row.problem for row in found.rows)


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
)
@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.txt"])
def test_utf_8_and_utf_16_are_read_with_and_without_a_mark(
    encoding: str, name: str, tmp_path: Path
) -> None:
    file = tmp_path / name
    file.write_bytes("path\tlabel\r\na.png\tcafé\r\n".encode(encoding))
    assert cells(read_table(file, NAMES)) == [["a.png", "café"]]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"path,label\na.png,caf\xe9\n", "expected UTF-8, found the byte 0xe9 in line 2"),
        (b"path,label\na\0.png,cat\n", "found a NUL byte in line 2"),
        ("path,label\na.png,c".encode("utf-16") + b"\0", "expected UTF-16-LE, found the byte"),
        (b"", "it is empty"),
        (b"\n \n", "it is empty"),
        (b"path,label,label\n", "a column twice: label"),
        (b'path,label\n"a.png,cat\nb.png,dog\n', "line 2: unexpected end of data; a double quote"),
        (b'path,label\n"a"b.png,cat\n', 'written twice: "a ""b"" c"'),
        (b"path,label\na.png," + b"x" * (2**24 + 1), "line 2: field larger than field limit"),
    ],
)
def test_what_is_no_table_is_explained(content: bytes, fault: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"t\.csv") as error:
        read_table(tmp_path / "t.csv", NAMES)
    assert fault in str(error.value)


def test_lines_are_counted_through_quoted_line_ends_and_the_separator_line() -> None:
    text = 'sep=;\npath;label\na.png;"two\nlines"\nb.png;dog;more\n'
    found = parse_table(text, "t.csv", NAMES)
    assert [(row.place, row.problem is None) for row in found.rows] == [
        ("line 3", True),
        ("line 5", False),
    ]
    assert found.rows[0].values["label"] == "two\nlines"


def test_a_column_in_another_case_is_found_only_where_it_is_clear() -> None:
    assert parse_table("Label,label\na,b\n", "t", ["label"]).columns == ("Label", "label")
    assert parse_table("Label,LABEL\na,b\n", "t", ["label"]).columns == ("Label", "LABEL")
    assert parse_table("Label,path\na,b\n", "t", ["label"]).columns == ("label", "path")


@pytest.mark.parametrize(
    "text",
    [
        '{"path": "a.png", "label": "cat"}\n{"path": "b.png", "label": "dog"}\n',
        '\ufeff[{"path": "a.png", "label": "cat"},\n {"path": "b.png", "label": "dog"}]',
        '{\n"path": "a.png",\n"label": "cat"\n}\n{\n"path": "b.png", "label": "dog"}\n',
        '{"Path": "a.png", "LABEL": "cat"}\r\n\r\n{"Path": "b.png", "LABEL": "dog"}\r\n',
    ],
)
def test_json_is_one_object_a_line_a_list_or_printed_over_several_lines(text: str) -> None:
    assert is_json_text(text)
    assert cells(parse_table(text, "t.json", NAMES, is_json=True)) == ROWS


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ('{"path": "a"}\n{"path":\n[]\n', ["line 2: not JSON", "line 3: expected a JSON object"]),
        ('[{"path": "a"}, 3]', ["entry 2: expected a JSON object, found 3"]),
        ('{"path": "a", "path": "b"}', ['line 1: not JSON, or not one object a line: the key "pa']),
        ('{"path": ' + "[" * 100_000, ["line 1: not JSON, or not one object a line: nested too"]),
        ("path,label\n", ["line 1: not JSON"]),
    ],
)
def test_json_that_is_none_is_told_by_its_place(text: str, problems: list[str]) -> None:
    rows = parse_table(text, "t.jsonl", NAMES, is_json=True).rows
    told = [f"{row.place}: {row.problem}" for row in rows if row.problem]
    assert len(told) == len(problems)
    for found, problem in zip(told, problems, strict=True):
        assert found.startswith(problem)


@pytest.mark.parametrize("value", [True, 1.5, ["cat"], {"a": 1}, "caf\ud800"])
def test_a_cell_that_is_no_text_is_said(value: Any) -> None:
    with pytest.raises(ValueError, match="label: expected"):
        cell_text({"label": value}, "label")


def test_a_whole_number_is_a_text_and_null_is_none() -> None:
    assert [cell_text({"label": value}, "label") for value in (1, "1", " 01 ", None)] == [
        *("1", "1", "01", "")
    ]


FORMULAS = ["=1+1", "+cmd", "-x", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "-"]


@pytest.mark.parametrize("cell", FORMULAS)
def test_no_cell_starts_a_formula_and_all_come_back(cell: str) -> None:
    text = csv_text(NAMES, [{"path": "a.png", "label": cell}, {"path": cell}])
    for row in csv.reader(io.StringIO(text, newline="")):
        assert not any(field[:1] in tuple("=+-@\t\r\n＝") for field in row if field)
    assert cells(parse_table(text, "t", NAMES)) == [["a.png", cell], [cell, ""]]


@pytest.mark.parametrize("cell", ["-0.5", "+1", "1e-5", "-3", -0.5, 1e-9])
def test_numbers_need_no_guard(cell: object) -> None:
    assert csv_text(["score"], [{"score": cell}]) == f"score\n{cell}\n"


def test_the_apostrophes_of_others_stay() -> None:
    text = "path,label\n'=1.png,'-x\n'quoted',''@\n"
    assert cells(parse_table(text, "t", NAMES)) == [["'=1.png", "'-x"], ["'quoted'", "''@"]]


def test_a_formula_behind_another_separator_is_quoted() -> None:
    assert csv_text(["path"], [{"path": "a;=1+1"}]) == 'path\n"a;=1+1"\n'


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(st.lists(st.tuples(TEXT, TEXT).filter(lambda row: any(c.strip() for c in row)), max_size=4))
def test_whatever_is_written_is_read(rows: list[tuple[str, str]]) -> None:
    text = csv_text(NAMES, [dict(zip(NAMES, row, strict=True)) for row in rows])
    assert csv_bytes(text).decode("utf-8-sig") == text
    assert cells(parse_table(text, "t", NAMES)) == [list(row) for row in rows]


def test_a_list_of_files_that_is_called_a_table_is_understood_as_one_without_a_header() -> None:
    table = parse_table("a.JPG\nb.jpg\n", "t.csv", NAMES)
    with pytest.raises(DataError, match=r'"path" in the header, found a\.JPG; is the header missi'):
        table.require("t.csv", ["path"])


def test_lines_of_objects_over_several_lines_are_counted_once() -> None:
    text = "\n\n".join('{\n"file": "a.jpg"\n}' for _ in range(20_000))
    started = time.process_time()
    rows = parse_table(text, "a.json", ["file"], is_json=True).rows
    assert [row.line for row in rows[:3]] == [1, 5, 9]
    assert rows[-1].line == 4 * 19_999 + 1
    assert time.process_time() - started < 5, "counting from the start each time takes minutes"


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("id;seconds\na;1,5\nb;0,25\nc;3\nd;1.5\ne;1,2,3\n", ["1.5", "0.25", "3", "1.5", "1,2,3"]),
        ('id,seconds\na,"1,5"\n', ["1,5"]),
        ("id\tseconds\na\t-1,5e3\n", ["-1.5e3"]),
    ],
)
def test_a_decimal_comma_is_one_where_commas_set_nothing_apart(
    text: str, numbers: list[str]
) -> None:
    table = parse_table(text, "here", ("id", "seconds"))
    assert [table.number(row.values["seconds"]) for row in table.rows] == numbers
    assert table.number(1.5) == 1.5


def test_records_without_a_header_have_their_lines() -> None:
    text = '\ufeffa;"b\r\nc"\r\nd;e\r\n'
    assert list(records(text, "here")) == [(1, ["a", "b\r\nc"]), (3, ["d", "e"])]
    with pytest.raises(DataError, match="here line 1: "):
        list(records('a,"b', "here"))
