from __future__ import annotations

import csv
import logging
import os
import tarfile
import unicodedata
from collections import Counter
from pathlib import Path

import pytest

from allencv_al.common import ConfigurationError
from allencv_al.common.errors import DataError
from allencv_al.data.dataset_readers import ImageClassificationDirectory


def ids(dataset) -> list[str]:
    return [instance.id for instance in dataset]


def test_the_top_folder_is_the_class_at_any_depth(tmp_path: Path, write_image):
    write_image("dog/b.png")
    write_image("cat/indoors/night/a.jpg")
    write_image("cat/z.jpg")
    dataset = ImageClassificationDirectory().read(tmp_path)
    assert ids(dataset) == ["cat/indoors/night/a.jpg", "cat/z.jpg", "dog/b.png"]
    assert dataset.labels() == ["cat", "cat", "dog"]
    assert dataset[0].image == tmp_path / "cat/indoors/night/a.jpg"


def test_path_may_be_a_text(tmp_path: Path, write_image):
    write_image("cat/a.png")
    assert ids(ImageClassificationDirectory().read(str(tmp_path))) == ["cat/a.png"]


@pytest.mark.parametrize(
    "name",
    [
        "a.jpg",
        "a.JPG",
        "a.Jpeg",
        "a.png",
        "a.BMP",
        "a.gif",
        "a.webp",
        "a.TIF",
        "a.tiff",
        "é 猫.jpg",
    ],
)
def test_extensions_in_upper_and_lower_case(name: str, tmp_path: Path, write_image):
    write_image(f"cat/{name}")
    dataset = ImageClassificationDirectory().read(tmp_path)
    assert ids(dataset) == [f"cat/{name}"]
    assert dataset.reader.load(dataset[0], 0).image.shape == (4, 6, 3)


def test_order_is_that_of_the_ids_whatever_the_file_system_says(tmp_path: Path, write_image):
    names = ["b/2.png", "b/10.png", "a-b/1.png", "a/x/1.png", "a/x-y.png", "a/x.png", "B/1.png"]
    for name in names:
        write_image(name)
    assert ids(ImageClassificationDirectory().read(tmp_path)) == sorted(names)


def test_hidden_and_foreign_files_are_counted(tmp_path: Path, write_image):
    write_image("cat/a.png")
    write_image("cat/.hidden.png")
    write_image(".cache/b.png")
    write_image(".cache/c.png")
    write_image("cat/.ipynb_checkpoints/b.png")
    write_image("__MACOSX/cat/a.png")
    write_image("cat/@eaDir/thumb.png")
    write_image("beside.png")
    (tmp_path / "cat" / "Thumbs.db").touch()
    (tmp_path / "cat" / "no_extension").touch()
    (tmp_path / "cat" / "jpg").touch()
    (tmp_path / "readme.txt").touch()
    dataset = ImageClassificationDirectory().read(tmp_path)
    assert ids(dataset) == ["cat/a.png"]
    assert dataset.skipped == {"hidden": 5, "foreign": 4, "beside the class folders": 1}


def test_images_without_class_folders_are_unlabeled(tmp_path: Path, write_image):
    write_image("b.png")
    write_image("a.png")
    (tmp_path / "empty").mkdir()
    dataset = ImageClassificationDirectory().read(tmp_path)
    assert ids(dataset) == ["a.png", "b.png"]
    assert dataset.labels() == [None, None]


def test_a_class_tree_can_be_read_as_an_unlabeled_pool(tmp_path: Path, write_image):
    write_image("cat/a.png")
    write_image("b.png")
    dataset = ImageClassificationDirectory(unlabeled="always").read(tmp_path)
    assert ids(dataset) == ["b.png", "cat/a.png"]
    assert dataset.labels() == [None, None]


def test_unlabeled_images_can_be_forbidden(tmp_path: Path, write_image):
    write_image("b.png")
    with pytest.raises(DataError, match=r"1 beside the class folders \(b\.png\)"):
        ImageClassificationDirectory(unlabeled="never").read(tmp_path)


def test_option_is_checked():
    with pytest.raises(ConfigurationError, match="unlabeled"):
        ImageClassificationDirectory(unlabeled="sometimes")  # type: ignore[arg-type]


def test_a_file_is_not_a_folder(tmp_path: Path):
    (tmp_path / "a.tar").touch()
    with pytest.raises(DataError, match=r"a\.tar: expected a folder .* found a file"):
        ImageClassificationDirectory().read(tmp_path / "a.tar")


def test_links_are_followed_but_never_in_a_circle(tmp_path: Path, write_image):
    write_image("elsewhere/far.png")
    write_image("set/cat/a.png")
    root = tmp_path / "set"
    (root / "dog").symlink_to(tmp_path / "elsewhere")
    (root / "cat" / "link.png").symlink_to(tmp_path / "elsewhere" / "far.png")
    (root / "cat" / "up").symlink_to(root)
    (root / "cat" / "self").symlink_to(root / "cat")
    (root / "cat" / "broken.png").symlink_to(tmp_path / "nowhere.png")
    dataset = ImageClassificationDirectory().read(root)
    assert ids(dataset) == ["cat/a.png", "cat/link.png", "dog/far.png"]
    assert dataset.skipped == {"circular link": 2, "broken link": 1}


def test_links_between_two_folders_end(tmp_path: Path, write_image):
    write_image("a/1.png")
    write_image("b/2.png")
    (tmp_path / "a" / "to_b").symlink_to(tmp_path / "b")
    (tmp_path / "b" / "to_a").symlink_to(tmp_path / "a")
    assert len(ImageClassificationDirectory().read(tmp_path)) == 4


@pytest.mark.skipif(os.name == "nt", reason="no named pipes")
def test_a_pipe_named_as_an_image_is_never_opened(tmp_path: Path, write_image):
    write_image("cat/a.png")
    os.mkfifo(tmp_path / "cat" / "pipe.jpg")
    assert ids(ImageClassificationDirectory().read(tmp_path)) == ["cat/a.png"]


def test_a_folder_that_cannot_be_listed_is_counted(tmp_path: Path, write_image, monkeypatch):
    write_image("cat/a.png")
    write_image("lost+found/b.png")
    # By mode bits it would not work for root, who may list everything.
    monkeypatch.setattr(os, "access", lambda path, mode: "lost+found" not in path)
    dataset = ImageClassificationDirectory().read(tmp_path)
    assert dataset.skipped == {"no permission": 1}
    assert ids(dataset) == ["cat/a.png"]


def test_splits_taken_for_classes_and_empty_classes_are_told(tmp_path: Path, write_image, caplog):
    write_image("train/cat/a.png")
    write_image("test/cat/a.png")
    (tmp_path / "val").mkdir()
    ImageClassificationDirectory().read(tmp_path)
    assert "class folders are named test, train; did you mean one of these" in caplog.text
    assert "no images in val" in caplog.text


def test_allencvs_constructor(tmp_path: Path, write_image):
    write_image("Cat/1.jpg")
    reader = ImageClassificationDirectory(augmentation=[], lazy=True)
    assert reader.read(tmp_path).labels() == ["Cat"]


def test_many_files_are_listed_without_a_stat_each(tmp_path: Path, monkeypatch):
    """A stat of each of 100,000 files on a network disk takes minutes."""
    for label in "ab":
        (tmp_path / label).mkdir()
        for n in range(300):
            (tmp_path / label / f"{n}.jpg").touch()
    calls: list[object] = []
    stat = os.stat
    monkeypatch.setattr(os, "stat", lambda *a, **k: calls.append(a) or stat(*a, **k))
    assert len(ImageClassificationDirectory().read(tmp_path)) == 600
    assert len(calls) < 30


def test_real_photos(shared_data: Path, tmp_path: Path):
    with tarfile.open(shared_data / "cats_dogs.tar") as archive:
        archive.extractall(tmp_path, filter="data")
    reader = ImageClassificationDirectory()
    train, test = (reader.read(tmp_path / "cats_dogs" / part) for part in ("train", "test"))
    assert Counter(train.labels()) == {"cat": 150, "dog": 150}
    assert Counter(test.labels()) == {"cat": 50, "dog": 50}
    assert train[0].id == "cat/cat.0.jpg"
    shapes = {reader.load(instance, 0).image.shape for instance in test[::10]}
    assert len(shapes) > 5 and all(shape[2] == 3 for shape in shapes)


def test_real_odd_files(shared_data: Path, tmp_path: Path):
    with tarfile.open(shared_data / "odd_files.tar") as archive:
        archive.extractall(tmp_path, filter="data")
    with (tmp_path / "odd_files" / "manifest.csv").open(encoding="utf-8") as stream:
        fails = {row["file"] for row in csv.DictReader(stream) if row["pillow_13.0.0"] == "fails"}
    reader = ImageClassificationDirectory(lazy=False, max_unreadable=0.5)
    dataset = reader.read(tmp_path / "odd_files")
    # Passed over by name: .hidden.jpg; Thumbs.db, no_extension and the manifest itself.
    assert dataset.skipped == {"hidden": 1, "foreign": 3}
    assert set(dataset.unreadable) == fails - {"Thumbs.db"}
    assert len(dataset) + len(dataset.unreadable) == 23


@pytest.mark.parametrize("name", ["_unlabeled", "unlabeled", "Unlabeled", "__unlabeled__"])
def test_a_folder_of_unlabeled_images_is_no_class(name: str, tmp_path: Path, write_image, caplog):
    write_image("cat/a.png")
    write_image(f"{name}/b.png")
    with caplog.at_level(logging.INFO):
        found = ImageClassificationDirectory().read(tmp_path)
    assert {item.id: item.label for item in found} == {"cat/a.png": "cat", f"{name}/b.png": None}
    assert f"the 1 images in {name} have no label" in caplog.text
    only_labeled = ImageClassificationDirectory(unlabeled="never").read(tmp_path)
    assert only_labeled.labels() == ["cat"]
    assert only_labeled.skipped == {"unlabeled": 1}


@pytest.mark.parametrize(
    "name", ["__MACOSX", ".ipynb_checkpoints", "@eaDir", "#recycle", "__pycache__", ".git"]
)
def test_folders_that_systems_leave_are_no_classes(name: str, tmp_path: Path, write_image, caplog):
    write_image("cat/a.png")
    write_image(f"{name}/b.png")
    found = ImageClassificationDirectory().read(tmp_path)
    assert (found.labels(), found.skipped) == (["cat"], {"hidden": 1})
    assert "so no such class" not in caplog.text


def test_two_spellings_of_a_folder_are_one_class(tmp_path: Path, write_image):
    for name in ("caf\u00e9", "cafe\u0301", "dog", "dog "):
        write_image(f"{name}/a.png")
    found = ImageClassificationDirectory().read(tmp_path)
    assert sorted(found.labels()) == ["café", "café", "dog", "dog"]
    assert len({item.id for item in found}) == 4


def test_folders_that_differ_in_case_are_said(tmp_path: Path, write_image, caplog):
    for name in ("cat/a.png", "Cat/a.png", "cat/b.png"):
        write_image(name)
    assert set(ImageClassificationDirectory().read(tmp_path).labels()) == {"cat", "Cat"}
    assert 'kept apart: "cat" (2) and "Cat" (1)' in caplog.text


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_folder_is_found_in_either_form(form: str, tmp_path: Path, write_image):
    write_image("cafe\u0301/cat/a.png")
    path = str(tmp_path / unicodedata.normalize(form, "caf\u00e9"))
    assert ImageClassificationDirectory.path_fault(path) is None
    [item] = ImageClassificationDirectory().read(path + "\r")
    assert (item.id, item.label) == ("cat/a.png", "cat")
    assert "it holds a carriage return" in (ImageClassificationDirectory.path_fault("x\r") or "")
