"""Writing a model archive: the same model gives the same bytes."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from allencv_al.models.archive_format import (
    CONFIG_NAME,
    MANIFEST_NAME,
    SAMPLES_FOLDER,
    VOCABULARY_FOLDER,
    WEIGHTS_NAME,
    Manifest,
    Member,
    size_limit,
)
from allencv_al.models.archive_stream import write_members

_RECORDED_PACKAGES = ("allencv-al", "torch", "torchvision", "albumentations", "numpy", "pillow")


def write_archive(
    path: Path,
    config: Mapping[str, Any],
    vocabulary: Mapping[str, bytes],
    weights: bytes | bytearray,
    versions: Mapping[str, str] | None = None,
    samples: Mapping[str, bytes] | None = None,
) -> None:
    """Write an archive, whole or not at all.

    Args:
        path: The `.tar.gz` to write.
        config: The experiment's config.
        vocabulary: File name to content.
        weights: The bytes of a safetensors file.
        versions: What it was made with; the versions installed here by default.
        samples: File name to content of images to try the model on.

    Raises:
        ArchiveError: A vocabulary file or a sample has a name that no archive may hold.
    """
    text = json.dumps(dict(config), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    # The small members come first, so that whatever is wrong with them is found soon.
    members: dict[str, bytes | bytearray] = {CONFIG_NAME: text.encode()}
    for folder, contents in ((VOCABULARY_FOLDER, vocabulary), (SAMPLES_FOLDER, samples or {})):
        for name in sorted(contents):
            size_limit(f"{folder}/{name}", str(path))
            members[f"{folder}/{name}"] = contents[name]
    members[WEIGHTS_NAME] = weights
    manifest = Manifest(
        {name: Member.of(content) for name, content in members.items()},
        installed_versions() if versions is None else versions,
    )
    write_members(path, {MANIFEST_NAME: manifest.to_json(), **members})


def installed_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that a model's results depend on."""
    versions = {"python": platform.python_version()}
    for package in _RECORDED_PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue  # a source tree that is not installed
    return versions
