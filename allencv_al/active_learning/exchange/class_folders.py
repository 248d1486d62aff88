"""Labels as folders: one folder a class, with the images in it, and the records beside them."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote

from allencv_al.active_learning.exchange.record import LabelRecord
from allencv_al.active_learning.exchange.tables import from_json_lines, to_json_lines
from allencv_al.common.atomic_file import atomic_directory
from allencv_al.common.errors import DataError

RECORDS_NAME = "labels.jsonl"
_FILE = "file"
_SAFE = " !#$&'()+,-.;=@[]^_`{}~"
_RESERVED = re.compile(r"^(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
_LONGEST = 200  # bytes of a name


def folder_name(label: str) -> str:
    """Return a name for the folder of a class, from which `label_of` makes the class again.

    What has a meaning in paths, on any system, is written as `%XX`.
    """
    name = quote(label, safe=_SAFE + "".join(mark for mark in label if ord(mark) > 127))
    if name.startswith((".", " ")) or _RESERVED.match(name):
        name = f"%{ord(name[0]):02X}{name[1:]}"
    if name.endswith((".", " ")):
        name = f"{name[:-1]}%{ord(name[-1]):02X}"
    return name


def label_of(name: str) -> str:
    """Return the class that the name of a folder means."""
    return unquote(name)


def write_class_folders(
    folder: Path, records: Sequence[LabelRecord], images: Mapping[str, Path], links: bool
) -> int:
    """Write the labeled images into folders, and all records into `labels.jsonl`.

    Args:
        folder: What to write; nothing may be there.
        records: What was said.
        images: The file of each image, by id.
        links: Whether to make symbolic links instead of copies.

    Returns:
        How many images are in the folders.

    Raises:
        DataError: A file is not there, or the name of a class is too long for a folder.
    """
    if folder.exists():
        raise DataError(f"{folder}: is there already; name another folder")
    labeled = [record for record in records if record.label is not None]
    missing = [record.id for record in labeled if not _is_file(images.get(record.id))]
    if missing:
        raise DataError(
            f"the files of {len(missing)} labeled images are not there; the first is {missing[0]}"
        )
    names = {label: folder_name(label) for record in labeled if (label := record.label)}
    long = [label for label, name in names.items() if len(os.fsencode(name)) > _LONGEST]
    if long:
        raise DataError(f"the name of a class is too long for a folder: {long[0][:80]} ...")
    taken: set[str] = set()
    placed = {}
    with atomic_directory(folder) as target:
        for record in labeled:
            source = images[record.id]
            file = _free_name(f"{names[str(record.label)]}/{source.name}", taken)
            place = target / file
            place.parent.mkdir(exist_ok=True)
            if links:
                place.symlink_to(source.resolve())
            else:
                shutil.copyfile(source, place)
            placed[id(record)] = file
        kept = [
            replace(record, extra={**record.extra, _FILE: placed[id(record)]})
            if id(record) in placed
            else record
            for record in records
        ]
        (target / RECORDS_NAME).write_text(to_json_lines(kept), encoding="utf-8")
    return len(labeled)


def read_class_folders(folder: Path) -> list[LabelRecord]:
    """Return the records of class folders; a file that was moved has the class of its new folder.

    Raises:
        DataError: There are no class folders, or `labels.jsonl` is damaged.
    """
    files = {
        f"{place.name}/{file.name}"
        for place in folder.iterdir()
        if place.is_dir() and not place.name.startswith(".")
        for file in place.iterdir()
        if file.is_file() and not file.name.startswith(".")
    }
    if not files:
        raise DataError(f"{folder}: expected one folder a class with images in it, found none")
    found, known = [], set()
    if (folder / RECORDS_NAME).is_file():
        text = (folder / RECORDS_NAME).read_text(encoding="utf-8")
        by_name = {PurePosixPath(file).name: file for file in sorted(files)}
        for record in from_json_lines(text, str(folder / RECORDS_NAME)):
            file = record.extra.get(_FILE)
            extra = {key: value for key, value in record.extra.items() if key != _FILE}
            if isinstance(file, str):
                now = file if file in files else by_name.get(PurePosixPath(file).name)
                if now is None:
                    continue  # somebody has taken it out
                known.add(now)
                found.append(replace(record, label=_class_of(now), kind="label", extra=extra))
            else:
                found.append(replace(record, extra=extra))
    for file in sorted(files - known):
        place = str(folder / file)
        found.append(LabelRecord(PurePosixPath(file).name, place, _class_of(file), "label"))
    return found


def _class_of(file: str) -> str:
    return label_of(PurePosixPath(file).parts[0])


def _is_file(path: Path | None) -> bool:
    return path is not None and path.is_file()


def _free_name(file: str, taken: set[str]) -> str:
    """Return a name that no other image has, on file systems that know no case either."""
    path, number, name = PurePosixPath(file), 1, file
    while name.casefold() in taken:
        number += 1
        name = str(path.with_name(f"{path.stem}-{number}{path.suffix}"))
    taken.add(name.casefold())
    return name
