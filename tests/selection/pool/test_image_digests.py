"""Digests of images: a file is read again exactly when it may have changed."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from allencv_al.data.instance import Instance
from allencv_al.selection.pool import image_digests
from allencv_al.selection.pool.image_digests import ImageDigests


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Note the files that are read."""
    found: list[str] = []
    digest = image_digests._digest_of_file

    def noted(path: str) -> Any:
        found.append(Path(path).name)
        return digest(path)

    monkeypatch.setattr(image_digests, "_digest_of_file", noted)
    return found


def files(folder: Path, *contents: bytes, age: float = 60) -> list[Instance]:
    """Write files, as if some time ago; return them as instances."""
    instances = []
    for number, content in enumerate(contents):
        path = folder / f"{number}.png"
        path.write_bytes(content)
        instances.append(Instance(path.name, path))
    return instances


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take files that were just written for settled ones; ctime cannot be set back."""
    monkeypatch.setattr(image_digests, "_SETTLED_NS", -(10**12))


def digests_of(memo: Path, instances: list[Instance]) -> list[bytes | None]:
    with ImageDigests(memo) as digests:
        return digests.of(instances)


def test_digests_are_those_of_the_bytes(tmp_path: Path) -> None:
    instances = [*files(tmp_path, b"one", b"two"), Instance("in memory", b"one")]
    expected = [hashlib.sha256(content).digest() for content in (b"one", b"two", b"one")]
    assert digests_of(tmp_path / "memo", instances) == expected


def test_files_are_read_once(tmp_path: Path, read: list[str]) -> None:
    instances = files(tmp_path, b"one", b"two")
    first = digests_of(tmp_path / "memo", instances)
    assert sorted(read) == ["0.png", "1.png"]
    assert digests_of(tmp_path / "memo", instances) == first
    assert len(read) == 2


def test_a_changed_file_is_read_again_though_size_and_mtime_are_as_before(
    tmp_path: Path, read: list[str]
) -> None:
    instances = files(tmp_path, b"one", b"two")
    path = tmp_path / "0.png"
    before = path.stat()
    first = digests_of(tmp_path / "memo", instances)
    time.sleep(0.02)  # more than a tick of the file system's clock
    path.write_bytes(b"eno")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    read.clear()
    second = digests_of(tmp_path / "memo", instances)
    assert read == ["0.png"]
    assert second[0] == hashlib.sha256(b"eno").digest()
    assert second[1] == first[1]


def test_a_file_that_has_just_changed_is_not_remembered(
    tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_digests, "_SETTLED_NS", 10**12)
    instances = files(tmp_path, b"one")
    for _ in range(2):
        digests_of(tmp_path / "memo", instances)
    assert read == ["0.png", "0.png"]


def test_a_change_during_the_work_is_seen(tmp_path: Path) -> None:
    instances = files(tmp_path, b"one")
    with ImageDigests(tmp_path / "memo") as digests:
        digests.of(instances)
        assert digests.is_unchanged(instances[0])
        (tmp_path / "0.png").write_bytes(b"longer")
        assert not digests.is_unchanged(instances[0])


def test_what_has_no_digest(tmp_path: Path) -> None:
    images = [tmp_path / "absent.png", Image.new("RGB", (2, 2)), tmp_path]
    instances = [Instance(str(number), image) for number, image in enumerate(images)]
    assert digests_of(tmp_path / "memo", instances) == [None, None, None]


def test_arrays_differ_by_content_shape_and_type(tmp_path: Path) -> None:
    arrays = [np.zeros((2, 6, 3)), np.zeros((3, 4, 3)), np.ones((2, 6, 3))]
    instances = [Instance(str(n), array.astype(np.uint8)) for n, array in enumerate(arrays)]
    assert len(set(digests_of(tmp_path / "memo", instances))) == 3
    turned = Instance("turned", np.ones((3, 6, 2), np.uint8).transpose(2, 1, 0))
    assert digests_of(tmp_path / "memo", [turned])[0] == digests_of(tmp_path / "memo", instances)[2]


@pytest.mark.parametrize("damage", ["a text", "a folder", "no folder"])
def test_a_memo_that_cannot_be_used_costs_reading_again(
    tmp_path: Path, read: list[str], damage: str
) -> None:
    instances = files(tmp_path, b"one")
    memo = tmp_path / "memo"
    if damage == "a text":
        memo.write_text("no database at all" * 100)
    elif damage == "a folder":
        memo.mkdir()
    else:
        memo = tmp_path / "0.png" / "memo"
    expected = [hashlib.sha256(b"one").digest()]
    assert digests_of(memo, instances) == expected
    assert digests_of(memo, instances) == expected
    if damage == "a text":  # it was replaced by a sound one
        read.clear()
        assert digests_of(memo, instances) == expected
        assert read == []
