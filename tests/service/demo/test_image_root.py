"""`--image-root`: what lies in the folder, and nothing else on the disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from allencv_al.common.errors import ConfigurationError, DataError
from allencv_al.service.demo.image_root import ImageRoot


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with images, and a secret beside it."""
    (tmp_path / "secret.png").write_bytes(b"secret")
    folder = tmp_path / "images"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.png").write_bytes(b"first")
    (folder / "deep" / "ü b.png").write_bytes(b"second")
    (tmp_path / "images-beside").mkdir()
    (tmp_path / "images-beside" / "x.png").write_bytes(b"beside")
    return folder


def test_files_in_the_folder_are_read(folder: Path) -> None:
    root = ImageRoot(folder, 100)
    assert root.read("a.png") == b"first"
    assert root.read("deep/ü b.png") == b"second"
    assert root.read("deep/../a.png") == b"first"
    assert root.read(str(folder / "a.png")) == b"first"


def test_a_link_within_the_folder_is_followed(folder: Path) -> None:
    (folder / "link.png").symlink_to("a.png")
    assert ImageRoot(folder, 100).read("link.png") == b"first"


def test_the_folder_itself_may_be_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    root = ImageRoot(tmp_path / "link", 100)
    assert root.read("a.png") == b"first"
    assert root.read(str(tmp_path / "link" / "a.png")) == b"first"


@pytest.mark.parametrize(
    "name",
    [
        "../secret.png",
        "deep/../../secret.png",
        "{parent}/secret.png",
        "{parent}/images/../secret.png",
        "../images-beside/x.png",
        "outside.png",
        "outside/secret.png",
        "circle.png",
        "absent.png",
        "deep",
        ".",
        "",
        "pipe",
        "a.png\0.jpg",
        "a" * 5000,
        "/etc/passwd",
        "~/secret.png",
        "file:///etc/passwd",
        "\ud800.png",
    ],
)
def test_nothing_else_is_and_no_answer_tells_why(folder: Path, name: str) -> None:
    (folder / "outside.png").symlink_to(folder.parent / "secret.png")
    (folder / "outside").symlink_to(folder.parent)
    (folder / "circle.png").symlink_to("circle.png")
    os.mkfifo(folder / "pipe")
    with pytest.raises(DataError) as refused:
        ImageRoot(folder, 100).read(name.replace("{parent}", str(folder.parent)))
    assert str(refused.value) == "there is no such image below --image-root"


def test_a_file_that_is_too_large_is_not_read_whole(folder: Path) -> None:
    with pytest.raises(DataError, match="more than 4 bytes"):
        ImageRoot(folder, 4).read("a.png")


def test_a_root_that_is_no_folder_is_a_mistake(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="expected a folder, found none"):
        ImageRoot(folder / "a.png", 100)
