"""The image files below a folder, in an order that is the same on every machine."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from allencv_al.common.config.plugins import is_from_elsewhere
from allencv_al.common.errors import ConfigurationError, is_machine_fault

# HEIC needs the extra "heif" to be decoded: found and told unreadable is better than never seen.
IMAGE_EXTENSIONS = frozenset(
    (
        *("jpg", "jpeg", "jpe", "jfif", "png", "bmp", "dib", "gif", "webp", "tif", "tiff"),
        *("avif", "heic", "heif", "hif", "j2k", "jp2", "pbm", "pgm", "pnm", "ppm"),
    )
)
# What cameras, phones and scanners put beside them: reported by name, because a user may miss it.
_OTHER_KINDS = {
    "DICOM": ("dcm", "dicom", "dic"),
    "video": (
        *("mp4", "m4v", "mov", "avi", "mkv", "webm", "mpg", "mpeg", "mts", "m2ts", "3gp", "3g2"),
        *("wmv", "flv", "ogv"),
    ),
    "camera raw": ("dng", "cr2", "cr3", "nef", "arw", "orf", "rw2", "raf", "pef", "srw"),
}
_KIND_OF = {extension: kind for kind, names in _OTHER_KINDS.items() for extension in names}
_DICOM_MARK, _DICOM_PLACE = b"DICM", 128

# What macOS archives, Synology and Windows leave in folders of photos: copies and thumbnails.
SYSTEM_FOLDERS = frozenset(
    {
        *("__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information"),
        "__pycache__",
    }
)
# Folders of unlabeled images; the first is FiftyOne's. No class is called so.
_UNLABELED_FOLDERS = frozenset({"_unlabeled", "unlabeled", "__unlabeled__"})


EXAMPLES_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file or folder that a reader left out; `_read` may yield it in place of an instance.

    Args:
        reason: One or two words (`hidden`, `foreign`); the dataset counts by it.
        name: Its path, relative to the path that is read.
    """

    reason: str
    name: str


class SkippedCount:
    """Counts by reason, with the first few names of each."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self._examples: dict[str, list[str]] = {}

    def add(self, skipped: Skipped) -> None:
        """Count one file or folder."""
        self.counts[skipped.reason] = self.counts.get(skipped.reason, 0) + 1
        examples = self._examples.setdefault(skipped.reason, [])
        if len(examples) < EXAMPLES_SHOWN:
            examples.append(skipped.name)

    def __str__(self) -> str:
        parts = []
        for reason, count in sorted(self.counts.items()):
            examples = self._examples[reason]
            more = ", ..." if count > len(examples) else ""
            parts.append(f"{count} {reason} ({', '.join(examples)}{more})")
        return ", ".join(parts) or "none"


def scan_images(folder: str | Path) -> Iterator[str | Skipped]:
    """Yield the images at any depth below `folder`, as relative posix paths in sorted order.

    Names that begin with a dot are passed over, folders of that kind as a whole; so is every file
    whose extension is not an image's. Symbolic links are followed, except to a folder that the link
    itself lies in. What is passed over comes as `Skipped`.

    Args:
        folder: The folder to search.

    Raises:
        OSError: If `folder` itself cannot be listed.
    """
    return _scan(os.fspath(folder), "", ())


def count_images(folder: str | Path) -> tuple[list[str], SkippedCount]:
    """Return the images below a folder, and a count of the other files.

    Args:
        folder: The folder to search.

    Raises:
        OSError: If `folder` itself cannot be listed.
    """
    names, skipped = [], SkippedCount()
    for item in scan_images(folder):
        if isinstance(item, Skipped):
            skipped.add(item)
        else:
            names.append(item)
    return names, skipped


def is_unlabeled_folder(name: str) -> bool:
    """Return whether a folder beside class folders holds images without a label, by its name."""
    return name.strip().casefold() in _UNLABELED_FOLDERS


def is_image_name(name: str) -> bool:
    """Return whether a file name has an extension of images, in any case."""
    _, dot, extension = name.rpartition(".")
    return bool(dot) and extension.lower() in IMAGE_EXTENSIONS


def check_names_below(**names: str | None) -> None:
    """Raise if a folder of a foreign config lies outside the folder that the reader is given.

    The config of an archive describes how its data were laid out; which folders of this machine
    may be read is the user's decision.

    Args:
        names: The folder that each parameter of the reader names.

    Raises:
        ConfigurationError: A name is absolute or goes up; the message lists all such names.
    """
    wrong = [name for name, value in names.items() if value is not None and _leads_out(value)]
    if wrong and is_from_elsewhere():
        shown = ", ".join(f"{name} ({names[name]!r:.80})" for name in wrong)
        raise ConfigurationError(
            f"{shown}: an archive's reader reads below the folder that it is given only; name a "
            "folder in it with --overrides"
        )


def _scan(
    folder: str, prefix: str, ancestors: tuple[tuple[int, int], ...]
) -> Iterator[str | Skipped]:
    ancestors = (*ancestors, _identity(folder))
    with os.scandir(folder) as entries:
        # With the slash, the order is that of the whole relative paths: "a-b.jpg" before "a/c.jpg".
        found = sorted(entries, key=lambda e: f"{e.name}/" if e.is_dir() else e.name)
    for entry in found:
        name = prefix + entry.name
        if entry.name.startswith(".") or entry.name in SYSTEM_FOLDERS:
            yield Skipped("hidden", name)
        elif entry.is_dir():
            yield from _scan_below(entry, f"{name}/", ancestors)
        elif not entry.is_file():
            yield Skipped("broken link" if entry.is_symlink() else "foreign", name)
        elif is_image_name(entry.name):
            yield name
        else:
            yield Skipped(_kind_of(entry), name)


def _kind_of(entry: os.DirEntry[str]) -> str:
    """Return the kind of a file that is not an image, by its name; DICOM often has no extension."""
    _, dot, extension = entry.name.rpartition(".")
    # "IM000001.1" and "1.2.840.113619" are names of DICOM files, too
    if dot and not extension.isdecimal():
        return _KIND_OF.get(extension.lower(), "foreign")
    try:
        with Path(entry.path).open("rb") as file:
            file.seek(_DICOM_PLACE)
            return "DICOM" if file.read(len(_DICOM_MARK)) == _DICOM_MARK else "foreign"
    except OSError as error:
        if is_machine_fault(error):
            raise
        return "foreign"


def _scan_below(
    entry: os.DirEntry[str], prefix: str, ancestors: tuple[tuple[int, int], ...]
) -> Iterator[str | Skipped]:
    # Only a link back to a folder that is being read; two links to one folder are read twice
    if entry.is_symlink() and _identity(entry.path) in ancestors:
        yield Skipped("circular link", prefix)
        return
    if not os.access(entry.path, os.R_OK | os.X_OK):  # lost+found, at the root of a disk
        yield Skipped("no permission", prefix)
        return
    yield from _scan(entry.path, prefix, ancestors)


def _identity(folder: str) -> tuple[int, int]:
    status = os.stat(folder)  # noqa: PTH116  a Path for each folder would slow the scan
    # Numbers, not resolved paths: bind mounts and case-blind disks have several of these
    return status.st_dev, status.st_ino


def _leads_out(value: str) -> bool:
    parts = re.split(r"[/\\\\]", value)
    # Absolute, upward, or with a Windows drive or a URL's scheme
    return (parts[0] == "" and len(parts) > 1) or ".." in parts or ":" in parts[0]
