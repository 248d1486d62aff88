"""The format of an archive: names, sizes and manifest, shared by writer and reader.

An archive is data, never code::

    manifest.json         format version, SHA-256 and size of every other member, versions used
    config.json           the experiment's config as plain JSON
    vocabulary/*.txt      one file per namespace
    samples/NN.png|jpg    images to try the model on, if the experiment asks for some
    model.safetensors     the weights
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from allencv_al.common.errors import ArchiveError
from allencv_al.common.files import json_values

FORMAT_NAME = "allencv_al model archive"
FORMAT_VERSION = 1

MANIFEST_NAME = "manifest.json"
CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"
VOCABULARY_FOLDER = "vocabulary"
SAMPLES_FOLDER = "samples"
FOLDERS = (VOCABULARY_FOLDER, SAMPLES_FOLDER)
REQUIRED_NAMES = (CONFIG_NAME, WEIGHTS_NAME)

MEBIBYTE = 1 << 20
# Far above what a real member needs, far below what would hurt: they stop bombs, not users.
SIZE_LIMITS = {MANIFEST_NAME: MEBIBYTE, CONFIG_NAME: 4 * MEBIBYTE}
VOCABULARY_SIZE_LIMIT = 32 * MEBIBYTE
SMALL_MEMBERS_LIMIT = 256 * MEBIBYTE  # of all that is not weights, together
MAX_TOKENS = 1_000_000  # of all vocabulary files
SAMPLE_SIZE_LIMIT = 2 * MEBIBYTE
WEIGHTS_SIZE_LIMIT = 64 << 30
MAX_VOCABULARY_FILES = 1000
MAX_NAME_BYTES = 100  # what a tar header holds
MAX_JSON_DEPTH = 64

_VOCABULARY_NAME = re.compile(
    rf"{VOCABULARY_FOLDER}/[^./\\\x00-\x1f\ud800-\udfff][^/\\\x00-\x1f\ud800-\udfff]{{0,90}}\.txt"
)
_SAMPLE_NAME = re.compile(rf"{SAMPLES_FOLDER}/[0-9]{{2}}\.(png|jpg)")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Member:
    """The entry of one member in the manifest."""

    size: int
    sha256: str

    @classmethod
    def of(cls, content: bytes | bytearray | memoryview) -> Member:
        """Describe a content."""
        return cls(len(content), hashlib.sha256(content).hexdigest())


@dataclass(frozen=True, slots=True)
class Manifest:
    """The list of an archive's members, and what it was made with."""

    members: Mapping[str, Member]
    versions: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> bytes:
        """Write the manifest; equal manifests give equal bytes."""
        value = {
            "format": FORMAT_NAME,
            "format_version": FORMAT_VERSION,
            "versions": dict(self.versions),
            "members": {
                name: {"size": member.size, "sha256": member.sha256}
                for name, member in self.members.items()
            },
        }
        return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()

    @classmethod
    def from_json(cls, content: bytes, source: str) -> Manifest:
        """Read a manifest.

        Args:
            content: The bytes of `manifest.json`.
            source: The archive, for messages.

        Raises:
            ArchiveError: It is no manifest, of a newer format, or names what no archive may hold.
        """
        value = parse_json(content, f"{source}: {MANIFEST_NAME}")
        if value.get("format") != FORMAT_NAME:
            _refuse(source, f'"format" is not "{FORMAT_NAME}"')
        version = value.get("format_version")
        if type(version) is not int or version < 1:
            _refuse(source, f"format_version: expected {FORMAT_VERSION}, found {version!r}")
        if version > FORMAT_VERSION:
            raise ArchiveError(
                f"{source}: made by a newer allencv_al: its format version is {version}, this "
                f"installation reads up to {FORMAT_VERSION}; upgrade allencv_al"
            )
        listed, versions = value.get("members"), value.get("versions")
        if not isinstance(listed, dict) or not isinstance(versions, dict):
            _refuse(source, '"members" and "versions" must be objects')
        members = {name: _read_member(name, entry, source) for name, entry in listed.items()}
        small = sum(one.size for name, one in members.items() if name != WEIGHTS_NAME)
        check_small_members(small, source)
        for name in REQUIRED_NAMES:
            if name not in members:
                _refuse(source, f"it does not list {name}")
        return cls(members, {str(name): str(found) for name, found in versions.items()})

    def check(self, name: str, content: bytes | bytearray, source: str) -> None:
        """Raise an ArchiveError unless `content` is what the manifest says of `name`."""
        expected = self.members[name]
        if len(content) != expected.size:
            raise ArchiveError(
                f"{source}: {name} has {len(content)} bytes, its manifest says {expected.size}: "
                "the archive is damaged or was tampered with"
            )
        if hashlib.sha256(content).hexdigest() != expected.sha256:
            raise ArchiveError(
                f"{source}: {name} does not have the SHA-256 that its manifest says: "
                "the archive is damaged or was tampered with"
            )


def size_limit(name: str, source: str) -> int:
    """Return how many bytes the member `name` may have.

    Raises:
        ArchiveError: No archive has a member of this name.
    """
    if name == WEIGHTS_NAME:
        return WEIGHTS_SIZE_LIMIT
    if name in SIZE_LIMITS:
        return SIZE_LIMITS[name]
    if _VOCABULARY_NAME.fullmatch(name) and len(name.encode()) <= MAX_NAME_BYTES:
        return VOCABULARY_SIZE_LIMIT
    if _SAMPLE_NAME.fullmatch(name):
        return SAMPLE_SIZE_LIMIT
    parts = re.split(r"[/\\]", name)
    if ".." in parts or parts[0] == "" or ":" in parts[0]:
        raise ArchiveError(f"{source}: member {name!r}: the path leads outside the archive")
    raise ArchiveError(
        f"{source}: member {name!r} is foreign to a model archive, which holds {MANIFEST_NAME}, "
        f"{CONFIG_NAME}, {WEIGHTS_NAME}, {VOCABULARY_FOLDER}/*.txt and {SAMPLES_FOLDER}/NN.png|jpg"
    )


def check_small_members(size: int, source: str) -> None:
    """Raise an ArchiveError if the members besides the weights are too large together."""
    if size > SMALL_MEMBERS_LIMIT:
        raise ArchiveError(
            f"{source}: its members besides {WEIGHTS_NAME} have more than {SMALL_MEMBERS_LIMIT} "
            "bytes"
        )


def parse_json(content: bytes, source: str) -> dict[str, Any]:
    """Read an object of strict JSON: UTF-8, no duplicate key, no NaN, no great depth.

    Args:
        content: The bytes.
        source: Their source, for messages.

    Raises:
        ArchiveError: It is anything else.
    """
    try:
        value = json_values.parse_json(content, MAX_JSON_DEPTH)
    except ValueError as error:
        raise ArchiveError(f"{source}: expected plain JSON: {error}") from None
    if not isinstance(value, dict):
        raise ArchiveError(f"{source}: expected a JSON object, found {type(value).__name__}")
    return value


def _read_member(name: str, entry: Any, source: str) -> Member:
    limit = size_limit(name, source)
    if name == MANIFEST_NAME:
        _refuse(source, "it lists itself")
    size = entry.get("size") if isinstance(entry, dict) else None
    sha256 = entry.get("sha256") if isinstance(entry, dict) else None
    if type(size) is not int or size < 0 or not _SHA256.fullmatch(str(sha256)):
        _refuse(source, f"{name}: expected a size and a SHA-256")
    if size > limit:
        raise ArchiveError(f"{source}: {name}: {size} bytes are over the limit of {limit}")
    return Member(size, str(sha256))


def _refuse(source: str, message: str) -> NoReturn:
    raise ArchiveError(f"{source}: {MANIFEST_NAME}: {message}")
