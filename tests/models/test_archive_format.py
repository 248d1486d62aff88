"""Names, sizes and the manifest of an archive."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fixtures.archive_files import CONFIG, MEMBERS, VOCABULARY, WEIGHTS, manifest_of, pack

from allencv_al.common.errors import ArchiveError
from allencv_al.models import archive_format
from allencv_al.models.archive_contents import read_archive, write_archive


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


def test_an_archive_is_not_written_with_a_name_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="foreign"):
        write_archive(tmp_path / "x.tar.gz", CONFIG, {"labels.py": b""}, WEIGHTS)
    assert archive_format.FORMAT_VERSION == 1


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
