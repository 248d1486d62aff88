"""The published files of MNIST."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from allencv_al.common.errors import DataError
from allencv_al.data.sample_data.mnist import MD5, download_mnist


def test_the_checksums_are_those_of_the_published_files(shared_data: Path) -> None:
    for file in (shared_data / "mnist_test").iterdir():
        assert hashlib.md5(file.read_bytes()).hexdigest() == MD5[file.name]


def test_each_file_is_asked_for_and_another_one_refused(server, tmp_path: Path) -> None:
    _, url = server
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz"):
        download_mnist(tmp_path, url.rsplit("/", 1)[0], sleep=lambda _: None)
    assert not list(tmp_path.glob("*.gz"))
