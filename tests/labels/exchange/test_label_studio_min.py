"""Entries go into Label Studio's JSON_MIN and come out as they were."""

from __future__ import annotations

import json
from typing import Any

from fixtures.label_entries import label_entries
from hypothesis import given
from hypothesis import strategies as st

from allencv_al.labels.exchange.label_entry import LabelEntry
from allencv_al.labels.exchange.label_studio_min import from_label_studio_min, to_label_studio_min


@given(st.lists(label_entries(), max_size=4))
def test_label_studio_min_loses_nothing(many: list[LabelEntry]) -> None:
    assert from_label_studio_min(to_label_studio_min(many), "x") == many


EXPORTED_MIN: list[dict[str, Any]] = [
    {
        "image": "/data/upload/1/1234abcd-cat.jpg",
        "id": 1,
        "choice": "cat",
        "annotator": 1,
        "annotation_id": 11,
        "created_at": "2026-01-02T03:04:05.678901Z",
        "updated_at": "2026-01-02T03:04:06.000000Z",
        "lead_time": 4.288,
    },
    {"image": "b.jpg", "id": 2, "choice": {"choices": ["cat", "dog"]}, "annotator": 2},
    {"image": "c.jpg", "id": 3, "annotator": 2, "taken": "2020"},
    {"taken": "2020", "picture": "d.jpg", "id": 4, "animal": "dog", "annotator": 2},
]


def test_what_label_studio_exports_min_is_written_back_as_it_was() -> None:
    found = from_label_studio_min(json.dumps(EXPORTED_MIN), "x")
    assert json.loads(to_label_studio_min(found)) == EXPORTED_MIN
    assert [(one.label, one.annotator) for one in found] == [
        ("cat", "1"),
        (None, "2"),
        (None, "2"),
        ("dog", "2"),
    ]
