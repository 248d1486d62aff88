"""Entries go into Label Studio's JSON and come out as they were."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from fixtures.label_entries import label_entries
from hypothesis import given
from hypothesis import strategies as st

from allencv_al.common.errors import DataError
from allencv_al.labels.exchange.label_entry import LabelEntry
from allencv_al.labels.exchange.label_studio import from_label_studio, to_label_studio
from allencv_al.labels.exchange.label_studio_min import from_label_studio_min, to_label_studio_min
from allencv_al.labels.exchange.row_formats import from_csv, from_json_lines, to_csv, to_json_lines


@given(st.lists(label_entries(), max_size=4, unique_by=lambda one: one.id))
def test_label_studio_loses_nothing(many: list[LabelEntry]) -> None:
    said = [one for one in many if one.kind is not None]
    found = from_label_studio(to_label_studio(said), "x")
    assert found == said


# What Label Studio exports, with its own keys, several people, several controls, skips and drafts
EXPORTED: list[dict[str, Any]] = [
    {
        "id": 1,
        "annotations": [
            {
                "id": 11,
                "completed_by": {"id": 1, "email": "anna@example.com", "first_name": "Anna"},
                "result": [
                    {
                        "value": {"choices": ["cat"]},
                        "id": "aB3",
                        "from_name": "animal",
                        "to_name": "img",
                        "type": "choices",
                        "origin": "manual",
                    }
                ],
                "was_cancelled": False,
                "ground_truth": False,
                "created_at": "2026-01-02T03:04:05.678901Z",
                "updated_at": "2026-01-02T03:04:06.000000Z",
                "draft_created_at": None,
                "lead_time": 4.288,
                "prediction": {},
                "result_count": 1,
                "unique_id": "b1b2",
                "task": 1,
                "project": 83,
            },
            {"id": 12, "completed_by": 2, "result": [], "was_cancelled": True, "lead_time": 1.0},
        ],
        "file_upload": "1234abcd-cat.jpg",
        "drafts": [],
        "predictions": [{"model_version": "m1", "result": [], "score": 0.5}],
        "data": {"image": "/data/upload/1/1234abcd-cat.jpg", "taken": "2020"},
        "meta": {"a": [1, None]},
        "inner_id": 1,
        "total_annotations": 1,
        "cancelled_annotations": 1,
        "comment_authors": [],
    },
    {"id": 2, "annotations": [], "data": {"img": "s3://bucket/b.jpg"}, "predictions": []},
    {"id": 3, "data": {"image": "https://example.com/c.jpg"}},
    {"data": {"image": "twice.jpg"}, "annotations": None},
    {"data": {"image": "twice.jpg"}, "annotations": None},
    {
        "id": 4,
        "annotations": [
            {
                "id": 41,
                "completed_by": 1,
                "result": [
                    {"value": {"choices": ["cat", "dog"]}, "type": "choices", "from_name": "c"},
                    {"value": {"text": ["hm"]}, "type": "textarea", "from_name": "t"},
                ],
            }
        ],
        "data": {"image": "d.jpg"},
    },
]


def test_what_label_studio_exports_is_written_back_as_it_was() -> None:
    found = from_label_studio(json.dumps(EXPORTED), "x")
    assert json.loads(to_label_studio(found)) == EXPORTED
    assert [(one.label, one.kind) for one in found] == [
        ("cat", "label"),
        (None, "skip"),
        *[(None, None)] * 5,
    ]
    first = found[0]
    assert (first.annotator, first.seconds) == ("anna@example.com", 4.288)
    assert first.time == pytest.approx(1767323045.678901)
    assert first.id == "/data/upload/1/1234abcd-cat.jpg"


def test_what_others_add_to_what_we_wrote_is_kept() -> None:
    entry = LabelEntry("a.jpg", None, "cat", "label", "anna", 1.5)
    [task] = json.loads(to_label_studio([entry]))
    task["meta"], task["annotations"][0]["ground_truth"] = {"site": 3}, True
    [row] = json.loads(to_label_studio_min([entry]))
    row["agreement"] = 0.5
    [read], [read_min] = (
        from_label_studio(json.dumps([task]), "x"),
        from_label_studio_min(json.dumps([row]), "x"),
    )
    assert (read.label, read.annotator) == (read_min.label, read_min.annotator) == ("cat", "anna")
    assert json.loads(to_label_studio([read])) == [task]
    assert json.loads(to_label_studio_min([read_min])) == [row]
    [skipped] = json.loads(to_label_studio([replace(read, label=None, kind="skip")]))
    assert from_label_studio(json.dumps([skipped]), "x")[0].kind == "skip"
    assert skipped["meta"] == {"site": 3}


def test_a_column_that_is_called_as_our_own_is_kept() -> None:
    many = [LabelEntry("a", extra={"label_studio": "x", "label_studio_min": "y"}, kind="skip")]
    assert from_label_studio(to_label_studio(many), "x") == many
    assert from_label_studio_min(to_label_studio_min(many), "x") == many


def test_what_goes_through_other_formats_comes_back_to_label_studio_as_it_was() -> None:
    found = from_label_studio(json.dumps(EXPORTED), "x")
    by_table = from_csv(to_csv(from_json_lines(to_json_lines(found), "x")), "x")
    assert json.loads(to_label_studio(by_table)) == EXPORTED


def test_a_changed_label_changes_only_itself() -> None:
    found = from_label_studio(json.dumps(EXPORTED), "x")
    written = json.loads(to_label_studio([replace(found[0], label="dog"), *found[1:]]))
    [annotation, _] = written[0]["annotations"]
    assert annotation["result"][0]["value"] == {"choices": ["dog"]}
    assert annotation["lead_time"] == 4.288
    assert written[1:] == EXPORTED[1:]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{}", "expected a JSON list"),
        ("[", "expected JSON"),
        ("[1]", 'task 1: expected an object with "data"'),
        ('[{"data": {}}]', "task 1: expected an id or an image"),
        ('[{"data": {"image": "a"}, "annotations": 3}]', "annotations: expected a list"),
        ("[" * 100_000, "nested too deep"),
        ('[{"data": {"image": "a"}, "annotations": [{"allencv_al": 5}]}]', "task 1: allencv_al"),
        (
            '[{"data": {"image": "a"}, "annotations": [{"allencv_al": {"kind": 5}}]}]',
            "task 1: kind: expected one of",
        ),
    ],
)
def test_what_is_no_export_is_said(text: str, fault: str) -> None:
    with pytest.raises(DataError, match=fault):
        from_label_studio(text, "x.json")
