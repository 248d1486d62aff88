"""Archives as files: what is written comes back, and whatever else is refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.archive_files import (
    CONFIG,
    MEMBERS,
    VOCABULARY,
    WEIGHTS,
    manifest_of,
    pack,
    pack_infos,
    read_with_source,
)
from safetensors.numpy import save

from allencv_al.common.errors import ArchiveError
from allencv_al.models.archive_contents import read_archive, write_archive


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


def test_too_many_vocabulary_files_are_refused(tmp_path: Path) -> None:
    many = {f"vocabulary/{i}.txt": b"x\n" for i in range(1001)}
    path = pack(tmp_path / "model.tar.gz", {**MEMBERS, **many})
    with pytest.raises(ArchiveError, match="more than 1000 vocabulary files"):
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


def test_samples_travel_along(tmp_path: Path) -> None:
    samples = {"01.jpg": b"second", "00.png": b"first"}
    path = tmp_path / "model.tar.gz"
    write_archive(path, CONFIG, VOCABULARY, WEIGHTS, samples=samples)
    assert read_archive(path).samples == samples
    folder = tmp_path / "unpacked"
    with tarfile.open(path) as tar:
        tar.extractall(folder, filter="data")
    assert read_archive(folder).samples == samples
