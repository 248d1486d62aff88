"""Archives as files: what is written comes back, and whatever else is refused."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from allencv_al.common.errors import ArchiveError
from allencv_al.models import archive_format, archive_stream
from allencv_al.models.archive_contents import read_archive, write_archive

CONFIG = {"model": {"type": "some_model"}, "dataset_reader": {"type": "some_reader"}}
VOCABULARY = {"labels.txt": b"Cat\nDog\n", "non_padded_namespaces.txt": b"*labels\n"}
WEIGHTS = save({"layer.weight": np.random.default_rng(0).random((20, 10), dtype=np.float32)})
MEMBERS = {
    "config.json": json.dumps(CONFIG).encode(),
    "vocabulary/labels.txt": VOCABULARY["labels.txt"],
    "model.safetensors": WEIGHTS,
}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "model.tar.gz"
    write_archive(path, CONFIG, VOCABULARY, WEIGHTS)
    return path


def manifest_of(members: dict[str, bytes], changes: dict[str, Any] | None = None) -> bytes:
    value = {
        "format": "allencv_al model archive",
        "format_version": 1,
        "versions": {},
        "members": {
            name: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in members.items()
        },
    }
    return json.dumps({**value, **(changes or {})}).encode()


def pack(path: Path, members: dict[str, bytes], manifest: bytes | None = None) -> Path:
    """Pack members as somebody with Python and no good will could: by hand, hashes right."""
    return pack_infos(path, {**members, "manifest.json": manifest or manifest_of(members)}.items())


def pack_infos(
    path: Path, entries: Any, extra: Callable[[tarfile.TarFile], None] | None = None
) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        if extra:
            extra(tar)
        for name, content in entries:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def link(tar: tarfile.TarFile, name: str, kind: bytes, target: str = "") -> None:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = target
    tar.addfile(info)


def test_what_is_written_comes_back(archive: Path) -> None:
    contents = read_archive(archive)
    assert contents.config == CONFIG
    assert contents.vocabulary == VOCABULARY
    assert contents.weights == WEIGHTS
    assert contents.versions["python"].startswith("3.")


def test_the_same_model_gives_the_same_bytes(archive: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.tar.gz"
    write_archive(again, CONFIG, dict(reversed(VOCABULARY.items())), WEIGHTS)
    assert again.read_bytes() == archive.read_bytes()


def test_other_tools_can_unpack_it_and_the_folder_is_an_archive(
    archive: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "unpacked"
    folder.mkdir()
    subprocess.run(["tar", "xzf", archive, "-C", folder], check=True)
    assert read_archive(folder) == read_with_source(read_archive(archive), folder)


def read_with_source(contents: Any, source: Path) -> Any:
    return type(contents)(
        str(source), contents.config, contents.vocabulary, contents.weights, contents.versions
    )


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


def test_a_changed_member_is_refused(tmp_path: Path) -> None:
    evil = {**MEMBERS, "config.json": b'{"model": {"type": "other_model"}}'}
    path = pack(tmp_path / "model.tar.gz", evil, manifest_of(MEMBERS))
    with pytest.raises(ArchiveError, match=r"config\.json has .* bytes, its manifest says"):
        read_archive(path)
    same_size = {**MEMBERS, "vocabulary/labels.txt": b"Dog\nCat\n"}
    pack(path, same_size, manifest_of(MEMBERS))
    with pytest.raises(ArchiveError, match=r"labels\.txt does not have the SHA-256"):
        read_archive(path)


@pytest.mark.parametrize("name", ["manifest.json", "config.json", "model.safetensors"])
def test_a_missing_member_is_named(tmp_path: Path, name: str) -> None:
    members = {**MEMBERS, "manifest.json": manifest_of(MEMBERS)}
    del members[name]
    path = pack_infos(tmp_path / "model.tar.gz", members.items())
    with pytest.raises(ArchiveError, match=f"{name} is missing"):
        read_archive(path)


def test_a_member_that_the_manifest_does_not_list_is_refused(tmp_path: Path) -> None:
    members = {**MEMBERS, "vocabulary/more.txt": b"x\n"}
    path = pack(tmp_path / "model.tar.gz", members, manifest_of(MEMBERS))
    with pytest.raises(ArchiveError, match=r"'vocabulary/more\.txt' is not listed"):
        read_archive(path)


@pytest.mark.parametrize(
    "name",
    [
        "../evil.txt",
        "/etc/cron.d/evil",
        "vocabulary/../../evil.txt",
        "vocabulary/..\\..\\evil.txt",
        "C:\\evil.txt",
        "..",
    ],
)
def test_a_path_that_leads_outside_is_refused(tmp_path: Path, name: str) -> None:
    path = pack(tmp_path / "model.tar.gz", {**MEMBERS, name: b"evil"})
    with pytest.raises(ArchiveError, match="the path leads outside the archive"):
        read_archive(path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["model.tar.gz"]


@pytest.mark.parametrize(
    "name",
    [
        "weights.th",
        "model.pkl",
        ".allennlp_plugins",
        "my_plugin.py",
        "sitecustomize.py",
        "meta.json",
        "vocabulary/.hidden.txt",
        "vocabulary/labels.py",
        "vocabulary/deeper/labels.txt",
        "vocabulary/a\nb.txt",
        "./config.json",
        "config.jsonnet",
        "CONFIG.JSON",
        "vocabulary/" + "x" * 200 + ".txt",
    ],
)
def test_a_foreign_member_is_refused(tmp_path: Path, name: str) -> None:
    path = pack(tmp_path / "model.tar.gz", {**MEMBERS, name: b"evil"})
    with pytest.raises(ArchiveError, match=r"is foreign to a model archive|extended header"):
        read_archive(path)


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


def test_too_many_vocabulary_files_are_refused(tmp_path: Path) -> None:
    many = {f"vocabulary/{i}.txt": b"x\n" for i in range(1001)}
    path = pack(tmp_path / "model.tar.gz", {**MEMBERS, **many})
    with pytest.raises(ArchiveError, match="more than 1000 vocabulary files"):
        read_archive(path)


@pytest.mark.parametrize("version", [2, 99])
def test_a_newer_format_asks_for_an_upgrade(tmp_path: Path, version: int) -> None:
    manifest = manifest_of(MEMBERS, {"format_version": version, "members": {"new.bin": "whatever"}})
    path = pack(tmp_path / "model.tar.gz", MEMBERS, manifest)
    with pytest.raises(ArchiveError, match=f"newer allencv_al: its format version is {version}"):
        read_archive(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "other"},
        {"format_version": 0},
        {"format_version": "1"},
        {"format_version": True},
        {"members": []},
        {"members": {"config.json": {"size": 1, "sha256": "0" * 64}}},
        {"members": {"config.json": {"size": -1, "sha256": "0" * 64}}},
        {"members": {"config.json": {"size": 1, "sha256": "short"}}},
        {"members": {"config.json": {"size": 1.0, "sha256": "0" * 64}}},
        {"members": {"config.json": {"size": 1 << 50, "sha256": "0" * 64}}},
        {"members": {"manifest.json": {"size": 1, "sha256": "0" * 64}}},
        {"members": {"\ud800.txt": {"size": 1, "sha256": "0" * 64}}},
    ],
)
def test_a_wrong_manifest_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    path = pack(tmp_path / "model.tar.gz", MEMBERS, manifest_of(MEMBERS, changes))
    with pytest.raises(ArchiveError):
        read_archive(path)


@pytest.mark.parametrize(
    "config",
    [
        b"\x80\x04\x95pickle",
        b"local x = import '/etc/passwd'; {}",
        b'{"a": importstr "/etc/passwd"}',
        b'{"a": 1, "a": 2}',
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b"[1]",
        b'"text"',
        b"",
        b"\xff\xfe",
        b'{"a":' * 100_000,
        b'{"a":' * 65 + b"1" + b"}" * 65,
        b'{"a": ' + b"1" * 5000 + b"}",
    ],
)
def test_a_config_that_is_not_plain_json_is_refused(tmp_path: Path, config: bytes) -> None:
    path = pack(tmp_path / "model.tar.gz", {**MEMBERS, "config.json": config})
    with pytest.raises(ArchiveError, match=r"config\.json"):
        read_archive(path)


@pytest.mark.parametrize(
    ("config", "where"),
    [
        ({"model": {"type": "subprocess.Popen", "args": ["true"]}}, "model.type"),
        ({"trainer": {"callbacks": [{"type": "os.system"}]}}, "trainer.callbacks.0.type"),
        ({"model": {"a": [[{"type": "a:b"}]]}}, "model.a.0.0.type"),
        ({"type": "builtins.eval"}, "type"),
    ],
)
def test_a_dotted_type_is_refused_wherever_it_stands(
    tmp_path: Path, config: dict[str, Any], where: str
) -> None:
    path = pack(tmp_path / "model.tar.gz", {**MEMBERS, "config.json": json.dumps(config).encode()})
    with pytest.raises(ArchiveError, match=f"{where}: .* is a path to code"):
        read_archive(path)


def test_an_archive_may_not_load_another(tmp_path: Path) -> None:
    config = {"model": {"encoder": {"_pretrained": {"archive_file": "http://example.org/x"}}}}
    path = pack(tmp_path / "model.tar.gz", {**MEMBERS, "config.json": json.dumps(config).encode()})
    with pytest.raises(ArchiveError, match=r"model\.encoder\._pretrained"):
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


def test_an_archive_of_allennlp_is_refused_with_the_reason(tmp_path: Path) -> None:
    entries = [("config.json", b"{}"), ("vocabulary/labels.txt", b"a\n")]
    path = pack_infos(tmp_path / "model.tar.gz", entries)
    with pytest.raises(ArchiveError, match=r"manifest\.json is missing.*pickled"):
        read_archive(path)


def test_an_absent_archive_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"nowhere: there is no such archive"):
        read_archive(tmp_path / "nowhere")


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    (folder / "vocabulary").mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "best.safetensors").write_bytes(WEIGHTS)
    for name, content in VOCABULARY.items():
        (folder / "vocabulary" / name).write_bytes(content)
    return folder


def test_the_folder_of_a_run_is_read_while_it_trains(run_folder: Path) -> None:
    (run_folder / "vocabulary" / ".lock").touch()
    contents = read_archive(run_folder)
    assert (contents.config, contents.vocabulary, contents.weights) == (CONFIG, VOCABULARY, WEIGHTS)


def test_a_run_without_weights_says_what_to_wait_for(run_folder: Path) -> None:
    (run_folder / "best.safetensors").unlink()
    with pytest.raises(ArchiveError, match=r"no best\.safetensors yet"):
        read_archive(run_folder)


def test_a_run_folder_with_an_archive_only_gives_the_archive(
    run_folder: Path, archive: Path
) -> None:
    (run_folder / "best.safetensors").unlink()
    shutil.copy(archive, run_folder)
    assert read_archive(run_folder).weights == WEIGHTS


def test_the_newer_of_weights_and_archive_is_read(run_folder: Path, archive: Path) -> None:
    newer = save({"layer.weight": np.zeros(3, dtype=np.float32)})
    (run_folder / "best.safetensors").write_bytes(newer)
    shutil.copy(archive, run_folder)
    weights_time = (run_folder / "best.safetensors").stat().st_mtime_ns
    for seconds, expected in ((10, WEIGHTS), (-10, newer)):
        archive_time = weights_time + seconds * 10**9
        os.utime(run_folder / "model.tar.gz", ns=(archive_time, archive_time))
        assert read_archive(run_folder).weights == expected


def test_an_empty_folder_is_no_archive(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"expected manifest\.json"):
        read_archive(tmp_path)


def unpack_by_hand(folder: Path, members: dict[str, bytes]) -> Path:
    for name, content in {**members, "manifest.json": manifest_of(members)}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_an_unpacked_archive_is_held_to_its_manifest(tmp_path: Path) -> None:
    folder = unpack_by_hand(tmp_path / "unpacked", MEMBERS)
    (folder / "vocabulary" / "labels.txt").write_bytes(b"Dog\nCat\n")
    with pytest.raises(ArchiveError, match="SHA-256"):
        read_archive(folder)
    (folder / "vocabulary" / "labels.txt").unlink()
    with pytest.raises(ArchiveError, match=r"vocabulary/labels\.txt is missing"):
        read_archive(folder)


def test_links_in_an_unpacked_archive_are_refused(tmp_path: Path) -> None:
    folder = unpack_by_hand(tmp_path / "unpacked", MEMBERS)
    outside = tmp_path / "outside.txt"
    (folder / "vocabulary" / "labels.txt").replace(outside)
    (folder / "vocabulary" / "labels.txt").symlink_to(outside)
    with pytest.raises(ArchiveError, match="is a link"):
        read_archive(folder)
    (folder / "vocabulary" / "labels.txt").unlink()
    (folder / "vocabulary").rmdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    outside.replace(elsewhere / "labels.txt")
    (folder / "vocabulary").symlink_to(elsewhere)
    with pytest.raises(ArchiveError, match="is a link"):
        read_archive(folder)


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


def test_an_archive_is_not_written_with_a_name_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="foreign"):
        write_archive(tmp_path / "x.tar.gz", CONFIG, {"labels.py": b""}, WEIGHTS)
    assert archive_format.FORMAT_VERSION == 1


def test_samples_travel_along(tmp_path: Path) -> None:
    samples = {"01.jpg": b"second", "00.png": b"first"}
    path = tmp_path / "model.tar.gz"
    write_archive(path, CONFIG, VOCABULARY, WEIGHTS, samples=samples)
    assert read_archive(path).samples == samples
    folder = tmp_path / "unpacked"
    with tarfile.open(path) as tar:
        tar.extractall(folder, filter="data")
    assert read_archive(folder).samples == samples


@pytest.mark.parametrize(
    "name", ["0.png", "00.svg", "000.jpg", "../00.png", "00.png.html", "٠٠.png"]
)
def test_a_sample_of_another_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArchiveError, match="member"):
        write_archive(tmp_path / "x.tar.gz", CONFIG, VOCABULARY, WEIGHTS, samples={name: b"x"})


def test_a_vocabulary_file_may_have_any_language_in_its_name(tmp_path: Path) -> None:
    vocabulary = {**VOCABULARY, "käfer_標籤.txt": b"x\n"}
    write_archive(tmp_path / "model.tar.gz", CONFIG, vocabulary, WEIGHTS)
    assert read_archive(tmp_path / "model.tar.gz").vocabulary == vocabulary


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
