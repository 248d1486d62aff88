"""Files of COCO and CVAT become entries."""

from __future__ import annotations

import json

import pytest

from allencv_al.common.errors import DataError
from allencv_al.labels.exchange.annotation_entries import from_coco, from_cvat

COCO = {
    "images": [{"id": 1, "file_name": "a.png", "width": 4, "height": 3}],
    "categories": [{"id": 3, "name": "cat"}],
    "annotations": [{"image_id": 1, "category_id": 3, "bbox": [1, 1, 2, 1]}],
}


def test_images_of_coco_without_annotations_have_no_decision() -> None:
    [entry] = from_coco(json.dumps(COCO), "x.json")
    annotation = entry.objects(None, [])
    assert (entry.id, entry.place, annotation.size) == ("a.png", "image 1", (4, 3))
    assert [(one.name, one.box) for one in annotation.objects] == [("cat", (1, 1, 3, 2))]
    [open_one] = from_coco(json.dumps({**COCO, "annotations": []}), "x.json")
    assert open_one.objects(None, []).objects == []
    without = {key: value for key, value in COCO.items() if key != "annotations"}
    assert from_coco(json.dumps(without), "x.json")[0].objects is None


def test_tags_of_cvat_are_classes_of_the_image() -> None:
    text = (
        '<annotations><image id="0" name="a.png" width="4" height="3"><tag label="wet"/></image>'
        "</annotations>"
    )
    [entry] = from_cvat(text, "x.xml")
    assert entry.objects(None, []).tags == ["wet"]


@pytest.mark.parametrize(
    ("read", "text", "expected"),
    [
        (from_coco, "{", "x: expected JSON"),
        (from_coco, '{"images": [5], "categories": []}', "expected an id and a file_name"),
        (from_cvat, "<a/>", "x: expected <annotations> of CVAT"),
        (from_cvat, '<annotations><image id="0"/></annotations>', "expected a name"),
    ],
)
def test_faults_name_the_file(read, text: str, expected: str) -> None:
    with pytest.raises(DataError, match=r"^x: ") as error:
        read(text, "x")
    assert expected in str(error.value)
