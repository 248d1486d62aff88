"""Archives that ask for time, memory or folders that they were not given."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from allencv_al.common.errors import ArchiveError
from allencv_al.models import untrusted_build
from allencv_al.models.archive import archive_model, load_archive
from allencv_al.models.untrusted_build import declared_numbers

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def members(tiny_run: Path) -> dict[str, bytes]:
    with tarfile.open(archive_model(tiny_run)) as tar:
        found = {info.name: tar.extractfile(info) for info in tar}
        return {name: file.read() for name, file in found.items() if file is not None}


def fault_of(tmp_path: Path, members: dict[str, bytes]) -> str:
    """Pack members with a manifest that is right about them; return why they are refused."""
    kept = {name: content for name, content in members.items() if name != "manifest.json"}
    manifest = {
        "format": "allencv_al model archive",
        "format_version": 1,
        "versions": {},
        "members": {
            name: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in kept.items()
        },
    }
    path = tmp_path / "hostile.tar.gz"
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        for name, content in {"manifest.json": json.dumps(manifest).encode(), **kept}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    began = time.monotonic()
    with pytest.raises(ArchiveError) as caught:
        load_archive(path)
    assert time.monotonic() - began < 15
    return str(caught.value)


def test_a_regular_expression_that_searches_for_days_is_not_searched() -> None:
    began = time.monotonic()
    archive = load_archive(Path(__file__).with_name("slow_regex.tar.gz"))
    assert time.monotonic() - began < 30
    assert len(archive.model.state_dict()) > 4


def reader(**values: Any) -> Change:
    return lambda config: config.update(dataset_reader={**config["dataset_reader"], **values})


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda c: c["model"].update(num_labels=2**24), "describes a model of"),
        (lambda c: c["model"].update(num_labels=2**40), "num_labels: expected at most 16,777,216"),
        (lambda c: c["model"].update(num_layers=10**9), "num_layers: expected at most 1,000"),
        (lambda c: c["model"].update(type="x" * 2_000_000), "is not a registered"),
        (reader(type="paired_image", image_dir="/etc"), "image_dir ('/etc'): an archive's reader"),
        (reader(type="paired_image", mask_dir="a/../../b"), "mask_dir ('a/../../b')"),
        (reader(type="paired_image", mask_ext="/../../x"), "mask_ext ('/../../x')"),
        (reader(type="image_annotation", annotation_dir="..\\x"), "annotation_dir ('..\\\\x')"),
        (
            reader(augmentation=[{"type": "resize", "height": 10**6, "width": 10**6}]),
            "Resize makes images of 1000000x1000000",
        ),
    ],
)
def test_a_config_that_asks_for_too_much_is_refused(
    tmp_path: Path, members: dict[str, bytes], change: Change, expected: str
) -> None:
    config = json.loads(members["config.json"])
    change(config)
    message = fault_of(tmp_path, {**members, "config.json": json.dumps(config).encode()})
    assert expected in message


def test_a_network_of_very_many_layers_is_refused(
    tmp_path: Path, members: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(untrusted_build, "MOST_MODULES", 2)
    assert "describes more than 2 layers" in fault_of(tmp_path, members)


def safetensors(header: Any) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (safetensors({"a": {"dtype": "F32", "shape": [10**12]}}), "declares 1,000,000,000,000"),
        (safetensors({"a": {"dtype": "F32", "shape": ["x"]}}), "header cannot be read"),
        (safetensors({"a": {"dtype": "F32"}}), "header cannot be read"),
        (safetensors(b"[" * 100_000), "header cannot be read"),
        (safetensors([]), "header cannot be read"),
        ((2**62).to_bytes(8, "little"), "expected a header of at most"),
        (b"", "header cannot be read"),
    ],
)
def test_weights_that_declare_more_than_they_have_are_refused(
    tmp_path: Path, members: dict[str, bytes], content: bytes, expected: str
) -> None:
    message = fault_of(tmp_path, {**members, "model.safetensors": content})
    assert "is not a safetensors file" in message
    assert expected in message


def test_the_numbers_of_a_file_are_counted(tmp_path: Path) -> None:
    import torch

    save_file({"a": torch.zeros(3, 4), "b": torch.zeros(())}, tmp_path / "w.safetensors")
    assert declared_numbers((tmp_path / "w.safetensors").read_bytes()) == 13


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("vocabulary/labels.txt", b"x\n" * 1_100_000, "vocabulary: expected at most 1000000 lines"),
        (
            "config.json",
            ("{" + ",".join(f'"{n}":1' for n in range(300_000)) + ',"0":2}').encode(),
            'the key "0" is there twice',
        ),
    ],
)
def test_what_would_take_minutes_is_refused_soon(
    tmp_path: Path, members: dict[str, bytes], name: str, content: bytes, expected: str
) -> None:
    assert expected in fault_of(tmp_path, {**members, name: content})


def test_members_besides_the_weights_are_small_together(
    tmp_path: Path, members: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("allencv_al.models.archive_format.SMALL_MEMBERS_LIMIT", 100)
    assert "besides model.safetensors have more than 100" in fault_of(tmp_path, members)
