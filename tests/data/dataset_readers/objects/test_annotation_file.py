"""What the readers of one file for all images share."""

from __future__ import annotations

from pathlib import Path

import pytest

from allencv_al.common.errors import DataError
from allencv_al.data.dataset_readers.objects.annotation_file import (
    AnnotatedImage,
    AnnotationFile,
    AnnotationFileReader,
    json_content,
)
from allencv_al.data.dataset_readers.objects.image_objects import AnnotatedObject, Annotation


class Lines(AnnotationFileReader):
    """One image a line; each shows a cat in its upper left corner, but a `?` is unlabeled."""

    suffix = ".txt"
    program = "lines"

    def _parsed(self, file: Path, problems: list[str]) -> AnnotationFile:
        cat = AnnotatedObject("line 1", (0, 0, 2, 2), "cat")
        lines = file.read_text(encoding="utf-8").split()
        return AnnotationFile(
            [
                AnnotatedImage(
                    line.removesuffix("?"),
                    None if line.endswith("?") else Annotation(file.name, [cat]),
                )
                for line in lines
            ],
            ["dog", "cat"],
        )


def test_every_target_comes_from_the_same_objects(write_images) -> None:
    root = write_images()
    (root / "x.txt").write_text("a.png b.png?")
    boxes, masks, labels = (Lines(target=name).read(root) for name in ("boxes", "masks", "labels"))
    assert boxes[0].boxes == ((0, 0, 2, 2),)
    assert masks.reader.decode(masks[0]).mask.sum() == 4 * 2  # the second class that is declared
    assert labels[0].labels == ("cat",)
    assert not any(found[1].is_labeled for found in (boxes, masks, labels))


def test_a_box_that_fills_a_mask_is_logged(write_images, caplog) -> None:
    root = write_images()
    (root / "x.txt").write_text("a.png")
    Lines(target="masks").read(root)
    assert "1 objects have a box and no outline" in caplog.text


def test_an_image_with_two_places_is_missing(write_images) -> None:
    root = write_images("images/one")
    write_images("images/two")
    (root / "x.txt").write_text("/elsewhere/a.png")
    with pytest.raises(DataError, match=r"no image /elsewhere/a\.png in .*images"):
        Lines().read(root)
    assert len(Lines(image_dir="images/two").read(root)) == 1


def test_the_file_is_named_where_there_is_none_or_more_than_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected one lines file, found none"):
        Lines().read(tmp_path)
    with pytest.raises(DataError, match="lines file"):
        Lines().read(tmp_path / "absent.txt")


def test_what_is_no_json_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(DataError, match=r"a\.json: expected JSON"):
        json_content(tmp_path / "a.json")
