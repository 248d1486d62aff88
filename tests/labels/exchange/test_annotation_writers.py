"""COCO and CVAT files, as the programs that read them take them."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree.ElementTree import fromstring

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from allencv_al.labels.exchange.annotation_writers import to_coco, to_cvat
from allencv_al.labels.exchange.entry_objects import with_objects
from allencv_al.labels.exchange.label_entry import LabelEntry
from allencv_al.tasks.segmentation_task import mask_text


@pytest.fixture
def image(tmp_path: Path) -> str:
    Image.new("RGB", (6, 4)).save(tmp_path / "a.png")
    return str(tmp_path / "a.png")


BOXES = json.dumps([{"label": "dog", "x": 1, "y": 0.5, "width": 3, "height": 2}])


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")
def test_pycocotools_reads_boxes_and_masks(image: str, tmp_path: Path) -> None:
    mask = np.array([[0] * 6, [0, 1, 1, 0, 0, 0], [0, 1, 0, 0, 2, 2], [0] * 6], np.uint8)
    labels = {"detection": BOXES, "segmentation": mask_text(mask)}
    for task, text in labels.items():
        entry = LabelEntry("a.png", image, text, "label")
        open_one = LabelEntry("b.png", image, kind="skip")
        entries = with_objects([entry, open_one], task, ["cat", "dog"])
        (tmp_path / "x.json").write_text(to_coco(entries))
        found = COCO(str(tmp_path / "x.json"))
        assert [one["file_name"] for one in found.loadImgs(found.getImgIds())] == ["a.png"]
        annotations = found.loadAnns(found.getAnnIds())
        names = {one["id"]: one["name"] for one in found.loadCats(found.getCatIds())}
        if task == "detection":
            assert [(names[one["category_id"]], one["bbox"]) for one in annotations] == [
                ("dog", [1, 0.5, 3, 2])
            ]
            continue
        seen = {names[one["category_id"]]: found.annToMask(one) for one in annotations}
        assert (seen["cat"] == (mask == 1)).all() and (seen["dog"] == (mask == 2)).all()
        assert [one["area"] for one in annotations] == [3, 2]
        assert [one["bbox"] for one in annotations] == [[1, 1, 2, 2], [4, 2, 2, 1]]


def test_cvat_files_name_their_labels_and_sizes(image: str) -> None:
    entry = LabelEntry("a <1>.png", image, BOXES, "label")
    root = fromstring(to_cvat(with_objects([entry], "detection")))
    assert [one.text for one in root.iterfind("meta/task/labels/label/name")] == ["dog"]
    [found] = root.findall("image")
    assert found.attrib == {"id": "0", "name": "a <1>.png", "width": "6", "height": "4"}
    [box] = found.findall("box")
    assert [float(box.attrib[key]) for key in ("xtl", "ytl", "xbr", "ybr")] == [1, 0.5, 4, 2.5]


def test_classes_of_an_image_are_tags(image: str) -> None:
    entry = LabelEntry("a.png", image, '["cat", "dog"]', "label")
    root = fromstring(to_cvat(with_objects([entry], "multi_label")))
    assert [one.get("label") for one in root.iterfind("image/tag")] == ["cat", "dog"]


def test_crowds_are_marked_in_coco_and_left_out_elsewhere(image: str) -> None:
    box = {"x": 0, "y": 0, "width": 4, "height": 4}
    text = json.dumps([box | {"label": "dog"}, box | {"label": "cat", "crowd": True}])
    entries = with_objects([LabelEntry("a.png", image, text, "label")], "detection")
    marks = [one["iscrowd"] for one in json.loads(to_coco(entries))["annotations"]]
    assert marks == [0, 1]
    [found] = fromstring(to_cvat(entries)).findall("image/box")
    assert found.get("label") == "dog"
