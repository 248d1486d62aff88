"""Images are written as class folders, each split whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from allencv_al.common.errors import DataError
from allencv_al.data.sample_data import image_folders
from allencv_al.data.sample_data.image_folders import write_image_folders

SPLITS = {
    split: {
        f"{label}/{split}_{number}.png": np.full((2, 3), 10 * number, np.uint8)
        for label in ("cat", "dog")
        for number in range(2)
    }
    for split in ("train", "validation", "test")
}


def tree(folder: Path) -> dict[str, bytes]:
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def write(folder: Path) -> Path:
    return write_image_folders(folder, SPLITS, "animals")


@pytest.fixture
def written(tmp_path: Path) -> Path:
    return write(tmp_path / "whole")


def test_each_image_is_a_file_of_its_pixels(written: Path) -> None:
    assert len(tree(written)) == 12
    for split, images in SPLITS.items():
        for name, pixels in images.items():
            with Image.open(written / split / name) as image:
                assert np.array_equal(np.asarray(image), pixels)


def test_a_second_run_changes_nothing(written: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in written.rglob("*")}
    assert write(written) == written
    assert {file: file.stat().st_mtime_ns for file in written.rglob("*")} == before


def test_an_interrupted_run_is_completed(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "data"
    write_split = image_folders._write_split
    calls: list[Path] = []

    def interrupted(target: Path, images: image_folders.Images) -> None:
        calls.append(target)
        write_split(target, dict(list(images.items())[:1]) if len(calls) == 2 else images)
        if len(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(image_folders, "_write_split", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(folder)
    assert [path.name for path in folder.iterdir()] == ["train"]
    (folder / ".tmp-killed").mkdir()  # as kill -9 leaves it
    monkeypatch.setattr(image_folders, "_write_split", write_split)
    write(folder)
    assert tree(folder) == tree(written)
    assert sorted(path.name for path in folder.iterdir()) == ["test", "train", "validation"]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    assert len(tree(write(tmp_path))) == 12


def test_a_folder_with_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(DataError, match=r"expected an empty folder, found thesis\.txt"):
        write(tmp_path)
    assert tree(tmp_path) == {"thesis.txt": b"precious"}


def test_a_split_folder_with_other_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train" / "cat").mkdir(parents=True)
    (tmp_path / "train" / "cat" / "a.png").touch()
    with pytest.raises(DataError, match=r"the 4 animals .* found 1 files; remove the folder"):
        write(tmp_path)
    assert list(tree(tmp_path)) == ["train/cat/a.png"]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    with pytest.raises(DataError, match="expected a folder to write the animals to, found a file"):
        write(tmp_path / "x")
