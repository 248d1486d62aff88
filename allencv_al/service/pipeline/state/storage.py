"""Storage for the results of loops: a folder, or any address that fsspec supports."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import posixpath
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
from numpy.typing import NDArray

from allencv_al.common.errors import ConfigurationError, DataError
from allencv_al.common.files.atomic_file import atomic_path, write_bytes
from allencv_al.service.pipeline.pipeline_errors import PipelineError

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
MANIFEST = "manifest.json"
# A file name is an id and a suffix; 255 bytes leave room for the prefix of temporary names
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_SHOWN = 500  # characters of a file system's error message
_OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "az"})
_SUFFIXES = (".json", ".npz", ".db")


def check_id(name: str, value: Any) -> str:
    """Return an id that may be part of a path.

    Raises:
        PipelineError: The value is no such id (400).
    """
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or ID.fullmatch(text) is None:
        raise PipelineError(
            400,
            "bad_request",
            f"{name}: expected letters, digits, dots, dashes and underscores (at most 128, a "
            f"letter or a digit first), found {value!r:.80}",
        )
    return text


def check_folder_id(name: str, value: Any) -> str:
    """Return an id that may name a folder beside files such as `meta.json`.

    Raises:
        PipelineError: The value is no such id (400).
    """
    text = check_id(name, value)
    if text.endswith(_SUFFIXES):
        endings = ", ".join(_SUFFIXES)
        raise PipelineError(
            400, "bad_request", f"{name}: expected an id without the endings of files ({endings})"
        )
    return text


class Storage:
    """Files of a folder or an object store, written atomically and never unpickled.

    Each folder has a manifest with the SHA-256 of its files, by which damaged files are refused.

    Args:
        url: A folder, or an address of fsspec: `s3://bucket/prefix`, `memory://name`.
        options: Options for fsspec, such as `endpoint_url` and `key` of S3.

    Raises:
        ConfigurationError: The address is of no known kind, or a package for it is missing.
    """

    def __init__(self, url: str, options: Mapping[str, Any] | None = None) -> None:
        try:
            self._files, self._root = fsspec.core.url_to_fs(url, **dict(options or {}))
        except (ValueError, ImportError) as error:
            raise ConfigurationError(f"storage_url: {url}: {error}") from error
        self._is_local = "file" in _protocols(self._files)
        self._root = self._root.rstrip("/")

    def url(self, path: str) -> str:
        """Return the address of a file."""
        found: str = self._files.unstrip_protocol(self._place(path))
        return found

    def exists(self, path: str) -> bool:
        """Return whether a file exists."""
        with self._reached(path):
            self._files.invalidate_cache()  # another process may have written it since
            return bool(self._files.exists(self._place(path)))

    def write(self, path: str, content: bytes) -> str:
        """Write a file atomically; return its address when it is on the disk."""
        with self._recorded(path, hashlib.sha256(content).hexdigest()):
            self._put(path, content)
        return self.url(path)

    def write_file(self, path: str, source: Path) -> str:
        """Copy a file of this machine to the storage, in chunks; return its address."""
        with source.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        place = self._place(path)
        with self._recorded(path, digest), self._reached(path, is_written=True):
            if self._is_local:
                with atomic_path(place) as temporary:
                    shutil.copyfile(source, temporary)
            else:
                self._make_folder_of(place)
                self._files.put_file(str(source), place)
        return self.url(path)

    def fetch(self, path: str, target: Path) -> None:
        """Copy a file to this machine in chunks, atomically.

        Raises:
            DataError: The file is missing or damaged.
        """
        with atomic_path(target) as temporary:
            with self._existing(path):
                self._files.get_file(self._place(path), str(temporary))
            with temporary.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            self._check(path, digest)

    def names(self, folder: str) -> list[str]:
        """Return the names of the files in a folder's manifest."""
        return sorted(self._manifest(f"{folder}/{MANIFEST}"))

    def write_pickle(self, path: str, value: Any) -> str:
        """Write a pickle for other programs; this package never reads one."""
        return self.write(path, pickle.dumps(value, protocol=4))

    def write_json(self, path: str, value: Any) -> str:
        """Write a JSON file; return its address."""
        return self.write(path, json.dumps(value, allow_nan=False).encode())

    def write_arrays(self, path: str, arrays: Mapping[str, NDArray[Any]]) -> str:
        """Write an NPZ file; return its address."""
        stream = io.BytesIO()
        named: dict[str, Any] = dict(arrays)
        np.savez_compressed(stream, **named)
        return self.write(path, stream.getvalue())

    def read(self, path: str) -> bytes:
        """Return the content of a file.

        Raises:
            DataError: The file is missing or damaged.
        """
        with self._existing(path):
            content: bytes = self._files.cat_file(self._place(path))
        self._check(path, hashlib.sha256(content).hexdigest())
        return content

    def read_json(self, path: str) -> Any:
        """Return the value of a JSON file.

        Raises:
            DataError: The file is missing, damaged, or not JSON.
        """
        try:
            return json.loads(self.read(path))
        except ValueError as error:
            raise DataError(f"{path}: expected JSON: {error}") from None

    def read_arrays(self, path: str) -> dict[str, NDArray[Any]]:
        """Return the arrays of an NPZ file.

        Raises:
            DataError: The file is missing or damaged.
        """
        with np.load(io.BytesIO(self.read(path)), allow_pickle=False) as found:
            return {name: found[name] for name in found.files}

    @contextmanager
    def _recorded(self, path: str, digest: str) -> Iterator[None]:
        """Record a file that is written in the block in the manifest.

        An entry with another digest is removed first: a kill between the two writes must leave a
        file without an entry, which is read, rather than one that counts as damaged.
        """
        name, manifest = posixpath.basename(path), posixpath.join(posixpath.dirname(path), MANIFEST)
        hashes = self._manifest(path)
        if hashes.get(name, digest) != digest:
            del hashes[name]
            self._put(manifest, json.dumps(hashes).encode())
        yield
        hashes[name] = digest
        self._put(manifest, json.dumps(hashes).encode())

    def _put(self, path: str, content: bytes) -> None:
        place = self._place(path)
        with self._reached(path, is_written=True):
            if self._is_local:
                write_bytes(place, content)
            else:  # object stores write atomically
                self._make_folder_of(place)
                self._files.pipe_file(place, content)

    def _check(self, path: str, digest: str) -> None:
        """Raise if the manifest has another digest; files of other programs have no entry."""
        if self._manifest(path).get(posixpath.basename(path), digest) != digest:
            raise DataError(f"{path}: is not what was written (its SHA-256 differs)")

    def _manifest(self, path: str) -> dict[str, str]:
        place = self._place(posixpath.join(posixpath.dirname(path), MANIFEST))
        try:
            with self._reached(path):
                content: bytes = self._files.cat_file(place)
        except FileNotFoundError:
            return {}
        try:
            found: dict[str, str] = json.loads(content)
        except ValueError:
            folder = posixpath.dirname(path)
            raise DataError(
                f"{folder}/{MANIFEST}: not JSON; remove it to read the files unchecked"
            ) from None
        return found

    def _make_folder_of(self, place: str) -> None:
        """Create a folder, except in object stores: S3 would create a bucket of a misspelt name."""
        if not _OBJECT_STORES & set(_protocols(self._files)):
            self._files.makedirs(posixpath.dirname(place), exist_ok=True)

    @contextmanager
    def _existing(self, path: str) -> Iterator[None]:
        try:
            with self._reached(path):
                yield
        except FileNotFoundError:
            raise DataError(f"{path}: there is no such file in the storage") from None

    @contextmanager
    def _reached(self, path: str, is_written: bool = False) -> Iterator[None]:
        """Raise errors of any file system as errors of the storage.

        Raises:
            FileNotFoundError: The file is missing.
            PipelineError: The storage cannot be reached, or refuses (502).
        """
        try:
            yield
        except Exception as error:  # each file system raises classes of its own
            is_absent = isinstance(error, FileNotFoundError) and not is_written
            # Errors of a folder stay as they are: the web base has an answer for a full disk
            if self._is_local or is_absent:
                raise
            message = f"storage: {path}: {type(error).__name__}: {error}"
            raise PipelineError(502, "storage", message[:_SHOWN]) from error

    def _place(self, path: str) -> str:
        parts = path.split("/")
        assert all(_PART.fullmatch(part) for part in parts), path
        return f"{self._root}/{path}"


def _protocols(files: Any) -> tuple[str, ...]:
    found = files.protocol
    # fsspec gives one name, or a tuple of a name and its aliases
    return (found,) if isinstance(found, str) else tuple(found)
