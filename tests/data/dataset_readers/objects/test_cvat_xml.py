"""The reader of CVAT files, on files as CVAT writes them."""

from __future__ import annotations

import logging
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np
import pytest
from fixtures.object_files import BOXES, SIZE, bounds_of_white, found_boxes, write_turned

from allencv_al.common.errors import DataError
from allencv_al.data.dataset_readers.objects.cvat_xml import CvatReader
from allencv_al.data.image_io import load_mask

HEAD = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <task>
      <id>4</id>
      <name>pets</name>
      <labels>
        <label><name>dog</name><color>#fa32b7</color><type>any</type><attributes></attributes></label>
        <label><name>cat</name><color>#8080c0</color><type>any</type><attributes></attributes></label>
      </labels>
    </task>
    <dumped>2026-11-27 10:00:00.000000+00:00</dumped>
  </meta>
"""


def image(name: str, shapes: str = "", size: tuple[int, int] = SIZE) -> str:
    head = f'<image id="0" name={quoteattr(name)} width="{size[0]}" height="{size[1]}">'
    return f"  {head}{shapes}</image>\n"


def box(label: str, corners: tuple[float, ...], more: str = "") -> str:
    names = zip(("xtl", "ytl", "xbr", "ybr"), corners, strict=True)
    shown = " ".join(f'{key}="{value:.2f}"' for key, value in names)
    return (
        f'<box label="{label}" source="manual" occluded="0" {shown} z_order="0" {more}>'
        '<attribute name="age">3</attribute></box>'
    )


def write(file: Path, images: str) -> Path:
    file.write_text(f"{HEAD}{images}</annotations>\n", encoding="utf-8")
    return file


def one_image(write_images, shapes: str) -> Path:
    root = write_images()
    return write(root / "annotations.xml", image("a.png", shapes))


def test_boxes_are_read_and_an_image_without_any_has_none(write_images) -> None:
    images = [image(name, "".join(box(*one) for one in boxes)) for name, boxes in BOXES.items()]
    file = write(write_images() / "annotations.xml", "".join(images))
    for path in (file, file.parent):
        dataset = CvatReader().read(path)
        assert found_boxes(dataset) == BOXES
        assert [one.id for one in dataset] == list(BOXES)


def test_images_of_a_subset_are_found_by_the_end_of_their_paths(write_images) -> None:
    root = write_images("data/default")
    file = write(root / "annotations.xml", image("train/a.png") + image("other/default/b.png"))
    found = CvatReader(image_dir="data").read(file)
    assert [Path(str(one.image)).name for one in found] == ["a.png", "b.png"]


SHAPES = (
    '<polygon label="dog" points="1.00,1.00;9.00,1.00;9.00,9.00;1.00,9.00" z_order="2"></polygon>'
    '<mask label="cat" rle="1, 2, 3" left="8" top="4" width="3" height="2" z_order="1"></mask>'
    '<ellipse label="dog" cx="25" cy="15" rx="6" ry="3" rotation="90" z_order="0"></ellipse>'
)


def test_masks_lie_over_each_other_by_z_order(write_images) -> None:
    file = one_image(write_images, SHAPES)
    mask = load_mask(CvatReader(target="masks").read(file)[0].mask)
    expected = np.zeros((30, 40), np.uint8)
    rows, columns = np.mgrid[:30, :40] + 0.5
    expected[((columns - 25) / 3) ** 2 + ((rows - 15) / 6) ** 2 < 1] = 1  # dog is the first label
    expected[4, 9:11] = 2
    expected[1:9, 1:9] = 1
    assert (mask == expected).mean() > 0.99  # the outline of the ellipse is a polygon
    assert (mask[:, :20] == expected[:, :20]).all()
    named = CvatReader(target="masks", classes=["cat", "dog"]).read(file)[0].mask
    assert load_mask(named)[1, 1] == 2
    with pytest.raises(DataError, match=r'"dog" is none of the classes cat'):
        CvatReader(target="masks", classes=["cat"]).read(file)


def test_boxes_around_other_shapes(write_images) -> None:
    more = box("cat", (10, 10, 20, 14), 'rotation="90.0"')
    first = CvatReader().read(one_image(write_images, SHAPES + more))[0]
    assert first.box_labels == ("dog", "cat", "cat", "dog")
    expected = [(22, 9, 28, 21), (13, 7, 17, 17), (9, 4, 11, 5), (1, 1, 9, 9)]
    assert np.allclose(first.boxes, expected, atol=0.1)


def test_labels_are_tags_and_classes_of_objects(write_images) -> None:
    tag = '<tag label="outdoor" source="manual"></tag>'
    dataset = CvatReader(target="labels").read(one_image(write_images, tag + SHAPES + tag))
    assert dataset[0].labels == ("cat", "dog", "outdoor")


def test_what_is_no_area_is_left_out_and_counted(write_images, caplog) -> None:
    line = '<polyline label="cat" points="1,1;2,2"></polyline>'
    with caplog.at_level(logging.WARNING):
        dataset = CvatReader().read(one_image(write_images, line * 2 + SHAPES))
    assert len(dataset[0].boxes) == 3
    assert "left out: 2 polyline" in caplog.text


@pytest.mark.parametrize("orientation", [3, 6])
@pytest.mark.parametrize("is_upright", [True, False])
def test_turned_images(orientation: int, is_upright: bool, tmp_path: Path) -> None:
    stored = (4, 6, 14, 18)
    write_turned(tmp_path / "a.png", orientation, SIZE, stored)
    reader = CvatReader(coordinates="upright" if is_upright else "stored")
    place = bounds_of_white(reader.decode(CvatReader().make_instance(tmp_path / "a.png")).image)
    size = SIZE[::-1] if orientation == 6 and is_upright else SIZE
    corners = tuple(place) if is_upright else stored
    file = write(tmp_path / "x.xml", image("a.png", box("cat", corners), size))
    assert reader.read(file)[0].boxes == (tuple(place),)
    masks = CvatReader(target="masks", coordinates=reader.coordinates).read(file)
    rows, columns = np.nonzero(masks.reader.decode(masks[0]).mask)
    assert [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] == place


BAD = [
    ('<box label="cat" xtl="1" ytl="2" xbr="x" ybr="4"/>', "box 1: xbr: expected a number"),
    ('<box xtl="1" ytl="2" xbr="3" ybr="4"/>', "box 1: expected a label"),
    ('<polygon label="cat" points="1,2;3,4"/>', 'expected points "x,y;x,y;x,y"'),
    ('<mask label="cat" rle="9" left="0" top="0" width="2" height="2"/>', "runs of 4 pixels"),
    ('<mask label="cat" rle="4" left="39" top="0" width="2" height="2"/>', "inside its image"),
    (box("cat", (50, 1, 60, 4)), "expected a box inside the 40x30 pixels"),
]


@pytest.mark.parametrize(("shape", "expected"), BAD)
def test_faults_name_the_image_and_the_object(shape: str, expected: str, write_images) -> None:
    with pytest.raises(DataError) as error:
        CvatReader().read(one_image(write_images, shape))
    assert expected in str(error.value) and "image 1 (a.png)" in str(error.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<annotation/>", "expected <annotations> of CVAT, found <annotation>"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotations/>', "expected no document type"),
        ('<annotations><track id="0"/></annotations>', "the tracks of a video"),
        ('<annotations><image name="a.png"/></annotations>', "expected width and height"),
        ("<annotations><image/></annotations>", "image 1: expected a name"),
        ("{}", "expected XML"),
    ],
)
def test_what_is_no_such_file_is_refused(text: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "x.xml").write_text(text)
    with pytest.raises(DataError, match=expected):
        CvatReader().read(tmp_path / "x.xml")
