"""Archives packed by hand, with the right hashes: what tests of reading them change."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

CONFIG = {"model": {"type": "some_model"}, "dataset_reader": {"type": "some_reader"}}


VOCABULARY = {"labels.txt": b"Cat\nDog\n", "non_padded_namespaces.txt": b"*labels\n"}


WEIGHTS = save({"layer.weight": np.random.default_rng(0).random((20, 10), dtype=np.float32)})


MEMBERS = {
    "config.json": json.dumps(CONFIG).encode(),
    "vocabulary/labels.txt": VOCABULARY["labels.txt"],
    "model.safetensors": WEIGHTS,
}


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
    """Pack members as an attacker could: by hand, with the right hashes."""
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


def read_with_source(contents: Any, source: Path) -> Any:
    return type(contents)(
        str(source), contents.config, contents.vocabulary, contents.weights, contents.versions
    )
