"""Manifests of SageMaker Ground Truth, as its documentation shows them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from allencv_al.common.errors import DataError
from allencv_al.labels.exchange.entry_objects import tag_of
from allencv_al.labels.exchange.programs.sagemaker import from_sagemaker, to_sagemaker

ONE = {
    "source-ref": "s3://b/1.png",
    "animals": 1,
    "animals-metadata": {"class-name": "dog", "type": "groundtruth/image-classification"},
}
SEVERAL = {
    "source-ref": "s3://b/2.png",
    "animals": [1, 0],
    "animals-metadata": {
        "class-map": {"0": "cat", "1": "dog"},
        "confidence-map": {"0": 0.7, "1": 0.9},
        "type": "groundtruth/image-classification-multilabel",
    },
}
BOXES = {
    "source-ref": "s3://b/3.png",
    "animals": {
        "image_size": [{"width": 500, "height": 400, "depth": 3}],
        "annotations": [{"class_id": 0, "left": 111, "top": 134, "width": 61, "height": 128}],
    },
    "animals-metadata": {"class-map": {"0": "cat"}, "type": "groundtruth/object-detection"},
}


def read(*rows: dict[str, Any]) -> list[Any]:
    return from_sagemaker("\n".join(map(json.dumps, rows)), "here")


def test_each_kind_of_job_is_read() -> None:
    one, several, boxes, none = read(ONE, SEVERAL, BOXES, {"source-ref": "s3://b/4.png"})
    assert tag_of(one) == "dog"
    assert list(several.objects(None, []).tags) == ["dog", "cat"]
    annotation = boxes.objects(None, [])
    assert annotation.size == (500, 400)
    assert [(o.name, o.box) for o in annotation.objects] == [("cat", (111, 134, 172, 262))]
    assert none.objects is None


def test_other_keys_come_back() -> None:
    [row] = map(json.loads, to_sagemaker(read({**ONE, "shot": 7})).splitlines())
    assert (row["source-ref"], row["shot"], row["label"]) == ("s3://b/1.png", 7, 0)
    assert row["label-metadata"]["class-name"] == "dog"


def test_the_verification_of_labels_is_no_label() -> None:
    metadata = {"class-name": "good", "type": "groundtruth/label-verification"}
    [entry] = read({**ONE, "check": 0, "check-metadata": metadata})
    assert tag_of(entry) == "dog"


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ({"source": "x"}, "line 1: source-ref: expected the address of an image, found nothing"),
        (
            {**ONE, "b": 0, "b-metadata": ONE["animals-metadata"]},
            "expected one label attribute, found animals, b",
        ),
        ({**SEVERAL, "animals": [7]}, "class-map: expected the name of class 7, found none"),
        ({**BOXES, "animals": {}}, "expected annotations and an image_size"),
    ],
)
def test_faults_name_the_line(row: dict[str, Any], fault: str) -> None:
    with pytest.raises(DataError, match=fault):
        read(row)
