"""Import files of Vertex AI, as its documentation shows them."""

from __future__ import annotations

import json

import pytest

from allencv_al.common.errors import DataError
from allencv_al.data.image_io import ImageFrame
from allencv_al.labels.exchange.entry_objects import tag_of
from allencv_al.labels.exchange.label_entry import LabelEntry
from allencv_al.labels.exchange.programs.vertex_ai import from_vertex, to_vertex

FRAME = ImageFrame(100, 50)
KEPT = {"dataItemResourceLabels": {"aiplatform.googleapis.com/ml_use": "test"}}


def boxes(entry: LabelEntry) -> list[tuple[str | None, object]]:
    annotation = entry.objects(FRAME, [])
    return [(one.name, one.box) for one in annotation.objects]


def test_lines_of_each_schema_are_read() -> None:
    box = {"displayName": "dog", "xMin": 0.1, "yMin": 0.2, "xMax": 0.5, "yMax": 1.0}
    rows = [
        {"imageGcsUri": "gs://b/1.png", "classificationAnnotation": {"displayName": "cat"}},
        {"imageGcsUri": "gs://b/2.png", "classificationAnnotations": [{"displayName": "dog"}]},
        {"imageGcsUri": "gs://b/3.png", "boundingBoxAnnotations": [box]},
        {"imageGcsUri": "gs://b/4.png"},
    ]
    one, two, three, four = from_vertex("\n".join(map(json.dumps, rows)), "here")
    assert (one.id, tag_of(one), tag_of(two)) == ("gs://b/1.png", "cat", "dog")
    assert boxes(three) == [("dog", (10.0, 10.0, 50.0, 50.0))]
    assert four.objects is None


def test_tables_without_a_header_are_read() -> None:
    text = (
        "TRAIN,gs://b/1.png,cat\n"
        "gs://b/2.png,cat,dog\n"
        "TEST,gs://b/3.png,dog,0.1,0.2,,,0.5,1.0,,\n"
        "TEST,gs://b/3.png,cat,0,0,0.5,0,0.5,0.5,0,0.5\n"
        "UNASSIGNED,gs://b/4.png,,,,,,,,,\n"
    )
    one, two, three, four = from_vertex(text, "here")
    assert tag_of(one) == "cat"
    assert list(two.objects(None, []).tags) == ["cat", "dog"]
    found = [("dog", (10.0, 10.0, 50.0, 50.0)), ("cat", (0.0, 0.0, 50.0, 25.0))]
    assert boxes(three) == found
    assert boxes(four) == []


def test_other_keys_come_back_and_so_does_the_address() -> None:
    row = {"imageGcsUri": "gs://b/1.png", "classificationAnnotation": {"displayName": "cat"}}
    text = json.dumps({**row, **KEPT})
    assert json.loads(to_vertex(from_vertex(text, "here"))) == {**row, **KEPT}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"imageGcsUri": 1}', "line 1: imageGcsUri: expected the address of an image, found 1"),
        ('{"imageGcsUri": "x", "classificationAnnotation": []}', "expected an object, found"),
        ("LEARN,gs://b/1.png,cat\n", "line 1: expected TRAIN, VALIDATION or TEST, found 'LEARN'"),
        ("gs://b/1.png,cat,5,5,,,9,9,,\n", "expected shares of width and height, 0 to 1"),
        ("gs://b/1.png,cat,0.5,0.5,,,,,,\n", "expected two corners of a box or more, found 1"),
    ],
)
def test_faults_name_the_line(text: str, fault: str) -> None:
    with pytest.raises(DataError, match=fault):
        from_vertex(text, "here")
