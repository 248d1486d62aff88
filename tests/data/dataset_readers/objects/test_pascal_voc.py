"""The reader of Pascal VOC files."""

from __future__ import annotations

from pathlib import Path

import pytest
from fixtures.object_files import BOXES, SIZE, bounds_of_white, found_boxes, write_turned

from allencv_al.common.errors import DataError
from allencv_al.data.dataset_readers import DatasetReader
from allencv_al.data.dataset_readers.objects.pascal_voc import PascalVocReader
from allencv_al.data.instance import IgnoredBox


def voc(objects: str, size: tuple[int, int] = SIZE) -> str:
    width, height = size
    return (
        f"<annotation><filename>renamed.jpg</filename><size><width>{width}</width>"
        f"<height>{height}</height><depth>3</depth></size>{objects}</annotation>"
    )


def voc_object(name: str, box, first: int = 1, more: str = "") -> str:
    """Return an object; VOC counts from 1 and its last pixel belongs to the box."""
    x1, y1, x2, y2 = box
    return (
        f"<object><name>{name}</name><pose>Left</pose>{more}<bndbox><xmax>{x2}</xmax>"
        f"<xmin>{x1 + first}</xmin><ymin>{y1 + first}</ymin><ymax>{y2}</ymax></bndbox>"
        "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part></object>"
    )


def write_annotations(folder: Path, first: int = 1) -> None:
    folder.mkdir(exist_ok=True)
    for name, boxes in BOXES.items():
        objects = "".join(voc_object(label, box, first) for label, box in boxes)
        (folder / name).with_suffix(".xml").write_text(voc(objects))


def test_corners_count_from_1_and_the_last_pixel_is_inside(write_images) -> None:
    root = write_images("JPEGImages")
    write_annotations(root / "Annotations")
    dataset = DatasetReader.from_params({"type": "pascal_voc"}).read(root)
    assert found_boxes(dataset) == BOXES
    assert [one.id for one in dataset] == [f"JPEGImages/{name}" for name in BOXES]


def test_files_beside_the_images_that_count_from_0(write_images, caplog) -> None:
    root = write_images("")
    write_annotations(root, first=0)
    dataset = PascalVocReader(one_based=False).read(root)
    assert found_boxes(dataset) == BOXES
    assert dataset.skipped == {}
    assert caplog.text == ""
    PascalVocReader().read(root)
    assert "boxes of 1 images begin at 0" in caplog.text and "one_based" in caplog.text


def test_a_split_is_a_list_of_names(write_images) -> None:
    root = write_images("JPEGImages")
    write_annotations(root / "Annotations")
    lists = root / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("b\nempty\n")
    (lists / "cat_val.txt").write_text("a  1\nempty -1\n")
    reader = PascalVocReader()
    names = [[Path(i.id).name for i in reader.read(f"{root}::{s}")] for s in ("train", "cat_val")]
    assert names == [["b.png", "empty.png"], ["a.png", "empty.png"]]
    with pytest.raises(DataError, match="splits here: cat_val, train"):
        reader.read(f"{root}::test")
    (lists / "train.txt").write_text("b\nabsent\n")
    with pytest.raises(DataError, match=r"no images in .* of the names absent"):
        reader.read(f"{root}::train")


def test_a_difficult_object_is_neither_learned_nor_judged(write_images) -> None:
    root = write_images("")
    difficult = voc_object("cat", (0, 0, 4, 4), more="<difficult>1</difficult>")
    easy = voc_object("dog", (1, 1, 5, 5), more="<difficult>0</difficult>")
    (root / "a.xml").write_text(voc(difficult + easy))
    first = PascalVocReader().read(root)[0]
    assert (first.boxes, first.box_labels) == (((1, 1, 5, 5),), ("dog",))
    assert first.ignored == (IgnoredBox((0, 0, 4, 4), "cat"),)
    assert PascalVocReader(difficult="keep").read(root)[0].box_labels == ("cat", "dog")


BOMB = """<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]>
<annotation><object><name>&b;</name></object></annotation>"""
FILE = """<!DOCTYPE x [<!ENTITY secret SYSTEM "file:///etc/passwd">]><annotation>&secret;</annotation>"""


@pytest.mark.parametrize("content", [BOMB, FILE])
def test_entities_are_refused(content: str, write_images) -> None:
    root = write_images("")
    (root / "a.xml").write_text(content)
    with pytest.raises(DataError, match=r"a\.xml: expected no document type, found <!DOCTYPE"):
        PascalVocReader().read(root)


BAD = [
    ("<annotation>", "expected XML: no element found"),
    ("<annotation>&unknown;</annotation>", "expected XML: undefined entity"),
    ("<html></html>", "expected <annotation>, found <html>"),
    (voc("", size=(-4, 3)), "size: expected width and height, found -4, 3"),
    (voc("", size=(4, 3)), "its objects are those of an image of 4x3 pixels, but"),
    (voc("<object><name> </name></object>"), "object 1: expected a name, found none"),
    (
        voc("<object><name>x</name></object>"),
        "object 1: expected a bndbox with xmin, ymin, xmax, ymax, found nothing, nothing",
    ),
    (voc(voc_object("x", (9, 1, 3, 4))), "object 1: expected xmin <= xmax and ymin <= ymax, found"),
    (
        voc(voc_object("x", (1, 1, 3, 4)).replace(">3<", ">nan<")),
        "object 1: expected a bndbox with xmin, ymin, xmax, ymax, found 2, 2, nan, 4",
    ),
    (
        voc(voc_object("x", (1, 1, 3, 4)) + voc_object("x", (1, 30, 3, 31))),
        "object 2 (x): expected a box inside the 40x30 pixels of the image, found [1, 30, 3, 31]",
    ),
]


@pytest.mark.parametrize(("content", "expected"), BAD)
def test_faults_name_file_and_object(content: str, expected: str, write_images) -> None:
    root = write_images("")
    (root / "a.xml").write_text(content)
    with pytest.raises(DataError) as error:
        PascalVocReader().read(root)
    assert f"{root / 'a.xml'}: {expected}" in str(error.value)


def test_boxes_of_stored_pixels_are_turned_where_the_size_shows_it(tmp_path: Path) -> None:
    box = (8, 0, 24, 8)
    write_turned(tmp_path / "a.jpg", 8, SIZE, box)
    (tmp_path / "a.xml").write_text(voc(voc_object("x", box)))
    reader = PascalVocReader()
    sample = reader.load(reader.read(tmp_path)[0], 0)
    assert sample.boxes is not None
    assert sample.boxes[0].tolist() == bounds_of_white(sample.image)
    (tmp_path / "a.xml").write_text(voc(voc_object("x", box), size=(0, 0)))
    with pytest.raises(DataError, match="EXIF orientation 8"):
        reader.read(tmp_path)
