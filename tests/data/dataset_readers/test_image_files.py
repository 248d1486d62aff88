from __future__ import annotations

from pathlib import Path

import pytest

from allencv_al.data.dataset_readers.image_files import count_images, is_image_name


def test_images_of_phones_are_listed_and_what_else_lies_there_is_counted_by_name(
    tmp_path: Path,
) -> None:
    for name in (
        *("IMG_1.HEIC", "IMG_2.heif", "IMG_3.avif", "IMG_4.JPG"),
        *("IMG_1.MOV", "clip.mp4", "IMG_5.DNG", "scan.dcm", "notes.txt", "README"),
    ):
        (tmp_path / name).write_bytes(b"")
    for name in ("IM000001", "1.2.840.113619.2.55"):
        (tmp_path / name).write_bytes(bytes(128) + b"DICM" + bytes(8))
    names, skipped = count_images(tmp_path)
    assert names == ["IMG_1.HEIC", "IMG_2.heif", "IMG_3.avif", "IMG_4.JPG"]
    assert skipped.counts == {"DICOM": 3, "camera raw": 1, "foreign": 2, "video": 2}
    assert "2 video (IMG_1.MOV, clip.mp4)" in str(skipped)


@pytest.mark.parametrize("name", ["a.heic", "a.HEIF", "a.hif", "a.avif", "a.jp2"])
def test_an_image_is_known_by_its_name(name: str) -> None:
    assert is_image_name(name)


@pytest.mark.parametrize("name", ["a.dcm", "a.mov", "heic", ".heic.txt"])
def test_another_file_is_none(name: str) -> None:
    assert not is_image_name(name)
