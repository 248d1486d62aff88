"""Labels go into class folders and come out as they were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from fixtures.label_entries import TEXT
from hypothesis import given, settings
from hypothesis import strategies as st

from allencv_al.common.errors import DataError
from allencv_al.data.dataset_readers import ImageClassificationDirectory
from allencv_al.labels.exchange.class_folders import (
    folder_name,
    label_of,
    read_class_folders,
    write_class_folders,
)
from allencv_al.labels.exchange.label_entry import LabelEntry


@given(TEXT)
def test_every_class_has_a_folder_of_its_own(label: str) -> None:
    name = folder_name(label)
    assert label_of(name) == label
    assert "/" not in name and "\\" not in name and "\0" not in name
    assert name not in (".", "..") and not name.startswith(".")


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("Größe 猫", "Größe 猫"),
        ("a/b", "a%2Fb"),
        ("\u202egpj", "%E2%80%AEgpj"),
        ("labels.jsonl", "%6Cabels.jsonl"),
        ("con", "%63on"),
        ("100%", "100%25"),
    ],
)
def test_folders_are_called_as_the_class_where_that_can_be(label: str, name: str) -> None:
    assert folder_name(label) == name
    assert label_of(name) == label


@pytest.mark.parametrize("name", ["50%41", "%FF", "100%", "%"])
def test_names_that_others_gave_are_the_class(name: str) -> None:
    assert label_of(name) == name


@pytest.fixture
def images(tmp_path: Path) -> dict[str, Path]:
    """Three files, two of one name."""
    found = {}
    for id in ("a/1.png", "b/1.png", "2.png"):
        path = tmp_path / "images" / id
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(id.encode())
        found[id] = path
    return found


def export(
    target: Path, entries: Sequence[LabelEntry], images: Mapping[str, Path], links: bool = False
) -> int:
    """Write class folders of entries with these image files."""
    with_files = [
        replace(entry, image=str(images[entry.id])) if entry.id in images else entry
        for entry in entries
    ]
    return write_class_folders(target, with_files, "link" if links else "copy")


def read(target: Path) -> list[LabelEntry]:
    """Read class folders; leave out the image files."""
    return [replace(entry, image=None) for entry in read_class_folders(target)]


LABELED = [
    LabelEntry("a/1.png", None, "cat", "label", "anna", 1.5),
    LabelEntry("b/1.png", None, "cat", "label", extra={"x": [1]}),
    LabelEntry("2.png", None, "../<dog>", "label"),
    LabelEntry("3.png", None, None, "unsure", "ben"),
]


@pytest.mark.parametrize("links", [False, True])
def test_folders_lose_nothing(links: bool, images: dict[str, Path], tmp_path: Path) -> None:
    target = tmp_path / "out"
    assert export(target, LABELED, images, links) == 3
    assert read(target) == LABELED
    files = {path.relative_to(target).as_posix() for path in target.rglob("*.png")}
    assert files == {"cat/1.png", "cat/1-2.png", "..%2F%3Cdog%3E/2.png".replace("..", "%2E.", 1)}
    assert (target / "cat" / "1-2.png").read_bytes() == b"b/1.png"
    assert (target / "cat" / "1.png").is_symlink() == links


@pytest.mark.parametrize("label", ["$RECYCLE.BIN", "__MACOSX", "_unlabeled", "Unlabeled"])
def test_a_class_that_is_called_as_a_folder_without_a_class_is_one(
    label: str, images: dict[str, Path], tmp_path: Path
) -> None:
    entries = [LabelEntry("a/1.png", None, label, "label")]
    export(tmp_path / "out", entries, images, links=False)
    assert read(tmp_path / "out") == entries
    [instance] = ImageClassificationDirectory().read(tmp_path / "out")
    assert instance.label is not None


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20),
            st.sampled_from(["1.png", "1-2.png", "1.PNG", ".png", "..x", "a b#%41.png", "1"]),
        ),
        max_size=6,
    )
)
def test_no_class_and_no_image_is_lost_in_folders(many: list[tuple[str, str]]) -> None:
    with TemporaryDirectory() as folder:
        images, labeled = {}, []
        for number, (label, name) in enumerate(many):
            path = Path(folder) / str(number) / name
            path.parent.mkdir()
            path.write_bytes(str(number).encode())
            images[str(number)] = path
            labeled.append(LabelEntry(str(number), None, label, "label"))
        target = Path(folder) / "out"
        assert export(target, labeled, images, links=False) == len(many)
        if many:
            assert read(target) == labeled
        written = [path for path in target.rglob("*") if path.is_file()]
        assert len(written) == len(many) + 1
        assert {path.parent.parent for path in written if path.name != "labels.jsonl"} <= {target}


def test_what_is_moved_has_another_class(images: dict[str, Path], tmp_path: Path) -> None:
    target = tmp_path / "out"
    export(target, LABELED, images, links=False)
    (target / "bird").mkdir()
    (target / "cat" / "1.png").rename(target / "bird" / "1.png")
    (target / "bird" / "new.png").write_bytes(b"")
    (target / "cat" / "1-2.png").unlink()
    found = {one.id: one.label for one in read_class_folders(target)}
    assert found == {"a/1.png": "bird", "2.png": "../<dog>", "3.png": None, "new.png": "bird"}


def test_an_image_is_found_by_its_name_only_where_it_is_moved_to(
    images: dict[str, Path], tmp_path: Path
) -> None:
    target = tmp_path / "out"
    export(target, [LABELED[0], replace(LABELED[1], label="dog")], images, links=False)
    (target / "bird").mkdir()
    (target / "cat" / "1.png").rename(target / "bird" / "1.png")
    found = {one.id: one.label for one in read_class_folders(target)}
    assert found == {"a/1.png": "bird", "b/1.png": "dog"}


def test_what_a_file_says_besides_survives_folders(images: dict[str, Path], tmp_path: Path) -> None:
    many = [
        LabelEntry("a/1.png", None, "Cat", "label", extra={"file": "x"}),
        LabelEntry("b/1.png", None, "cat", "label"),
        LabelEntry("c", None, None, "skip", extra={"file": "x"}),
    ]
    export(tmp_path / "out", many, images, links=False)
    assert read(tmp_path / "out") == many


def test_a_class_with_too_long_a_name_is_said(images: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="too long for a folder: '/////"):
        export(tmp_path / "out", [replace(LABELED[0], label="/" * 100)], images, links=False)
    assert not (tmp_path / "out").exists()


def test_folders_of_others_are_read(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1.jpg").write_bytes(b"")
    [found] = read_class_folders(tmp_path)
    assert (found.id, found.label, found.kind) == ("1.jpg", "cat", "label")


def test_nothing_is_overwritten_and_nothing_half_written(
    images: dict[str, Path], tmp_path: Path
) -> None:
    target = tmp_path / "out"
    target.mkdir()
    with pytest.raises(DataError, match="is there already"):
        export(target, LABELED, images, links=False)
    images["2.png"].unlink()
    with pytest.raises(DataError, match=r"files of 1 labeled images are not there.*2\.png"):
        export(tmp_path / "other", LABELED, images, links=False)
    assert not (tmp_path / "other").exists()
    with pytest.raises(DataError, match="expected one folder a class"):
        read_class_folders(target)
