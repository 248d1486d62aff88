"""Files that are there whole or not at all.

A result is written under a temporary name, flushed to the disk, renamed, and the folder that holds
it is flushed too, so that neither a kill nor a power cut leaves half a file behind. Nothing else in
this package opens a result for writing.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TEMPORARY_PREFIX = ".tmp-"


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary path that takes the name `path` when the block ends without an error."""
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, suffix=final.suffix, dir=final.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_current_umask())  # mkstemp's 0600 would surprise whoever shares
        _flush(temporary)
        temporary.replace(final)
        _flush(final.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_directory(path: str | Path) -> Iterator[Path]:
    """Give a temporary folder that takes the name `path` when the block ends without an error.

    A folder that already has the name is replaced. The rename itself cannot be split by a kill; in
    the instant between removing an old folder and the rename, neither is there.
    """
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=final.parent))
    try:
        yield temporary
        temporary.chmod(0o777 & ~_current_umask())
        for file in sorted(temporary.rglob("*")):
            _flush(file)
        _flush(temporary)
        if final.exists():
            shutil.rmtree(final)
        temporary.replace(final)
        _flush(final.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write `content` to `path`, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | Path, content: str) -> None:
    """Write `content` to `path` as UTF-8, whole or not at all."""
    write_bytes(path, content.encode("utf-8"))


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as strict JSON (no NaN), indented, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def sweep_temporaries(folder: str | Path) -> None:
    """Remove what a killed process left behind in `folder` under a temporary name."""
    for leftover in Path(folder).glob(f"{TEMPORARY_PREFIX}*"):
        if leftover.is_dir() and not leftover.is_symlink():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _current_umask() -> int:
    umask = os.umask(0o022)
    os.umask(umask)
    return umask
