"""Labels as folders: one folder a class, with the images in it, and the records beside them."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote

from allencv_al.common.errors import DataError
from allencv_al.common.files.atomic_file import atomic_directory
from allencv_al.common.files.json_values import repr_json
from allencv_al.common.files.text_files import decode_text
from allencv_al.data.dataset_readers.image_files import SYSTEM_FOLDERS, is_unlabeled_folder
from allencv_al.labels.exchange.label_file_formats import from_json_lines, to_json_lines
from allencv_al.labels.exchange.record import LabelRecord

RECORDS_NAME = "labels.jsonl"
_FILE = "allencv_al_file"  # where the image of a record lies
_SAFE = " !#$&'()+,-.;=@[]^_`{}~"
_RESERVED = re.compile(r"^(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
_LONGEST = 200  # bytes of a name


def folder_name(label: str) -> str:
    """Return a name for the folder of a class, from which `label_of` makes the class again.

    What has a meaning in paths, on any system, and what cannot be seen is written as `%XX`.
    """
    name = "".join(
        mark if ord(mark) > 127 and mark.isprintable() else quote(mark, safe=_SAFE)
        for mark in label
    )
    is_taken = name in SYSTEM_FOLDERS or is_unlabeled_folder(name) or _RESERVED.match(name)
    if name.startswith((".", " ")) or is_taken or name.casefold() == RECORDS_NAME:
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


def write_class_folders(
    folder: Path, records: Sequence[LabelRecord], images: Mapping[str, Path], links: bool
) -> int:
    """Write the labeled images into folders, and all records into `labels.jsonl`.

    Args:
        folder: What to write; nothing may be there.
        records: The label records.
        images: The file of each image, by id.
        links: Whether to make symbolic links instead of copies.

    Returns:
        How many images are in the folders.

    Raises:
        DataError: A file is not there, or the name of a class is no name for a folder here.
    """
    if folder.exists():
        raise DataError(f"{folder}: is there already; name another folder")
    labeled = [record for record in records if record.label is not None]
    missing = [record.id for record in labeled if not _is_file(images.get(record.id))]
    if missing:
        raise DataError(
            f"the files of {len(missing)} labeled images are not there; "
            f"the first is {repr_json(missing[0])}"
        )
    names = {label: folder_name(label) for record in labeled if (label := record.label)}
    taken: set[str] = set()
    placed = {}
    with atomic_directory(folder) as target:
        _make_folders(target, names)
        for record in labeled:
            source = images[record.id]
            file = f"{names[str(record.label)]}/{_free_name(source.name, taken)}"
            if links:
                (target / file).symlink_to(source.resolve())
            else:
                shutil.copyfile(source, target / file)
            placed[id(record)] = file
        kept = [
            replace(record, extra={**record.extra, _FILE: placed[id(record)]})
            if id(record) in placed
            else record
            for record in records
        ]
        (target / RECORDS_NAME).write_bytes(to_json_lines(kept).encode())
    return len(labeled)


def read_class_folders(folder: Path) -> list[LabelRecord]:
    """Return the records of class folders; a file that was moved has the class of its new folder.

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
    for record in _known_records(folder):
        written = record.extra.get(_FILE)
        extra = {key: value for key, value in record.extra.items() if key != _FILE}
        if not isinstance(written, str):
            found.append(replace(record, extra=extra))
            continue
        file = _where_now(written, files)
        if file is not None:  # otherwise it was removed
            files.discard(file)
            label = label_of(PurePosixPath(file).parts[0])
            found.append(replace(record, label=label, kind="label", extra=extra, place=file))
    for file in sorted(files):
        path = PurePosixPath(file)
        given = None if is_unlabeled_folder(path.parts[0]) else label_of(path.parts[0])
        kind = None if given is None else "label"
        found.append(LabelRecord(path.name, str(folder / file), given, kind, place=file))
    return found


def _make_folders(target: Path, names: Mapping[str, str]) -> None:
    long = [label for label, name in names.items() if len(os.fsencode(name)) > _LONGEST]
    if long:
        raise DataError(f"the name of a class is too long for a folder: {long[0][:80]!a} ...")
    for label, name in names.items():
        try:
            (target / name).mkdir()
        except FileExistsError:  # where "Cat" and "cat" are one
            raise DataError(
                f"{target.parent}: class {repr_json(label)} has the folder of another one there, "
                "because the disk knows no upper and lower case; rename the class, or export "
                "another format"
            ) from None


def _known_records(folder: Path) -> list[LabelRecord]:
    path = folder / RECORDS_NAME
    if not path.is_file():
        return []
    return from_json_lines(decode_text(path.read_bytes(), str(path)), str(path))


def _where_now(written: str, files: set[str]) -> str | None:
    """Return where a file lies that was written to a place and perhaps moved since.

    No two files were written under one name, so a name finds its file in any folder.
    """
    if written in files:
        return written
    name = PurePosixPath(written).name
    return min((file for file in files if PurePosixPath(file).name == name), default=None)


def _is_file(path: Path | None) -> bool:
    return path is not None and path.is_file()


def _free_name(name: str, taken: set[str]) -> str:
    """Return a name that no other image has, on file systems that know no case either.

    It is not hidden: hidden files are no images when folders are read.
    """
    name = name.lstrip(".") or "image"
    path, number = PurePosixPath(name), 1
    while name.casefold() in taken:
        number += 1
        name = f"{path.stem}-{number}{path.suffix}"
    taken.add(name.casefold())
    return name
