"""Folders of Pascal VOC, YOLO and LabelMe, read by the readers of these data sets."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from allencv_al.common.errors import DataError
from allencv_al.data.dataset_readers import DatasetReader
from allencv_al.labels.exchange.entry_objects import with_objects
from allencv_al.labels.exchange.label_entry import LabelEntry
from allencv_al.labels.exchange.object_folders import (
    FOLDER_FORMATS,
    write_object_folder,
)

IMAGES = {"pascal-voc": "JPEGImages", "yolo": "images", "labelme": ""}
BOXES = {"a.png": [("dog", (1, 1, 4, 3))], "sub/b.png": [("cat", (0, 0, 6, 4))], "c.png": []}


@pytest.fixture
def entries(tmp_path: Path) -> list[LabelEntry]:
    found = []
    for id, boxes in BOXES.items():
        file = tmp_path / "photos" / id
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (6, 4)).save(file)
        text = [
            {"label": n, "x": b[0], "y": b[1], "width": b[2] - b[0], "height": b[3] - b[1]}
            for n, b in boxes
        ]
        found.append(LabelEntry(id, str(file), json.dumps(text), "label"))
    return with_objects(found, "detection")


@pytest.mark.parametrize("name", IMAGES)
def test_the_reader_of_the_data_set_takes_the_folder(
    name: str, entries: list[LabelEntry], tmp_path: Path
) -> None:
    assert write_object_folder(name, tmp_path / "out", entries) == 3
    shutil.copytree(tmp_path / "photos", tmp_path / "out" / IMAGES[name], dirs_exist_ok=True)
    dataset = DatasetReader.from_params({"type": name.replace("-", "_")}).read(tmp_path / "out")
    found = {one.id.removeprefix(f"{IMAGES[name]}/"): one for one in dataset}
    for id, boxes in BOXES.items():
        assert found[id].box_labels == tuple(label for label, _ in boxes)
        for box, (_, expected) in zip(found[id].boxes, boxes, strict=True):
            assert box == pytest.approx(expected)


def test_names_of_files_that_would_be_one_are_refused(entries, tmp_path: Path) -> None:
    (tmp_path / "photos" / "a.jpg").write_bytes((tmp_path / "photos" / "a.png").read_bytes())
    twin = LabelEntry("a.jpg", str(tmp_path / "photos" / "a.jpg"), "[]", "label")
    with pytest.raises(DataError, match=r"two images would have the file Annotations/a\.xml"):
        write_object_folder(
            "pascal-voc", tmp_path / "out", [*entries, *with_objects([twin], "detection")]
        )
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_there_is_not_written_over(entries, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is there already"):
        write_object_folder("yolo", tmp_path / "photos", entries)


def test_a_folder_without_files_of_objects_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected \.xml files of objects, found none"):
        FOLDER_FORMATS["pascal-voc"].read(tmp_path)
    with pytest.raises(DataError, match="expected the names of the classes"):
        FOLDER_FORMATS["yolo"].read(tmp_path)


def test_one_file_alone_and_the_yaml_file_of_yolo(entries, tmp_path: Path) -> None:
    write_object_folder("labelme", tmp_path / "out", entries)
    [entry] = FOLDER_FORMATS["labelme"].read(tmp_path / "out" / "a.json")
    assert entry.id == "a"
    write_object_folder("yolo", tmp_path / "y", entries)
    found = FOLDER_FORMATS["yolo"].read(tmp_path / "y" / "data.yaml")
    assert [one.id for one in found] == ["a", "c", "sub/b"]
