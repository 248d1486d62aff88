"""Compressed files are unpacked once where that is asked for, and whenever they have changed."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from fixtures.cifar_files import pixels, records, write_cifar10

from allencv_al.data.dataset_readers import CifarBinary, unpacked_files
from allencv_al.data.dataset_readers.unpacked_files import file_content, kept_contents


@pytest.fixture
def unpacked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A list that gets the name of each file that is unpacked."""
    names: list[str] = []
    unpack = unpacked_files._unpacked

    def noted(path: Path) -> np.ndarray:
        names.append(path.name)
        return unpack(path)

    monkeypatch.setattr(unpacked_files, "_unpacked", noted)
    return names


def pack(path: Path, data: np.ndarray) -> Path:
    path.write_bytes(gzip.compress(data.tobytes()))
    return path


def test_a_file_is_unpacked_each_time_but_once_where_contents_are_kept(
    tmp_path: Path, unpacked: list[str]
):
    file = pack(tmp_path / "test_batch.bin.gz", records(3))
    alone = [CifarBinary().read(file) for _ in range(2)]
    assert len(unpacked) == 2
    with kept_contents():
        together = [CifarBinary().read(file), CifarBinary(raw_colors=True).read(f"{tmp_path}")]
        assert len(unpacked) == 3
    assert len(file_content(file)) == 3 * 3073 and len(unpacked) == 4
    for found in [*alone, *together]:
        assert all((pixels(a) == pixels(b)).all() for a, b in zip(found, alone[0], strict=True))
    assert not pixels(together[0][0]).flags.writeable, "readers share it"


def test_a_file_that_has_changed_is_unpacked_again(tmp_path: Path, unpacked: list[str]):
    file = pack(tmp_path / "test_batch.bin.gz", records(3))
    with kept_contents():
        before = CifarBinary().read(file)
        pack(file, records(3, first=5))
        os.utime(file, ns=(1, 1))  # a clock may be too coarse to tell the two
        after = CifarBinary().read(file)
    assert unpacked == [file.name] * 2
    assert (pixels(before[0]) != pixels(after[0])).any()


def test_parts_of_a_kept_archive_stay_apart(tmp_path: Path):
    import tarfile

    write_cifar10(tmp_path / "folder")
    archive = tmp_path / "cifar-10-binary.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "folder", arcname="cifar-10-batches-bin")
    with kept_contents():
        found = {
            part: [CifarBinary().read(f"{archive}::{part}") for _ in range(2)]
            for part in ("train", "test")
        }
    for part, both in found.items():
        expected = CifarBinary().read(f"{tmp_path / 'folder'}::{part}")
        assert [item.id for item in both[1]] == [item.id for item in expected]
        assert np.shares_memory(pixels(both[0][0]), pixels(both[1][0]))


def test_an_error_ends_what_is_kept(tmp_path: Path, unpacked: list[str]):
    file = pack(tmp_path / "test_batch.bin.gz", records(3))
    with pytest.raises(KeyError), kept_contents():
        file_content(file)
        raise KeyError
    file_content(file)
    assert len(unpacked) == 2
