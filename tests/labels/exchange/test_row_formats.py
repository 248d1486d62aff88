"""Entries go into CSV and JSON lines and come out as they were."""

from __future__ import annotations

import pytest
from fixtures.label_entries import MANY
from hypothesis import given

from allencv_al.common.errors import DataError
from allencv_al.labels.exchange.label_entry import LabelEntry
from allencv_al.labels.exchange.row_formats import from_csv, from_json_lines, to_csv, to_json_lines


@given(MANY)
def test_csv_loses_nothing(many: list[LabelEntry]) -> None:
    assert from_csv(to_csv(many), "x") == many


@given(MANY)
def test_json_lines_lose_nothing(many: list[LabelEntry]) -> None:
    assert from_json_lines(to_json_lines(many), "x") == many


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("id,label\n1,cat,dog\n", "line 2: expected 2 columns, found 3"),
        ("id,kind\n1,maybe\n", "line 2: kind: expected one of label"),
        ("id,time\n1,soon\n2,nan\n", "line 2: time: expected a number"),
        ("label\ncat\n", 'expected a column "id" or "image"'),
        ("id,kind,label\n1,skip,cat\n", "kind skip does not go with"),
        ("id,label,label\n1,cat,dog\n", "the header has a column twice: label"),
        ("id,seconds\n1,-2\n", "line 2: seconds: expected a number from 0"),
    ],
)
def test_wrong_rows_are_named(text: str, fault: str) -> None:
    with pytest.raises(DataError, match=fault):
        from_csv(text, "labels.csv")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"id": "a"}\n[]\n', "line 2: expected a JSON object"),
        ("{\n", "line 1: not JSON, or not one object a line"),
        ('{"id": {"a": 1}}\n', "line 1: id: expected a text"),
        ('{"id": "a", "seconds": true}\n', "seconds: expected a number"),
        (
            '{"id": "a"}\n{"id": "a", "seconds": Infinity}\n',
            "line 2: seconds: expected a finite number",
        ),
        ('{"id": "a", "annotator": "\\ud800"}\n', "annotator: expected Unicode text"),
    ],
)
def test_wrong_lines_are_named(text: str, fault: str) -> None:
    with pytest.raises(DataError, match=fault):
        from_json_lines(text, "labels.jsonl")


def test_a_column_labels_of_another_program_is_no_label_of_ours() -> None:
    many = [LabelEntry("a.png", extra={"labels": "x; y"}), LabelEntry("b.png", extra={"labels": 7})]
    assert from_json_lines(to_json_lines(many), "here") == many
    assert from_csv(to_csv(many), "here") == many


def test_classes_in_a_column_labels_are_a_label() -> None:
    text = 'id,labels\na,dog ; cat\nb,\nc,[]\nd,"[""cat""]"\n'
    assert [one.label for one in from_csv(text, "here")] == [
        '["cat", "dog"]',
        None,
        "[]",
        '["cat"]',
    ]
    [entry] = from_json_lines('{"id": "a", "labels": ["dog", "cat"]}', "here")
    assert entry.label == '["cat", "dog"]'
    with pytest.raises(DataError, match="line 1: labels: expected names, found 7"):
        from_json_lines('{"id": "a", "labels": 7}', "here")


def test_numbers_with_a_decimal_comma_are_read_between_semicolons() -> None:
    [entry] = from_csv("id;label;seconds;score\na;cat, dog;1,5;0,25\n", "here")
    assert (entry.label, entry.seconds, entry.score) == ("cat, dog", 1.5, 0.25)
    with pytest.raises(DataError, match="seconds: expected a number, found '1,5'"):
        from_csv('id,label,seconds\na,cat,"1,5"\n', "here")
