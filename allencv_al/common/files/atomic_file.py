"""Files that are there whole or not at all, and outlive a power cut.

A result is written under a temporary name, flushed to the disk, renamed, and the folder that holds
it is flushed too, so that neither a kill nor a power cut leaves half a file behind. Nothing else in
this package opens a result for writing.

The order of all that a run writes: folders (`make_folder`, each flushed into the one above), then
files, then the state that refers to them. So what a state refers to is there whenever the state is.

What can be computed again in seconds need not wait for the disk: see `unflushed`.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

TEMPORARY_PREFIX = ".tmp-"

_flushes = ContextVar("_flushes", default=True)


@contextmanager
def unflushed() -> Iterator[None]:
    """Write files and databases in the block without waiting for the disk.

    A kill loses nothing by it. A power cut may leave files missing or cut short, and databases
    without their last transactions: what is written so must be checked when it is read, and cost
    less to compute again than the flushes do.
    """
    before = _flushes.set(False)
    try:
        yield
    finally:
        _flushes.reset(before)


def waits_for_disk() -> bool:
    """Return whether writes wait for the disk; false within `unflushed`."""
    return _flushes.get()


@contextmanager
def atomic_path(path: str | Path, replaces: bool = True) -> Iterator[Path]:
    """Give a temporary path that takes the name `path` when the block ends without an error.

    A device or a pipe (`/dev/null`, `/dev/stdout`) is given itself: it must not be replaced.

    Args:
        path: The final name.
        replaces: Whether a file of that name is replaced.

    Raises:
        FileExistsError: There is one, and it must not be replaced.
    """
    final = Path(path)
    if _is_special(final):
        yield final
        return
    make_folder(final.parent)
    temporary = _temporary_name(final)
    # Made here, not by the block: with the umask of the user, and refused where it cannot be
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield temporary
        flush(temporary)  # before the rename: a power cut must not leave the name with half of it
        if replaces:
            temporary.replace(final)
        else:
            _name_new_file(temporary, final)
        flush(final.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_directory(path: str | Path, replaces: bool = True) -> Iterator[Path]:
    """Give a temporary folder that takes the name `path` when the block ends without an error.

    A folder that already has the name is replaced. A rename cannot be split by a kill, but
    replacing takes two: in the instant between them neither folder is there.

    Args:
        path: The final name.
        replaces: Whether a folder of that name is replaced.

    Raises:
        FileExistsError: There is one, and it must not be replaced.
    """
    final = Path(path)
    make_folder(final.parent)
    temporary, old = _temporary_name(final), _temporary_name(final)
    temporary.mkdir()
    try:
        yield temporary
        for file in sorted(temporary.rglob("*")):
            flush(file)
        flush(temporary)
        if not replaces:
            _name_new_folder(temporary, final)
            flush(final.parent)
            return
        if final.is_dir():
            final.replace(old)
        try:
            temporary.replace(final)
        except BaseException:  # Ctrl-C too: the old folder is better than none
            if old.exists():
                old.replace(final)
            raise
        flush(final.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def make_folder(path: str | Path) -> None:
    """Make a folder and those above it, where they are missing, so that they outlive a power cut.

    Raises:
        OSError: It cannot be made, or a file has its name.
    """
    folder = Path(path)
    if folder.is_dir():
        return
    if folder.parent != folder:
        make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    flush(folder.parent)


def remove(path: str | Path) -> None:
    """Remove a file for good: after a power cut it is not there again."""
    Path(path).unlink()
    flush(Path(path).parent)


def flush(path: str | Path) -> None:
    """Return when the content of a file, or the names in a folder, are on the disk."""
    if not waits_for_disk():
        return
    if os.name == "nt" and Path(path).is_dir():
        return  # Windows cannot open a folder
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


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


def _temporary_name(final: Path) -> Path:
    """Return a name beside `final`, for what `open` and `mkdir` make with the user's umask."""
    return final.parent / f"{TEMPORARY_PREFIX}{os.urandom(8).hex()}{final.suffix}"


def _name_new_file(temporary: Path, final: Path) -> None:
    try:
        os.link(temporary, final)  # a rename would replace a file that another process named since
    except FileExistsError:
        raise
    except OSError:  # a disk without links
        if final.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(final)) from None
        temporary.replace(final)


def _name_new_folder(temporary: Path, final: Path) -> None:
    taken = FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(final))
    if final.exists():
        raise taken
    try:
        temporary.rename(final)  # refused by the system where a folder with content is there since
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise taken from None
        raise


def _is_special(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)
