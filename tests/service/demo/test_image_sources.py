"""Data URLs and files below `--image-root`."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from urllib.parse import quote_from_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allencv_al.common.errors import ConfigurationError, DataError
from allencv_al.service.demo.image_sources import ImageRoot, decode_data_url, is_data_url


@given(st.binary(max_size=200), st.sampled_from(["jpeg", "png", "svg+xml", "x-portable-pixmap"]))
def test_what_was_encoded_comes_back_whatever_the_type(content: bytes, kind: str) -> None:
    # AllenCV cut off 23 characters, so that PNG lost its first byte
    url = f"data:image/{kind};base64,".encode() + base64.b64encode(content)
    assert is_data_url(url)
    assert decode_data_url(url) == content


@pytest.mark.parametrize(
    "url",
    [
        b"data:image/png;base64,aGVs bG8/\r\n",
        b"data:image/png;base64,aGVsbG8%2F",
        b"data:IMAGE/PNG;Charset=utf-8;BASE64,aGVsbG8/",
        b"DATA:;base64,aGVsbG8/",
        b"data:application/octet-stream;base64,aGVsbG8/",
        b"data:image/png,hello%3F",
    ],
)
def test_the_ways_in_which_it_is_written(url: bytes) -> None:
    assert is_data_url(url)
    assert decode_data_url(url) == b"hello?"


def test_without_base64_bytes_are_escaped() -> None:
    content = bytes(range(256))
    assert decode_data_url(b"data:image/bmp," + quote_from_bytes(content).encode()) == content


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (b"data:image/png;base64", "found no comma"),
        (b"data:text/html;base64,aGVsbG8/", "expected an image type such as image/png, found text"),
        (b"data:image/png;base64,aGVsbG8", "invalid base64"),
        (b"data:image/png;base64,a\xffVsbG8/", "invalid base64"),
        (b"data:image/png;base64,a!Vs", "invalid base64"),
        (b"data:" + b"\xff" * 1000 + b",x", "expected an image type"),
    ],
)
def test_what_is_no_image_says_so_shortly(url: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as refused:
        decode_data_url(url)
    assert len(str(refused.value)) < 300


def test_an_image_is_no_data_url() -> None:
    assert not is_data_url(b"\x89PNG\r\n")
    assert not is_data_url(b"")


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
