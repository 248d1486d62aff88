"""Objects of an image: turned as Pillow turns the image, and checked against its size."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.object_files import EXIF_ORIENTATION
from PIL import Image, ImageOps

from allencv_al.common.errors import DataError
from allencv_al.data.dataset_readers.objects.image_objects import (
    AnnotatedObject,
    Annotation,
    Box,
    Coordinates,
    ObjectInstances,
    image_frames,
    numbers_of,
    turned_upright,
)
from allencv_al.data.image_io import ImageFrame
from allencv_al.data.instance import IgnoredBox

PHOTO = Path("photo.jpg")


def annotation(*boxes: Box, size: tuple[int, int] | None = None, **more: Any) -> Annotation:
    objects = [AnnotatedObject(f"objects[{n}]", box, "cat", **more) for n, box in enumerate(boxes)]
    return Annotation("photo.json", objects, size)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_box_is_turned_with_its_pixels(orientation: int) -> None:
    pixels = np.zeros((30, 40), np.uint8)
    pixels[2:9, 5:21] = 255
    image = Image.fromarray(pixels)
    image.getexif()[EXIF_ORIENTATION] = orientation
    upright = np.asarray(ImageOps.exif_transpose(image))
    rows, columns = np.nonzero(upright)
    expected = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    frame = ImageFrame(40, 30, orientation)
    assert turned_upright(frame)((5, 2, 21, 9)) == expected
    assert frame.upright_size == upright.shape[::-1]


@pytest.mark.parametrize(
    ("coordinates", "size", "is_turned"),
    [
        *(("upright", None, False), ("stored", None, True)),
        *(("auto", (40, 30), True), ("auto", (30, 40), False)),
    ],
)
def test_boxes_refer_to_the_pixels_that_are_chosen(
    coordinates: Coordinates, size: tuple[int, int] | None, is_turned: bool
) -> None:
    frame = ImageFrame(40, 30, 6)
    objects = ObjectInstances(coordinates)
    found = objects.make("a", PHOTO, annotation((5, 2, 21, 9), size=size), frame)
    objects.finish("here")
    expected = turned_upright(frame)((5, 2, 21, 9)) if is_turned else (5, 2, 21, 9)
    assert found.boxes == (expected,)


def test_pixels_that_cannot_be_known_are_a_problem() -> None:
    objects = ObjectInstances("auto")
    objects.make("a", PHOTO, annotation((5, 2, 21, 9)), ImageFrame(40, 30, 6))
    objects.make("b", PHOTO, annotation(), ImageFrame(40, 30, 6))  # no box to turn
    objects.make("c", PHOTO, annotation((5, 2, 21, 9)), ImageFrame(40, 30))
    with pytest.raises(DataError, match=r'EXIF orientation 6.*set coordinates to\s+"upright"'):
        objects.finish("here")
    assert len(objects.problems) == 1


def test_a_size_of_another_image_is_a_problem() -> None:
    objects = ObjectInstances()
    objects.make("a", PHOTO, annotation((5, 2, 21, 9), size=(80, 60)), ImageFrame(40, 30))
    with pytest.raises(DataError, match=r"of an image of 80x60 pixels, but photo\.jpg has 40x30"):
        objects.finish("here")


@pytest.mark.parametrize(
    ("box", "is_inside"),
    [
        *(((0, 0, 40, 30), True), ((-5, -5, 1, 1), True), ((39, 29, 90, 90), True)),
        *(((40, 0, 50, 30), False), ((0, 30, 40, 31), False), ((-9, 0, 0, 30), False)),
    ],
)
def test_a_box_has_to_meet_its_image(box: Box, is_inside: bool) -> None:
    objects = ObjectInstances()
    found = objects.make("a", PHOTO, annotation(box), ImageFrame(40, 30))
    assert found.boxes == (box,), "one over the border is cut when the image is decoded"
    assert bool(objects.problems) != is_inside
    unread = ObjectInstances()
    unread.make("a", PHOTO, annotation(box), None)
    assert unread.problems == []


def test_boxes_without_area_are_left_out_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    objects = ObjectInstances()
    found = objects.make("a", PHOTO, annotation((1, 1, 1, 9), (1, 1, 3, 3), (5, 5, 4, 9)), None)
    objects.finish("here")
    assert found.boxes == ((1, 1, 3, 3),) and found.box_labels == ("cat",)
    assert "without area were left out: 2, the first of them photo.json: objects[0]" in caplog.text


def test_ignored_objects_are_kept_apart() -> None:
    crowd = annotation((1, 1, 3, 3), ignored=True)
    found = ObjectInstances("stored").make("a", PHOTO, crowd, ImageFrame(40, 30, 3))
    assert (found.boxes, found.box_labels) == ((), ())
    assert found.ignored == (IgnoredBox((37, 27, 39, 29), "cat"),)


def test_instances_have_the_parts_that_are_asked_for() -> None:
    objects = ObjectInstances(boxes=False, keypoints=True)
    points = ((1.0, 2.0),)
    one = AnnotatedObject("objects[0]", points=points)
    found = objects.make("a", PHOTO, Annotation("photo.json", [one], metadata={"k": 1}), None)
    assert (found.boxes, found.box_labels, found.keypoints) == (None, None, (points,))
    assert found.metadata == {"k": 1}
    assert ObjectInstances(box_labels=False).make("a", PHOTO, annotation(), None).box_labels is None


def test_a_file_that_is_no_image_has_no_size(tmp_path: Path) -> None:
    Image.new("RGB", (4, 3)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"none")
    found = image_frames([tmp_path / name for name in ("b.png", "a.png", "none.png")])
    assert found == [None, ImageFrame(4, 3), None]


@pytest.mark.parametrize(
    ("value", "is_right"),
    [
        *(([1, 2.5], True), ([1], False), ([1, True], False), ([1, None], False), ("12", False)),
        *(([1, math.nan], False), ([1, math.inf], False), (None, False)),
    ],
)
def test_numbers_are_as_many_as_asked_for_and_finite(value: Any, is_right: bool) -> None:
    assert numbers_of(value, 2) == is_right
