"""The gzipped tar: every bit is under a checksum, and only plain, known files are read."""

from __future__ import annotations

import gzip
import random
import subprocess
import tarfile
import zlib
from pathlib import Path
from typing import Any

import pytest
from fixtures.archive_files import (
    CONFIG,
    MEMBERS,
    VOCABULARY,
    WEIGHTS,
    link,
    manifest_of,
    pack,
    pack_infos,
    read_with_source,
)

from allencv_al.common.errors import ArchiveError
from allencv_al.models import archive_stream
from allencv_al.models.archive_contents import read_archive, write_archive


@pytest.mark.parametrize("tool", ["tar", "tarfile"])
def test_an_archive_packed_again_by_others_is_read(
    archive: Path, tmp_path: Path, tool: str
) -> None:
    folder, again = tmp_path / "unpacked", tmp_path / "again.tar.gz"
    folder.mkdir()
    subprocess.run(["tar", "xzf", archive, "-C", folder], check=True)
    names = ["config.json", "manifest.json", "model.safetensors", "vocabulary"]
    if tool == "tar":
        subprocess.run(["tar", "czf", again, "-C", folder, *names], check=True)
    else:
        with tarfile.open(again, "w:gz") as tar:
            for name in names:
                tar.add(folder / name, arcname=name)
    assert read_archive(again).config == CONFIG


def test_an_archive_that_a_browser_has_gunzipped_is_read(archive: Path, tmp_path: Path) -> None:
    tar, bits = tmp_path / "model.tar", random.Random(0)
    content = gzip.decompress(archive.read_bytes())
    tar.write_bytes(content)
    good = read_archive(tar)
    assert good == read_with_source(read_archive(archive), tar)
    for cut in (len(content) // 2, 600):
        tar.write_bytes(content[:cut])
        with pytest.raises(ArchiveError):
            read_archive(tar)
    for bit in bits.sample(range(len(content) * 8), 300):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        tar.write_bytes(flipped)
        try:
            found = read_archive(tar)
        except ArchiveError:
            continue
        # A bit that no model depends on: a date, or the version of a package in the manifest
        assert (found.config, found.vocabulary) == (good.config, good.vocabulary)
        assert found.weights == good.weights


def test_every_flipped_bit_is_detected(archive: Path) -> None:
    content = archive.read_bytes()
    # All of the first and last bytes, where the containers keep what no checksum of theirs covers.
    picked = random.Random(0).sample(range(100 * 8, (len(content) - 100) * 8), 1500)
    edges = [*range(100 * 8), *range((len(content) - 100) * 8, len(content) * 8)]
    for bit in [*edges, *picked]:
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        archive.write_bytes(flipped)
        with pytest.raises(ArchiveError):
            read_archive(archive)


def test_a_flipped_bit_in_an_archive_packed_by_others_never_changes_what_is_read(
    tmp_path: Path,
) -> None:
    path = pack(tmp_path / "model.tar.gz", MEMBERS)
    content, good = path.read_bytes(), read_archive(path)
    detected = 0
    for bit in random.Random(0).sample(range(len(content) * 8), 1500):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            assert read_archive(path) == good
        except ArchiveError:
            detected += 1
    assert detected > 1400


def test_every_truncation_is_detected(archive: Path) -> None:
    content = archive.read_bytes()
    for length in range(0, len(content), max(1, len(content) // 300)):
        archive.write_bytes(content[:length])
        with pytest.raises(ArchiveError):
            read_archive(archive)


def test_what_follows_the_end_is_refused(archive: Path, tmp_path: Path) -> None:
    archive.write_bytes(archive.read_bytes() + b"more")
    with pytest.raises(ArchiveError, match="damaged"):
        read_archive(archive)
    by_others = pack(tmp_path / "other.tar.gz", MEMBERS)
    by_others.write_bytes(by_others.read_bytes() + b"more")
    with pytest.raises(ArchiveError, match="something follows its end"):
        read_archive(by_others)


def test_a_member_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    entries = [*MEMBERS.items(), ("manifest.json", manifest_of(MEMBERS)), *MEMBERS.items()]
    path = pack_infos(tmp_path / "model.tar.gz", entries)
    with pytest.raises(ArchiveError, match=r"'config\.json' is there twice"):
        read_archive(path)


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        (tarfile.SYMTYPE, "a symbolic link"),
        (tarfile.LNKTYPE, "a hard link"),
        (tarfile.CHRTYPE, "a device"),
        (tarfile.BLKTYPE, "a device"),
        (tarfile.FIFOTYPE, "a named pipe"),
        (tarfile.DIRTYPE, "a folder"),
        (b"Z", "of the unknown kind"),
    ],
)
def test_anything_but_a_plain_file_is_refused(tmp_path: Path, kind: bytes, word: str) -> None:
    members = {name: content for name, content in MEMBERS.items() if name != "model.safetensors"}
    path = pack_infos(
        tmp_path / "model.tar.gz",
        [*members.items(), ("manifest.json", manifest_of(MEMBERS))],
        lambda tar: link(tar, "model.safetensors", kind, "/etc/passwd"),
    )
    with pytest.raises(ArchiveError, match=word):
        read_archive(path)


def test_a_setuid_member_is_refused(tmp_path: Path) -> None:
    def add(tar: tarfile.TarFile) -> None:
        info = tarfile.TarInfo("config.json")
        info.mode = 0o4755
        tar.addfile(info)

    path = pack_infos(tmp_path / "model.tar.gz", [], add)
    with pytest.raises(ArchiveError, match="special rights"):
        read_archive(path)


def test_an_extended_header_cannot_rename_a_member(tmp_path: Path) -> None:
    path = tmp_path / "model.tar.gz"
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("config.json")
        info.pax_headers = {"path": "../../evil"}
        tar.addfile(info)
    with pytest.raises(ArchiveError, match="extended header sets 'path'"):
        read_archive(path)


def test_a_long_chain_of_extended_headers_is_refused(tmp_path: Path) -> None:
    record = b"11 mtime=1\n"
    block = tarfile.TarInfo("x")
    block.type, block.size = tarfile.XHDTYPE, len(record)
    one = block.tobuf(tarfile.USTAR_FORMAT) + record.ljust(512, b"\0")
    path = tmp_path / "model.tar.gz"
    path.write_bytes(gzipped(one * 5000))
    with pytest.raises(ArchiveError, match="extended header describes nothing"):
        read_archive(path)


def gzipped(content: bytes, level: int = 9) -> bytes:
    compressor = zlib.compressobj(level, zlib.DEFLATED, 31)
    return compressor.compress(content) + compressor.flush()


def test_a_declared_size_over_the_limit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    info = tarfile.TarInfo("config.json")
    info.size = 1 << 40
    path = tmp_path / "model.tar.gz"
    path.write_bytes(gzipped(info.tobuf(tarfile.GNU_FORMAT)))
    with pytest.raises(ArchiveError, match="bytes are over the limit"):
        read_archive(path)


def test_a_gzip_bomb_is_refused_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_stream, "_RATIO_FREE_BYTES", 1 << 20)
    path = pack(tmp_path / "model.tar.gz", {**MEMBERS, "model.safetensors": bytes(8 << 20)})
    assert path.stat().st_size < 20_000
    with pytest.raises(ArchiveError, match="decompression bomb"):
        read_archive(path)


def test_what_would_be_refused_as_a_bomb_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_stream, "_RATIO_FREE_BYTES", 1 << 20)
    path = tmp_path / "model.tar.gz"
    with pytest.raises(ArchiveError, match="decompression bomb; are the weights all zero"):
        write_archive(path, CONFIG, VOCABULARY, bytes(2 << 20))
    assert not list(tmp_path.iterdir())


def test_zeros_after_the_end_do_not_go_on_forever(tmp_path: Path) -> None:
    path = pack(tmp_path / "model.tar.gz", MEMBERS)
    tar = zlib.decompress(path.read_bytes(), 31)
    path.write_bytes(gzipped(tar + bytes(8 << 20)))
    with pytest.raises(ArchiveError, match="something follows its last member"):
        read_archive(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x1f\x8b", b"PK\x03\x04 zip", b"\x80\x04 pickle", b"\x1f\x8b\x08\x02" + bytes(500)],
)
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.tar.gz"
    path.write_bytes(content)
    with pytest.raises(ArchiveError, match="expected a model archive"):
        read_archive(path)


def test_an_interrupted_write_leaves_the_old_archive(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = archive.read_bytes()

    def full_disk(*_: Any) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archive_stream._Sink, "write", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_archive(archive, {"other": 1}, VOCABULARY, WEIGHTS)
    assert archive.read_bytes() == before
    assert [file.name for file in archive.parent.iterdir()] == ["model.tar.gz"]


@pytest.mark.slow
def test_every_single_bit_and_every_length_is_covered(archive: Path) -> None:
    content = archive.read_bytes()
    for bit in range(len(content) * 8):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        archive.write_bytes(flipped)
        with pytest.raises(ArchiveError):
            read_archive(archive)
    for length in range(len(content)):
        archive.write_bytes(content[:length])
        with pytest.raises(ArchiveError):
            read_archive(archive)


@pytest.mark.slow
def test_mutated_tars_are_refused_or_read_right(tmp_path: Path) -> None:
    """The gzip around it is made anew, so that what is inside is reached, not its checksum."""
    path = pack(tmp_path / "model.tar.gz", MEMBERS)
    tar, good = zlib.decompress(path.read_bytes(), 31), read_archive(path)
    chance = random.Random(0)
    refused = 0
    for _ in range(5000):
        mutated = bytearray(tar)
        for _ in range(chance.choice([1, 1, 2, 8, 64])):
            mutated[chance.randrange(len(mutated))] = chance.randrange(256)
        if chance.random() < 0.2:
            cut = chance.randrange(len(mutated))
            mutated = mutated[:cut] + mutated[chance.randrange(len(mutated)) :]
        path.write_bytes(gzipped(bytes(mutated), level=1))
        try:
            assert read_archive(path) == good
        except ArchiveError:
            refused += 1
    assert refused > 4500
