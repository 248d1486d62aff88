"""Folders of PNG masks, read by the dataset reader of masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from allencv_al.common.errors import DataError
from allencv_al.data.dataset_readers import DatasetReader
from allencv_al.labels.exchange.entry_objects import with_objects
from allencv_al.labels.exchange.label_entry import LabelEntry
from allencv_al.labels.exchange.object_folders import write_object_folder
from allencv_al.labels.exchange.programs.mask_folder import read_mask_folder
from allencv_al.tasks.segmentation_task import mask_text

MASK = np.zeros((4, 6), np.uint8)
MASK[1:3, 1:5] = 1
MASK[2, 2] = 2
MASK[3, 5] = 255  # void


def entry(folder: Path) -> LabelEntry:
    folder.mkdir()
    Image.new("RGB", (6, 4)).save(folder / "1.png")
    return LabelEntry("a/1.png", str(folder / "1.png"), mask_text(MASK), "label")


@pytest.mark.parametrize("placement", ["copy", "link"])
@pytest.mark.parametrize("classes", [["cat", "dog"], []])
def test_the_reader_of_masks_takes_the_folder(placement, classes, tmp_path: Path) -> None:
    entries = with_objects([entry(tmp_path / "photos")], "segmentation", classes)
    write_object_folder("masks", tmp_path / "out", entries, placement)
    reader = DatasetReader.from_params({"type": "paired_image", "num_classes": 3})
    [found] = reader.read(tmp_path / "out")
    assert (reader.decode(found).mask == MASK).all()
    assert (tmp_path / "out" / "images" / "a" / "1.png").is_symlink() == (placement == "link")


def test_void_stays_void(tmp_path: Path) -> None:
    entries = with_objects([entry(tmp_path / "photos")], "segmentation", ["cat", "dog"])
    write_object_folder("masks", tmp_path / "out", entries)
    [found] = read_mask_folder(tmp_path / "out")
    objects = found.objects(None, []).objects
    assert [(one.name, one.ignored) for one in objects] == [
        ("cat", False),
        ("dog", False),
        ("255", True),
    ]


def test_broken_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected masks in a folder masks, found none"):
        read_mask_folder(tmp_path)
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "1.png").write_bytes(b"no picture")
    [found] = read_mask_folder(tmp_path)
    problems: list[str] = []
    assert found.objects(None, problems) is None
    assert "1.png" in problems[0]
    (tmp_path / "classes.json").write_text('["cat"]')
    with pytest.raises(DataError, match="expected class names by index"):
        read_mask_folder(tmp_path)
