"""NDJSON of Labelbox, as its documentation shows it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from allencv_al.common.errors import DataError
from allencv_al.data.dataset_readers.objects.image_objects import AnnotatedObject, Annotation
from allencv_al.labels.exchange.annotation_entries import always
from allencv_al.labels.exchange.label_entry import LabelEntry
from allencv_al.labels.exchange.programs.labelbox import from_labelbox, to_labelbox

BOX = {"name": "dog", "bounding_box": {"top": 1, "left": 2, "height": 3, "width": 4}}
POLYGON = {"name": "cat", "polygon": [{"x": 0, "y": 0}, {"x": 4, "y": 0}, {"x": 4, "y": 4}]}
CLOUD = {"name": "cat", "annotation_kind": "ImageSegmentationMask", "mask": {"url": "https://x"}}


def exported(objects: list[Any], classifications: list[Any]) -> dict[str, Any]:
    annotations = {"objects": objects, "classifications": classifications}
    return {
        "data_row": {"id": "c1", "external_id": "a/1.png", "global_key": None},
        "media_attributes": {"width": 40, "height": 24},
        "projects": {"p": {"name": "P", "labels": [{"annotations": annotations}]}},
    }


def read(*rows: Any) -> list[LabelEntry]:
    return from_labelbox("\n".join(map(json.dumps, rows)), "here")


def test_an_export_is_read() -> None:
    radio = {"name": "kind", "radio_answer": {"name": "photo"}}
    checklist = {"name": "more", "checklist_answers": [{"name": "night"}, {"name": "rain"}]}
    text = {"name": "note", "text_answer": {"content": "blurred"}}
    [entry] = read(exported([BOX, POLYGON, CLOUD], [radio, checklist]))
    annotation = entry.objects(None, [])
    assert (entry.id, annotation.size) == ("a/1.png", (40, 24))
    assert [(o.name, o.box) for o in annotation.objects] == [
        ("dog", (2, 1, 6, 4)),
        ("cat", (0, 0, 4, 4)),
    ]
    assert list(annotation.tags) == ["photo", "night", "rain"]
    assert annotation.left_out == {"ImageSegmentationMask": 1}
    assert list(read(exported([], [text]))[0].objects(None, []).tags) == []


def test_a_global_key_need_not_be_a_path() -> None:
    row = {"data_row": {"id": "c1", "external_id": "1.png", "global_key": "key-7"}}
    [entry] = read(row)
    assert (entry.id, entry.image) == ("key-7", "1.png")


def test_an_image_that_is_not_labeled_yet_has_no_label() -> None:
    assert read({"data_row": {"external_id": "1.png"}, "projects": {}})[0].objects is None


def test_the_lines_of_an_image_are_one_entry_and_their_ids_stay() -> None:
    boxes = [AnnotatedObject("", (1, 2, 3, 4), name) for name in ("cat", "dog")]
    entry = LabelEntry("1.png", objects=always(Annotation("", boxes, (9, 9))))
    text = to_labelbox([entry])
    assert text == to_labelbox([entry])
    rows = [json.loads(line) for line in text.splitlines()]
    assert len({row["uuid"] for row in rows}) == 2
    assert rows[0]["dataRow"] == {"globalKey": "1.png"}
    assert rows[0]["bbox"] == {"left": 1, "top": 2, "width": 2, "height": 2}
    [found] = from_labelbox(text, "here")
    assert [one.name for one in found.objects(None, []).objects] == ["cat", "dog"]


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ({"dataRow": {}}, "expected dataRow or data_row with one of globalKey"),
        (
            {"dataRow": {"globalKey": "1"}, "name": "x", "bbox": {"top": 1}},
            "bbox: expected left, top, width, height, found",
        ),
        (
            {"dataRow": {"globalKey": "1"}, "name": "x", "mask": {"png": "!"}},
            "mask: expected a PNG in base64",
        ),
        (exported([{"polygon": [], "name": "x"}], []), "expected three points or more"),
        ({"dataRow": {"globalKey": "1"}, "bbox": BOX["bounding_box"]}, "name: expected a class"),
    ],
)
def test_faults_name_the_line(row: dict[str, Any], fault: str) -> None:
    with pytest.raises(DataError, match=f"line 1: .*{fault}|line 1: {fault}"):
        read(row)
