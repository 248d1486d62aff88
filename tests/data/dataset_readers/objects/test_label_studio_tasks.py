"""The reader of Label Studio's JSON exports, on tasks as it writes them."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.object_files import BOXES, SIZE, found_boxes

from allencv_al.common.errors import ConfigurationError, DataError
from allencv_al.data.dataset_readers import DatasetReader
from allencv_al.data.dataset_readers.objects.label_studio_tasks import LabelStudioReader
from allencv_al.data.image_io import load_mask
from allencv_al.data.run_lengths import brush_runs


def region(kind: str, value: dict[str, Any], label: str | None = "cat", **more: Any) -> dict:
    named = {} if label is None else {kind: [label]}
    return {
        "id": "Dx_aB3",
        "type": kind,
        "from_name": "label",
        "to_name": "image",
        "original_width": SIZE[0],
        "original_height": SIZE[1],
        "image_rotation": 0,
        "value": {**value, **named},
        **more,
    }


def rectangle(label: str, corners: tuple[float, ...], rotation: float = 0) -> dict:
    x, y, right, bottom = corners
    width, height = SIZE
    value = {
        "x": 100 * x / width,
        "y": 100 * y / height,
        "width": 100 * (right - x) / width,
        "height": 100 * (bottom - y) / height,
        "rotation": rotation,
    }
    return region("rectanglelabels", value, label)


def task(name: str, *results: list[dict], **more: Any) -> dict:
    annotations = [{"id": 7, "was_cancelled": False, "result": one} for one in results]
    image = f"/data/upload/3/1234abcd-{name}"
    return {"id": 1, "annotations": annotations, "data": {"image": image}, **more}


def read(root: Path, tasks: list[dict], **options: Any):
    (root / "export.json").write_text(json.dumps(tasks))
    return LabelStudioReader(**options).read(root / "export.json")


def test_rectangles_are_read_and_an_empty_annotation_is_no_object(write_images) -> None:
    tasks = [task(name, [rectangle(*one) for one in boxes]) for name, boxes in BOXES.items()]
    found = read(write_images(), tasks)
    for name, boxes in found_boxes(found).items():
        assert [label for label, _ in boxes] == [label for label, _ in BOXES[name]]
        assert np.allclose([b for _, b in boxes], [b for _, b in BOXES[name]])
    assert [one.id for one in found] == [f"images/{name}" for name in BOXES]


def test_skipped_and_open_tasks_are_unlabeled(write_images) -> None:
    skipped = {"was_cancelled": True, "result": [rectangle("cat", (1, 1, 3, 3))]}
    tasks = [task("a.png", annotations=[skipped]), task("b.png")]
    assert [one.is_labeled for one in read(write_images(), tasks)] == [False, False]


def test_the_ground_truth_counts_or_else_the_last_annotation(write_images) -> None:
    first, second = [rectangle("cat", (1, 1, 3, 3))], [rectangle("dog", (1, 1, 3, 3))]
    tasks = [task("a.png", first, second), task("b.png", first, second)]
    tasks[1]["annotations"][0]["ground_truth"] = True
    assert [one.box_labels for one in read(write_images(), tasks)] == [("dog",), ("cat",)]


def test_masks_of_brushes_polygons_and_ellipses(write_images) -> None:
    brush = np.zeros((30, 40), bool)
    brush[20:25, 30:38] = True
    square = [[2.5, 10.0 / 3], [25.0, 10.0 / 3], [25.0, 100.0 / 3], [2.5, 100.0 / 3]]
    results = [
        region("polygonlabels", {"points": square, "closed": True}, "dog"),
        region("brushlabels", {"format": "rle", "rle": brush_runs(brush)}, "cat"),
        region("ellipselabels", {"x": 50, "y": 50, "radiusX": 10, "radiusY": 10, "rotation": 0}),
    ]
    tasks = [task("a.png", results)]
    root = write_images()
    mask = load_mask(read(root, tasks, target="masks", classes=["cat", "dog"])[0].mask)
    expected = np.zeros((30, 40), np.uint8)
    expected[1:10, 1:10] = 2
    expected[brush] = 1
    rows, columns = np.mgrid[:30, :40] + 0.5
    expected[((columns - 20) / 4) ** 2 + ((rows - 15) / 3) ** 2 < 1] = 1
    assert (mask != expected).sum() <= 4  # on the outline of the ellipse
    boxes = read(root, tasks)[0].boxes
    assert np.allclose(boxes, [(1, 1, 10, 10), (30, 20, 38, 25), (16, 12, 24, 18)])


def test_a_rotated_rectangle_has_the_box_around_it(write_images) -> None:
    # By 90 degrees about its upper left corner: it then lies to the left of it
    found = read(write_images(), [task("a.png", [rectangle("cat", (20, 10, 26, 14), 90)])])
    assert np.allclose(found[0].boxes, [(16, 10, 20, 16)])


def test_labels_are_choices_and_classes_of_regions(write_images) -> None:
    def choices(id: str, *names: str) -> dict:
        return {"id": id, "type": "choices", "from_name": "c", "value": {"choices": list(names)}}

    results = [
        choices("x", "outdoor", "wet"),
        rectangle("cat", (1, 1, 3, 3)),
        choices("Dx_aB3", "of the region"),
    ]
    found = read(write_images(), [task("a.png", results)], target="labels")
    assert found[0].labels == ("cat", "outdoor", "wet")


def test_a_shape_may_have_its_label_in_a_result_of_its_own(write_images) -> None:
    shape = rectangle("cat", (1, 1, 3, 3))
    labels = {**shape, "type": "labels", "value": {**shape["value"], "labels": ["dog"]}}
    shape = {**shape, "type": "rectangle"}
    found = read(write_images(), [task("a.png", [shape, labels])])
    assert found[0].box_labels == ("dog",)


def test_other_regions_are_left_out_and_counted(write_images, caplog) -> None:
    point = region("keypointlabels", {"x": 1, "y": 1, "width": 0.5})
    with caplog.at_level(logging.WARNING):
        assert read(write_images(), [task("a.png", [point])])[0].boxes == ()
    assert "left out: 1 keypointlabels" in caplog.text


def test_masks_need_the_names_of_their_indices() -> None:
    with pytest.raises(ConfigurationError, match="classes: expected the class names in the order"):
        DatasetReader.from_params({"type": "label_studio", "target": "masks"})


BAD = [
    ({}, 'task 1: expected an object with "data"'),
    ({"data": {}}, "task 1: data: expected an image"),
    (task("a.png", annotations=3), "annotations: expected a list"),
    (task("a.png", [region("polygonlabels", {"points": [[1, 2]]})]), "region 1: points"),
    (task("a.png", [region("brushlabels", {"format": "rle", "rle": [1]})]), "rle of a brush"),
    (task("a.png", [region("brushlabels", {"format": "rle", "rle": ["a"]})]), "list of bytes"),
    (task("a.png", [region("rectanglelabels", {"x": 1})]), "expected x, y, width, height in"),
    (task("a.png", [region("ellipselabels", {}, None)]), "x, y, radiusX, radiusY in percent"),
    (task("a.png", [{**rectangle("cat", (1, 1, 3, 3)), "image_rotation": 90}]), "was turned by 90"),
    (task("a.png", [{**rectangle("cat", (1, 1, 3, 3)), "original_width": None}]), "original_width"),
    (task("a.png", [rectangle(" ", (1, 1, 3, 3))]), "region 1: expected a label"),
    (task("a.png", [5]), "result: expected a list of objects"),
    (task("a.png", [rectangle("cat", (50, 1, 60, 3))]), "expected a box inside the 40x30 pixels"),
    (task("missing.png", []), "no image /data/upload/3/1234abcd-missing.png"),
]


@pytest.mark.parametrize(("value", "expected"), BAD)
def test_faults_name_the_task(value: dict, expected: str, write_images) -> None:
    with pytest.raises(DataError, match=r"export.json") as error:
        read(write_images(), [value])
    assert expected in str(error.value)


def test_another_file_is_refused(write_images) -> None:
    with pytest.raises(DataError, match=r"expected a JSON list of tasks"):
        read(write_images(), {"images": []})  # type: ignore[arg-type]
