"""Data sets of FiftyOne, as its documentation shows them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from allencv_al.common.errors import DataError
from allencv_al.data.image_io import ImageFrame
from allencv_al.labels.exchange.annotation_entries import tagged
from allencv_al.labels.exchange.entry_objects import tag_of
from allencv_al.labels.exchange.label_entry import LabelEntry
from allencv_al.labels.exchange.programs.fiftyone import from_fiftyone, to_fiftyone


def read(content: Any) -> list[LabelEntry]:
    return from_fiftyone(json.dumps(content), "here")


def boxes(entry: LabelEntry) -> list[Any]:
    return [(one.name, one.box) for one in entry.objects(ImageFrame(100, 50), []).objects]


def test_targets_are_names_or_numbers_of_classes() -> None:
    labels = {"a/1": 1, "2": None, "3": [0, 1], "4": {"label": 0, "confidence": 0.9}}
    one, none, several, sure = read({"classes": ["cat", "dog"], "labels": labels})
    assert (one.id, tag_of(one), tag_of(sure)) == ("a/1", "dog", "cat")
    assert none.objects is None
    assert list(several.objects(None, []).tags) == ["cat", "dog"]
    assert tag_of(read({"labels": {"1": "cat"}})[0]) == "cat"


def test_detections_are_measured_by_the_image() -> None:
    found = {"label": "dog", "bounding_box": [0.1, 0.2, 0.4, 0.5], "attributes": {"old": True}}
    with_box, empty = read({"labels": {"1": [found], "2": []}})
    assert boxes(with_box) == [("dog", (10.0, 10.0, 50.0, 35.0))]
    assert boxes(empty) == []


def test_samples_are_read_by_the_field_of_their_truth() -> None:
    box = {"_cls": "Detection", "label": "dog", "bounding_box": [0, 0, 0.5, 1]}
    samples = [
        {
            "filepath": "data/1.png",
            "ground_truth": {"_cls": "Detections", "detections": [box]},
            "predictions": {"_cls": "Detections", "detections": []},
            "metadata": {"_cls": "ImageMetadata", "width": 100},
        },
        {"filepath": "data/2.png", "ground_truth": None},
    ]
    one, two = read({"samples": samples})
    assert (one.id, boxes(one)) == ("data/1.png", [("dog", (0, 0, 50, 50))])
    assert two.objects is None
    classes = {"_cls": "Classifications", "classifications": [{"label": "cat"}]}
    assert tag_of(read({"samples": [{"filepath": "1.png", "kinds": classes}]})[0]) == "cat"


def test_two_images_of_one_name_are_refused() -> None:
    entries = [LabelEntry(id, objects=tagged("cat")) for id in ("1.png", "1.jpg")]
    with pytest.raises(DataError, match='two images have the name "1" for FiftyOne'):
        to_fiftyone(entries)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ({"classes": ["cat"], "labels": {"1": 7}}, "expected a class from 0 to 0, found 7"),
        ({"labels": {"1": [{"label": "a", "bounding_box": [1]}]}}, "expected four numbers"),
        ({"samples": [{}]}, "sample 1: filepath: expected a path, found nothing"),
        (
            {
                "samples": [
                    {"filepath": "1", "a": {"_cls": "Detections"}, "b": {"_cls": "Detections"}}
                ]
            },
            "expected one field of labels, or ground_truth, found a, b",
        ),
        ({}, "expected an object with labels or samples of FiftyOne"),
    ],
)
def test_faults_name_the_image(content: Any, fault: str) -> None:
    with pytest.raises(DataError, match=fault):
        read(content)
