"""The images of other programs' files are found near them, by paths and by the ends of paths."""

from __future__ import annotations

from pathlib import Path

import pytest

from allencv_al.common.errors import DataError
from allencv_al.labels.exchange.annotation_entries import tagged
from allencv_al.labels.exchange.label_entry import LabelEntry
from allencv_al.labels.exchange.source_images import with_image_files


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("set/images/a/1.png", "set/images/b/1.png", "set/images/b/2.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "set" / "x.json").write_text("{}")
    return tmp_path / "set"


@pytest.mark.parametrize(
    ("given", "id"),
    [
        (LabelEntry("b/2.png"), "b/2.png"),
        (LabelEntry("7", "b/2.png"), "7"),
        (LabelEntry("images/b/2.png"), "images/b/2.png"),
        (LabelEntry("gs://bucket/photos/b/2.png"), "b/2.png"),
        (LabelEntry("C:\\photos\\2.png"), "b/2.png"),
        (LabelEntry("b/2", objects=tagged("cat")), "b/2.png"),
        (LabelEntry("2.png"), "2.png"),
        (LabelEntry("2", objects=tagged("cat")), "2.png"),
    ],
)
def test_an_image_is_found(given: LabelEntry, id: str, root: Path) -> None:
    [found] = with_image_files([given], root / "x.json")
    assert (found.id, found.image) == (id, str(root / "images" / "b" / "2.png"))


def test_an_absolute_path_becomes_one_below_the_images(root: Path, tmp_path: Path) -> None:
    file = root / "images" / "b" / "2.png"
    [found] = with_image_files([LabelEntry(str(file), str(file))], root / "x.json")
    assert (found.id, found.image) == ("b/2.png", str(file))
    [found] = with_image_files([LabelEntry("2.png")], tmp_path / "no.json", root / "images")
    assert (found.id, found.image) == ("2.png", str(file))


def test_one_name_of_several_files_is_a_fault_and_an_unknown_one_is_none(root: Path) -> None:
    with pytest.raises(DataError, match=r'entry: "/data/1.png": 2 images have this name'):
        with_image_files([LabelEntry("/data/1.png")], root / "x.json")
    unknown = LabelEntry("9.png")
    assert with_image_files([unknown], root) == [unknown]
