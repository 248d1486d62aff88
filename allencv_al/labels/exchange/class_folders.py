"""Labels as folders: one folder per class with its images, and all entries in `labels.jsonl`."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Literal
from urllib.parse import quote, unquote

from allencv_al.common.errors import DataError
from allencv_al.common.files.atomic_file import atomic_directory
from allencv_al.common.files.json_values import repr_json
from allencv_al.common.files.text_files import decode_text
from allencv_al.data.dataset_readers.image_files import SYSTEM_FOLDERS, is_unlabeled_folder
from allencv_al.labels.exchange.label_entry import LabelEntry
from allencv_al.labels.exchange.row_formats import from_json_lines, to_json_lines

ENTRIES_NAME = "labels.jsonl"
_FILE = "allencv_al_file"  # path of an entry's image in the export
_SAFE = " !#$&'()+,-.;=@[]^_`{}~"
# Names of devices on Windows
_RESERVED = re.compile(r"^(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
_LONGEST = 200  # bytes of a folder name; file systems allow 255


Placement = Literal["list", "copy", "link"]
"""Treatment of image files: left where they are, copied, or linked to."""


def folder_name(label: str) -> str:
    """Return the name of the folder of a class, the inverse of `label_of`.

    Characters that are special in paths of any system, or unprintable, are written as `%XX`.
    """
    name = "".join(
        mark if ord(mark) > 127 and mark.isprintable() else quote(mark, safe=_SAFE)
        for mark in label
    )
    is_taken = name in SYSTEM_FOLDERS or is_unlabeled_folder(name) or _RESERVED.match(name)
    if name.startswith((".", " ")) or is_taken or name.casefold() == ENTRIES_NAME:
        name = f"%{ord(name[0]):02X}{name[1:]}"
    if name.endswith((".", " ")):
        name = f"{name[:-1]}%{ord(name[-1]):02X}"
    return name


def label_of(name: str) -> str:
    """Return the class that the name of a folder means.

    A name that `folder_name` cannot produce comes from another program, and is the class itself.
    """
    label = unquote(name)
    return label if folder_name(label) == name else name


def place_image(image: Path, file: Path, placement: Placement) -> None:
    """Copy an image to a new file, or make that a symbolic link to it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if placement == "link":
        file.symlink_to(image.resolve())
    else:
        shutil.copyfile(image, file)


def taken(path: Path) -> DataError:
    """Return the error for an output that exists."""
    kind = "folder" if path.is_dir() else "file"
    return DataError(f"{path}: is there already; name another {kind}")


def write_class_folders(
    folder: Path, entries: Sequence[LabelEntry], placement: Placement = "copy"
) -> int:
    """Write the labeled images into folders, and all entries into `labels.jsonl`.

    Args:
        folder: The folder to create; it must not exist.
        entries: The labels; their images are files.
        placement: Whether images are copied, or symbolic links lead to them.

    Returns:
        The number of images in the folders.

    Raises:
        DataError: An image file is missing, or a class name is too long for a folder.
    """
    if folder.exists():
        raise taken(folder)
    # Who trains on the folders must not learn what measures; `labels.jsonl` has it all the same
    labeled = [entry for entry in entries if entry.label is not None and entry.use is None]
    missing = [entry.id for entry in labeled if not (entry.image and Path(entry.image).is_file())]
    if missing:
        raise DataError(
            f"the files of {len(missing)} labeled images are not there; "
            f"the first is {repr_json(missing[0])}"
        )
    names = {label: folder_name(label) for entry in labeled if (label := entry.label)}
    used: set[str] = set()
    placed = {}
    with atomic_directory(folder, replaces=False) as target:
        _make_folders(target, names)
        for entry in labeled:
            source = Path(str(entry.image))
            file = f"{names[str(entry.label)]}/{_free_name(source.name, used)}"
            place_image(source, target / file, placement)
            placed[id(entry)] = file
        kept = [
            replace(entry, extra={**entry.extra, _FILE: placed[id(entry)]})
            if id(entry) in placed
            else entry
            for entry in entries
        ]
        (target / ENTRIES_NAME).write_bytes(to_json_lines(kept).encode())
    return len(labeled)


def read_class_folders(folder: Path) -> list[LabelEntry]:
    """Return the entries of class folders; a moved file has the class of its new folder.

    Raises:
        DataError: There are no class folders, or `labels.jsonl` is damaged.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: expected a folder of class folders, found a file")
    files = {
        f"{place.name}/{file.name}"
        for place in folder.iterdir()
        if place.is_dir() and not place.name.startswith(".") and place.name not in SYSTEM_FOLDERS
        for file in place.iterdir()
        if file.is_file() and not file.name.startswith(".")
    }
    if not files:
        raise DataError(f"{folder}: expected one folder a class with images in it, found none")
    found = []
    for entry in _known_entries(folder):
        written = entry.extra.get(_FILE)
        extra = {key: value for key, value in entry.extra.items() if key != _FILE}
        if not isinstance(written, str):
            found.append(replace(entry, extra=extra))
            continue
        file = _where_now(written, files)
        if file is not None:  # otherwise it was removed
            files.discard(file)
            label = label_of(PurePosixPath(file).parts[0])
            found.append(replace(entry, label=label, kind="label", extra=extra, place=file))
    for file in sorted(files):
        path = PurePosixPath(file)
        given = None if is_unlabeled_folder(path.parts[0]) else label_of(path.parts[0])
        kind = None if given is None else "label"
        found.append(LabelEntry(path.name, str(folder / file), given, kind, place=file))
    return found


def _make_folders(target: Path, names: Mapping[str, str]) -> None:
    long = [label for label, name in names.items() if len(os.fsencode(name)) > _LONGEST]
    if long:
        raise DataError(f"the name of a class is too long for a folder: {long[0][:80]!a} ...")
    for label, name in names.items():
        try:
            (target / name).mkdir()
        except FileExistsError:  # on file systems without case, "Cat" and "cat" are one
            raise DataError(
                f"{target.parent}: class {repr_json(label)} has the folder of another one there, "
                "because the disk knows no upper and lower case; rename the class, or export "
                "another format"
            ) from None


def _known_entries(folder: Path) -> list[LabelEntry]:
    path = folder / ENTRIES_NAME
    if not path.is_file():
        return []
    return from_json_lines(decode_text(path.read_bytes(), str(path)), str(path))


def _where_now(written: str, files: set[str]) -> str | None:
    """Return the present path of an exported file, which may have been moved to another folder.

    Names of exported files are unique, so a name finds its file in any folder.
    """
    if written in files:
        return written
    name = PurePosixPath(written).name
    return min((file for file in files if PurePosixPath(file).name == name), default=None)


def _free_name(name: str, taken: set[str]) -> str:
    """Return a file name that is unique, ignoring case, and not hidden.

    Readers of folders skip hidden files.
    """
    name = name.lstrip(".") or "image"
    path, number = PurePosixPath(name), 1
    while name.casefold() in taken:
        number += 1
        name = f"{path.stem}-{number}{path.suffix}"
    taken.add(name.casefold())
    return name
