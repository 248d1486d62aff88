"""The contents of a model archive: read and checked in memory, without running code; written."""

from __future__ import annotations

import json
import platform
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from allencv_al.common.errors import ArchiveError
from allencv_al.common.files.paths import absent
from allencv_al.models.archive_format import (
    CONFIG_NAME,
    FOLDERS,
    MANIFEST_NAME,
    MAX_TOKENS,
    MAX_VOCABULARY_FILES,
    SAMPLES_FOLDER,
    VOCABULARY_FOLDER,
    WEIGHTS_NAME,
    Manifest,
    Member,
    parse_json,
    size_limit,
)
from allencv_al.models.archive_stream import read_members, write_members

ARCHIVE_NAME = "model.tar.gz"
BEST_WEIGHTS_NAME = "best.safetensors"
_RECORDED_PACKAGES = ("allencv-al", "torch", "torchvision", "albumentations", "numpy", "pillow")


@dataclass(frozen=True, slots=True)
class ArchiveContents:
    """The members of an archive, each held to its size and SHA-256.

    Args:
        source: The path it was read from, for messages.
        config: The experiment's config; it names no type by a dotted path.
        vocabulary: File name to content.
        weights: The bytes of the safetensors file.
        versions: Versions of packages that wrote the archive, by name.
        samples: File name to content of images to try the model on.
    """

    source: str
    config: dict[str, Any]
    vocabulary: dict[str, bytes]
    weights: bytes | bytearray
    versions: Mapping[str, str]
    samples: dict[str, bytes] = field(default_factory=dict)


def read_archive(path: str | Path) -> ArchiveContents:
    """Read an archive.

    Args:
        path: A `model.tar.gz`, the folder that it was unpacked into, or the folder of a training
            run, finished or not (its best weights so far are taken).

    Raises:
        ArchiveError: There is none, or it is damaged, foreign or unsafe.
    """
    path = Path(path)
    if not path.exists():
        raise ArchiveError(absent(path, "archive"))
    if not path.is_dir():
        return _checked(read_members(path, _limits(path), FOLDERS), str(path))
    if (path / MANIFEST_NAME).exists():
        return _checked(_read_unpacked(path), str(path))
    return _read_run(path)


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
        versions: Versions of packages, by name; the installed ones by default.
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


def check_config(config: Mapping[str, Any], source: str) -> None:
    """Raise an ArchiveError if `config` could reach for anything but registered names."""
    for where, value in _objects(config, ""):
        kind = value.get("type")
        # A dotted name imports a module, which runs its code
        if isinstance(kind, str) and ("." in kind or ":" in kind):
            raise ArchiveError(
                f"{source}: {CONFIG_NAME}: {where}type: {kind!r} is a path to code; an archive may "
                "name registered types only (for a class of your own, register it and name its "
                "package with --include-package)"
            )
        if "_pretrained" in value:
            raise ArchiveError(
                f"{source}: {CONFIG_NAME}: {where}_pretrained: an archive may not load another one"
            )


def _limits(path: Path) -> Callable[[str], int]:
    vocabulary_files = 0

    def limit(name: str) -> int:
        nonlocal vocabulary_files
        vocabulary_files += name.startswith(VOCABULARY_FOLDER)
        if vocabulary_files > MAX_VOCABULARY_FILES:
            raise ArchiveError(f"{path}: more than {MAX_VOCABULARY_FILES} vocabulary files")
        return size_limit(name, str(path))

    return limit


def _checked(members: Mapping[str, bytes | bytearray], source: str) -> ArchiveContents:
    if MANIFEST_NAME not in members:
        raise ArchiveError(
            f"{source}: member {MANIFEST_NAME} is missing; archives of AllenNLP and AllenCV hold "
            "pickled weights, which can run code, and are not read"
        )
    manifest = Manifest.from_json(bytes(members[MANIFEST_NAME]), source)
    missing = sorted(manifest.members.keys() - members.keys())
    if missing:
        raise ArchiveError(f"{source}: member {missing[0]} is missing")
    unlisted = sorted(members.keys() - manifest.members.keys() - {MANIFEST_NAME})
    if unlisted:
        raise ArchiveError(f"{source}: member {unlisted[0]!r} is not listed in {MANIFEST_NAME}")
    for name in manifest.members:
        manifest.check(name, members[name], source)
    config = parse_json(bytes(members[CONFIG_NAME]), f"{source}: {CONFIG_NAME}")
    check_config(config, source)
    vocabulary = _below(VOCABULARY_FOLDER, members)
    # Each line becomes a token and a row of objects: a small file could take all memory
    if sum(content.count(b"\n") for content in vocabulary.values()) > MAX_TOKENS:
        raise ArchiveError(f"{source}: {VOCABULARY_FOLDER}: expected at most {MAX_TOKENS} lines")
    return ArchiveContents(
        source=source,
        config=config,
        vocabulary=vocabulary,
        weights=members[WEIGHTS_NAME],
        versions=manifest.versions,
        samples=_below(SAMPLES_FOLDER, members),
    )


def _below(folder: str, members: Mapping[str, bytes | bytearray]) -> dict[str, bytes]:
    return {
        name.removeprefix(f"{folder}/"): bytes(content)
        for name, content in members.items()
        if name.startswith(f"{folder}/")
    }


def _read_unpacked(folder: Path) -> dict[str, bytes]:
    content = _read_file(folder, MANIFEST_NAME)
    manifest = Manifest.from_json(content, str(folder))
    return {
        MANIFEST_NAME: content,
        **{name: _read_file(folder, name) for name in manifest.members},
    }


def read_run_folder(folder: Path, weights: Path) -> ArchiveContents:
    """Read what an archive of a training run would hold.

    Args:
        folder: The folder of the run.
        weights: The safetensors file of the weights.

    Raises:
        ArchiveError: Something is missing.
    """
    return ArchiveContents(
        source=str(folder),
        config=parse_json(_read_file(folder, CONFIG_NAME), f"{folder}: {CONFIG_NAME}"),
        vocabulary=_read_vocabulary(folder),
        weights=_read_file(weights.parent, weights.name, limit_of=WEIGHTS_NAME),
        versions={},
        samples=_read_samples(folder),
    )


def _read_run(folder: Path) -> ArchiveContents:
    has_config = (folder / CONFIG_NAME).exists()
    weights, archive = folder / BEST_WEIGHTS_NAME, folder / ARCHIVE_NAME
    if archive.exists() and not _is_newer(weights, archive):
        return read_archive(archive)  # the run is finished, and the archive has its hashes
    if has_config and weights.exists():
        contents = read_run_folder(folder, weights)
        check_config(contents.config, contents.source)
        return contents
    if has_config:
        raise ArchiveError(
            f"{folder}: this run has no {BEST_WEIGHTS_NAME} yet; wait for the end of its first "
            "epoch, or continue it with train --recover"
        )
    raise ArchiveError(
        f"{folder}: expected {MANIFEST_NAME} (an unpacked archive) or {CONFIG_NAME} and "
        f"{BEST_WEIGHTS_NAME} (a training run), found neither"
    )


def _is_newer(path: Path, other: Path) -> bool:
    return path.exists() and path.stat().st_mtime_ns > other.stat().st_mtime_ns


def _read_vocabulary(folder: Path) -> dict[str, bytes]:
    names = sorted(file.name for file in (folder / VOCABULARY_FOLDER).glob("*.txt"))
    limits = _limits(folder)
    contents = {}
    for name in names:
        if not name.startswith("."):
            limits(f"{VOCABULARY_FOLDER}/{name}")
            contents[name] = _read_file(folder, f"{VOCABULARY_FOLDER}/{name}")
    return contents


def _read_samples(folder: Path) -> dict[str, bytes]:
    names = sorted(file.name for file in (folder / SAMPLES_FOLDER).glob("[0-9][0-9].*"))
    return {name: _read_file(folder, f"{SAMPLES_FOLDER}/{name}") for name in names}


def _read_file(folder: Path, name: str, limit_of: str | None = None) -> bytes:
    path = folder / name
    limit = size_limit(limit_of or name, str(folder))
    try:
        status = path.lstat()
    except OSError:
        raise ArchiveError(f"{folder}: member {name} is missing") from None
    # A link could lead to any file of this machine, whose content an archive would then show
    if not stat.S_ISREG(status.st_mode) or (path.parent.is_symlink() and path.parent != folder):
        raise ArchiveError(f"{folder}: member {name!r} is a link or no plain file")
    if status.st_size > limit:
        raise ArchiveError(
            f"{folder}: member {name!r}: {status.st_size} bytes are over the limit of {limit}"
        )
    return path.read_bytes()


def _objects(value: Any, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every object in `value` with its path, which ends in a dot unless it is empty."""
    if isinstance(value, dict):
        yield where, value
        for key, inner in value.items():
            yield from _objects(inner, f"{where}{key}.")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _objects(inner, f"{where}{index}.")
