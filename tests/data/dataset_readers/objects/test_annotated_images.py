"""Images are found with the files of their objects, in two folders or side by side."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from allencv_al.common.errors import DataError
from allencv_al.data.dataset_readers import DatasetReader
from allencv_al.data.dataset_readers.objects.annotated_images import AnnotatedImageReader, Parser
from allencv_al.data.dataset_readers.objects.image_objects import AnnotatedObject, Annotation
from allencv_al.data.image_io import ImageFrame


class NumbersReader(AnnotatedImageReader):
    """Four numbers in each file; another file is a problem, and an empty one gives nothing."""

    def parser(self, path: Path) -> Parser:
        def parse(file: Path, frame: ImageFrame | None, problems: list[str]) -> Annotation | None:
            words = file.read_text(encoding="utf-8").split()
            if not words:
                return None
            if len(words) != 4:
                problems.append(f"{file.name}: expected four numbers")
                return None
            left, top, right, bottom = map(float, words)
            one = AnnotatedObject("box", (left, top, right, bottom), "cat")
            return Annotation(file.name, [one])

        return parse


Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes images and texts by their paths; it returns the folder."""

    def files(*images: str, **texts: str) -> Path:
        for name in (*images, *texts):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        for name in images:
            Image.new("RGB", (40, 30)).save(tmp_path / name)
        for name, text in texts.items():
            (tmp_path / name).write_text(text)
        return tmp_path

    return files


def read(path: Any, **options: Any) -> dict[str, Any]:
    dataset = NumbersReader(**{"annotation_ext": "txt", **options}).read(path)
    return {instance.id: instance.boxes for instance in dataset}


BOX = ((1.0, 2.0, 3.0, 4.0),)


@pytest.mark.parametrize(
    ("image", "text"),
    [
        ("images/a.png", "annotations/a.txt"),
        ("images/deep/a.png", "annotations/deep/a.txt"),
        ("images/a.png", "images/a.txt"),
        ("a.png", "a.txt"),
        ("a.png", "annotations/a.txt"),
        ("images/a.png", "annotations/a.TXT"),
    ],
)
def test_a_file_of_objects_is_found_in_either_layout(image: str, text: str, write: Write) -> None:
    root = write(image, **{text: "1 2 3 4"})
    assert read(root) == {image: BOX}


def test_the_folders_may_have_other_names(write: Write) -> None:
    root = write("photos/a.png", **{"boxes/a.box": "1 2 3 4", "annotations/a.box": "9 9 12 12"})
    names = {"image_dir": "photos", "annotation_dir": "boxes", "annotation_ext": ".box"}
    assert read(root, **names) == {"photos/a.png": BOX}


@pytest.mark.parametrize(("unannotated", "boxes"), [("empty", ()), ("unlabeled", None)])
def test_an_image_without_a_file_is_empty_or_unlabeled(
    unannotated: str, boxes: Any, write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    root = write("images/a.png", "images/b.png", **{"annotations/a.txt": "1 2 3 4"})
    assert read(root, unannotated=unannotated) == {"images/a.png": BOX, "images/b.png": boxes}
    assert "1 images have no .txt file, the first of them images/b.png" in caplog.text


def test_an_image_without_a_file_may_be_an_error(write: Write) -> None:
    root = write("images/a.png", "images/b.png", **{"annotations/a.txt": "1 2"})
    with pytest.raises(DataError, match="2 problems") as error:
        read(root, unannotated="error")
    assert "a.txt: expected four numbers" in str(error.value), "all at once"
    assert "images/b.png: no .txt file" in str(error.value)


def test_a_file_that_gives_nothing_passes_its_image_over(write: Write) -> None:
    root = write("images/a.png", "images/b.png", **{"annotations/a.txt": "1 2 3 4"})
    (root / "annotations" / "b.txt").touch()
    assert read(root) == {"images/a.png": BOX}


def test_a_file_without_an_image_is_reported(
    write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    root = write("images/a.png", **{"annotations/a.txt": "1 2 3 4", "annotations/gone.txt": "1"})
    with caplog.at_level("INFO"):
        read(root)
    assert "annotation without an image" in caplog.text and "gone.txt" in caplog.text


@pytest.mark.parametrize(
    ("path", "message"),
    [("none", "expected a folder of images and a folder of annotations"), ("::x", "no splits")],
)
def test_a_path_of_another_kind_is_an_error(path: str, message: str, write: Write) -> None:
    root = write("images/a.png")
    with pytest.raises(DataError, match=message):
        read(f"{root}{path}" if path.startswith("::") else root / path)


@pytest.mark.parametrize(
    ("name", "found"),
    [("a.tar.gz", "an archive; unpack it"), ("a.json", "a file"), ("none", "nothing")],
)
def test_what_is_no_folder_is_said(tmp_path: Path, name: str, found: str) -> None:
    if name != "none":
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(DataError, match=f"JSON files under the same names, found {found}"):
        DatasetReader.from_params("image_annotation").read(tmp_path / name)
