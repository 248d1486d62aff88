"""The reader of LabelMe files, on files as LabelMe writes them."""

from __future__ import annotations

import base64
import io
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.object_files import BOXES, SIZE, found_boxes
from PIL import Image

from allencv_al.common.errors import ConfigurationError, DataError
from allencv_al.data.dataset_readers.objects.labelme import LabelMeReader
from allencv_al.data.image_io import load_mask


def shape(kind: str, points: Any, label: Any = "cat", **more: Any) -> dict[str, Any]:
    return {
        "label": label,
        "points": points,
        "group_id": None,
        "description": "",
        "shape_type": kind,
        "flags": {},
        "mask": None,
        **more,
    }


def write(file: Path, shapes: Any, **more: Any) -> Path:
    content = {
        "version": "5.5.0",
        "flags": {},
        "shapes": shapes,
        "imagePath": file.with_suffix(".png").name,
        "imageData": None,
        "imageHeight": SIZE[1],
        "imageWidth": SIZE[0],
        **more,
    }
    file.write_text(json.dumps(content), encoding="utf-8")
    return file


@pytest.fixture
def one_image(write_images):
    def make(shapes: Any, **more: Any) -> Path:
        root = write_images("")
        write(root / "a.json", shapes, **more)
        return root

    return make


def png_of(mask: np.ndarray) -> str:
    stream = io.BytesIO()
    Image.fromarray(mask).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def test_boxes_are_read_and_an_image_without_a_file_is_unlabeled(write_images) -> None:
    root = write_images("")
    for name, boxes in BOXES.items():
        rectangles = [shape("rectangle", [[c[2], c[1]], [c[0], c[3]]], n) for n, c in boxes]
        if name != "b.png":
            write(root / name.replace("png", "json"), rectangles)
    dataset = LabelMeReader().read(root)
    assert [one.id for one in dataset if not one.is_labeled] == ["b.png"]
    write(root / "b.json", [shape("rectangle", [[0, 0], [8, 9]], "dog")])
    assert found_boxes(LabelMeReader().read(root)) == BOXES


def test_masks_of_polygons_circles_and_masks(one_image) -> None:
    crop = np.array([[True, False, True], [True, True, True]])
    root = one_image(
        [
            shape("polygon", [[1, 1], [10, 1], [10, 10], [1, 10]], "dog"),
            shape("circle", [[25, 15], [25, 20]]),
            shape("mask", [[8, 4], [10, 5]], mask=png_of(crop)),
        ]
    )
    mask = load_mask(LabelMeReader(target="masks", classes=["cat", "dog"]).read(root)[0].mask)
    rows, columns = np.mgrid[:30, :40] + 0.5
    expected = np.zeros((30, 40), np.uint8)
    expected[1:10, 1:10] = 2
    expected[(columns - 25) ** 2 + (rows - 15) ** 2 < 25] = 1
    expected[4:6, 8:11][crop] = 1
    assert (mask != expected).sum() <= 4  # on the outline of the circle
    boxes = LabelMeReader().read(root)[0].boxes
    assert np.allclose(boxes, [(1, 1, 10, 10), (20, 10, 30, 20), (8, 4, 11, 6)], atol=0.1)


def test_labels_are_flags_and_classes_of_shapes(one_image) -> None:
    root = one_image([shape("rectangle", [[1, 1], [3, 3]])], flags={"wet": True, "dark": False})
    assert LabelMeReader(target="labels").read(root)[0].labels == ("cat", "wet")


def test_lines_and_points_are_left_out_and_counted(one_image, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        found = LabelMeReader().read(one_image([shape("line", [[1, 1], [3, 3]])]))
    assert found[0].boxes == ()
    assert "left out: 1 line" in caplog.text


def test_masks_need_the_names_of_their_indices() -> None:
    with pytest.raises(ConfigurationError, match="classes: expected the class names in the order"):
        LabelMeReader(target="masks")


BAD = [
    (5, "expected an object with shapes"),
    ([5], "shapes[0]: expected an object with a shape_type, found 5"),
    ([shape("rectangle", [[1, 1]])], "shapes[0]: points: expected 2 points or more"),
    ([shape("polygon", [[1, 1], [2, 2], [3, "x"]])], "points: expected 3 points or more"),
    ([shape("rectangle", [[1, 1], [3, 3]], None)], "label: expected a name, found nothing"),
    ([shape("mask", [[1, 1], [3, 3]], mask="%")], "mask: expected a PNG in base64"),
    ([shape("mask", [[1, 1], [3, 3]], mask="aaaa")], "mask: expected a PNG in base64"),
    ([shape("mask", [[39, 1], [41, 3]], mask=png_of(np.ones((3, 3), bool)))], "inside its image"),
    ([shape("rectangle", [[50, 1], [60, 3]])], "expected a box inside the 40x30 pixels"),
]


@pytest.mark.parametrize(("shapes", "expected"), BAD)
def test_faults_name_the_file_and_the_shape(shapes: Any, expected: str, one_image) -> None:
    with pytest.raises(DataError, match=r"a\.json") as error:
        LabelMeReader().read(one_image(shapes))
    assert expected in str(error.value)


def test_a_file_of_another_size_is_refused(one_image) -> None:
    root = one_image([], imageWidth=400)
    with pytest.raises(DataError, match="its objects are those of an image of 400x30 pixels"):
        LabelMeReader().read(root)
