"""Images with the same content are found under all their names."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from allencv_al.data.instance import Instance
from allencv_al.labels.copies import copies_of, copies_of_images, equal_images


def test_copies_name_the_first_of_their_kind(tmp_path: Path) -> None:
    head = bytes(70_000)
    contents = {
        "a": b"one",
        "b": b"two",
        "c": b"one",
        "d": head + b"x",
        "e": head + b"y",
        "f": head + b"x",
        "g": b"one",
        "h": b"four",
    }
    files = {name: tmp_path / name for name in contents}
    for name, content in contents.items():
        files[name].write_bytes(content)
    files["gone"] = tmp_path / "gone"
    assert copies_of(files) == {"c": "a", "g": "a", "f": "d"}


def test_copies_of_some_images_name_those(tmp_path: Path) -> None:
    for name, content in {"z": b"one", "a": b"one", "b": b"two", "c": b"two"}.items():
        (tmp_path / name).write_bytes(content)
    items = [Instance(name, tmp_path / name) for name in "abcz"]
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    items += [Instance("array", pixels), Instance("equal array", pixels.copy())]
    items += [
        Instance("bytes", b"x"),
        Instance("equal bytes", b"x"),
        Instance("gone", tmp_path / "n"),
    ]
    assert copies_of_images(items, {"z", "equal array", "bytes", "gone"}) == {
        "a": "z",
        "array": "equal array",
        "equal bytes": "bytes",
    }, "the ids name the originals, wherever they stand"
    assert copies_of_images(items, {"a", "z"}) == {}, "both measure"


def test_groups_of_equal_images_whatever_their_ids(tmp_path: Path) -> None:
    for name, content in {"a": b"one", "b": b"two", "c": b"one"}.items():
        (tmp_path / name).write_bytes(content)
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    images = [tmp_path / "c", pixels, tmp_path / "b", tmp_path / "a", pixels.copy(), b"x", b""]
    items = [Instance("same id", image) for image in images]
    assert equal_images(items) == [[0, 3], [1, 4]]
    assert equal_images([]) == []
