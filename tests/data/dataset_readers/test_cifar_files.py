"""Parts, archives and class names of CIFAR folders."""

from __future__ import annotations

import io
import logging
import tarfile
from collections import Counter
from pathlib import Path

import pytest
from fixtures.cifar_files import NAMES, pixels, records, write_cifar10

from allencv_al.common.errors import DataError
from allencv_al.data.dataset_readers import CifarBinary


def pack(folder: Path, archive: Path) -> Path:
    mode = {".gz": "w:gz", ".xz": "w:xz", ".bz2": "w:bz2", ".tar": "w"}[archive.suffix]
    with tarfile.open(archive, mode) as tar:  # type: ignore[call-overload]
        tar.add(folder, arcname="cifar-10-batches-bin")
    return archive


@pytest.mark.parametrize("suffix", [".tar.gz", ".tar.xz", ".tar.bz2", ".tar"])
def test_an_archive_is_read_in_place(suffix: str, tmp_path: Path):
    write_cifar10(tmp_path / "folder")
    archive = pack(tmp_path / "folder", tmp_path / f"cifar-10-binary{suffix}")
    before = sorted(tmp_path.rglob("*"))
    for part, count in (("train", 10), ("test", 3), ("all", 13), ("data_batch_2.bin", 4)):
        packed = CifarBinary().read(f"{archive}::{part}")
        plain = CifarBinary().read(f"{tmp_path / 'folder'}::{part}")
        assert len(packed) == count
        assert [i.id for i in packed] == [i.id for i in plain]
        assert packed.labels() == plain.labels()
        assert all((pixels(a) == pixels(b)).all() for a, b in zip(packed, plain, strict=True))
    assert sorted(tmp_path.rglob("*")) == before


def test_one_reader_serves_the_training_and_the_test_path(tmp_path: Path):
    write_cifar10(tmp_path)
    reader = CifarBinary(split="train")
    assert {i.id.split(":")[0] for i in reader.read(tmp_path)} == {
        *("data_batch_1.bin", "data_batch_2.bin", "data_batch_10.bin")
    }
    assert len(reader.read(f"{tmp_path}::test")) == 3  # the path decides
    assert len(reader.read(tmp_path / "test_batch.bin")) == 3
    assert len(CifarBinary(split="test").read(tmp_path)) == 3
    assert len(CifarBinary(split="all").read(tmp_path)) == 13


def test_batches_come_in_the_order_of_their_numbers(tmp_path: Path):
    write_cifar10(tmp_path)
    files = [i.id.split(":")[0] for i in CifarBinary(split="train").read(tmp_path)]
    assert list(dict.fromkeys(files)) == [
        *("data_batch_1.bin", "data_batch_2.bin", "data_batch_10.bin")
    ]


def test_a_folder_without_a_split_gives_the_training_batches_and_says_so(tmp_path: Path, caplog):
    write_cifar10(tmp_path)
    with caplog.at_level(logging.INFO, logger="allencv_al"):
        assert len(CifarBinary().read(tmp_path)) == 10
    assert f"the test batch is {tmp_path}::test" in caplog.text


def test_a_folder_with_only_a_test_batch_gives_that(tmp_path: Path):
    write_cifar10(tmp_path)
    for file in tmp_path.glob("data_batch_*"):
        file.unlink()
    assert len(CifarBinary().read(tmp_path)) == 3
    with pytest.raises(DataError, match=r"no such batches.*found test_batch\.bin"):
        CifarBinary(split="train").read(tmp_path)


def test_the_folder_of_the_download_can_be_given(tmp_path: Path):
    write_cifar10(tmp_path / "folder")
    (tmp_path / "data").mkdir()
    pack(tmp_path / "folder", tmp_path / "data" / "cifar-10-binary.tar.gz")
    assert len(CifarBinary().read(f"{tmp_path / 'data'}::test")) == 3
    (tmp_path / "folder").rename(tmp_path / "data" / "cifar-10-batches-bin")
    assert len(CifarBinary().read(f"{tmp_path / 'data'}::test")) == 3


def test_missing_names_are_the_documented_ones_and_sort_as_the_numbers(tmp_path: Path, caplog):
    write_cifar10(tmp_path, meta=False)
    with caplog.at_level(logging.INFO, logger="allencv_al"):
        labels = CifarBinary().read(tmp_path / "test_batch.bin").labels()
    assert labels == ["horse", "ship", "truck"]
    assert "no batches.meta.txt" in caplog.text
    assert sorted(NAMES) == NAMES


def test_the_meta_files_names_win(tmp_path: Path):
    write_cifar10(tmp_path)
    (tmp_path / "batches.meta.txt").write_bytes(
        b"\xef\xbb\xbf" + b"\r\n".join(b"k%d" % i for i in range(10))
    )
    (tmp_path / "mine.bin").write_bytes(records(10).tobytes())
    assert CifarBinary().read(tmp_path / "mine.bin").labels() == [f"k{i}" for i in range(10)]


def test_a_short_meta_file_is_an_error(tmp_path: Path):
    write_cifar10(tmp_path)
    (tmp_path / "batches.meta.txt").write_text("cat\ndog\n")
    with pytest.raises(DataError, match=r"batches\.meta\.txt: expected 10 label names, found 2"):
        CifarBinary().read(tmp_path)


def test_a_damaged_archive_is_named(tmp_path: Path):
    write_cifar10(tmp_path / "folder")
    archive = pack(tmp_path / "folder", tmp_path / "cifar-10-binary.tar.gz")
    content = archive.read_bytes()
    for damaged in (content[: len(content) // 2], b"<html>404</html>", b""):
        archive.write_bytes(damaged)
        with pytest.raises(DataError, match=r"cifar-10-binary\.tar\.gz"):
            CifarBinary().read(f"{archive}::all")


def test_links_in_an_archive_lead_nowhere(tmp_path: Path):
    secret = tmp_path / "secret.bin"
    secret.write_bytes(records(1).tobytes())
    archive = tmp_path / "x.tar"
    with tarfile.open(archive, "w") as tar:
        link = tarfile.TarInfo("test_batch.bin")
        link.type, link.linkname = tarfile.SYMTYPE, str(secret)
        tar.addfile(link)
        tar.addfile(tarfile.TarInfo("other.bin"), io.BytesIO())
    with pytest.raises(DataError, match=r"no such batches.*found other\.bin"):
        CifarBinary().read(f"{archive}::test")


def test_an_unknown_part_says_what_is_there(tmp_path: Path):
    write_cifar10(tmp_path)
    with pytest.raises(DataError, match=r"no such batches.*found data_batch_1\.bin"):
        CifarBinary().read(f"{tmp_path}::validation")
    with pytest.raises(DataError, match="nothing can stand behind ::"):
        CifarBinary().read(f"{tmp_path / 'test_batch.bin'}::test")


def test_a_part_may_name_several_batches(tmp_path: Path):
    write_cifar10(tmp_path)
    found = CifarBinary().read(f"{tmp_path}::data_batch_10.bin, data_batch_1.bin.gz")
    assert Counter(i.id.partition(":")[0] for i in found) == {
        "data_batch_1.bin": 4,
        "data_batch_10.bin": 2,
    }
    with pytest.raises(DataError, match=r"no such batches: data_batch_7\.bin"):
        CifarBinary().read(f"{tmp_path}::test_batch.bin,data_batch_7.bin")
