"""Find the image files that the entries of another program's file mean."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePath, PurePosixPath

from allencv_al.common.errors import DataError, raise_problems
from allencv_al.common.files.json_values import repr_json
from allencv_al.common.files.paths import path_problem
from allencv_al.data.dataset_readers.image_files import scan_images
from allencv_al.labels.exchange.item_names import ItemNames, UnknownNameError
from allencv_al.labels.exchange.label_entry import LabelEntry

_PLACES = ("images", "JPEGImages", "data", "img")  # names of folders of images in other programs


def with_image_files(
    entries: Sequence[LabelEntry], source: Path, folder: Path | None = None
) -> list[LabelEntry]:
    """Return entries with the paths of their image files; those without a file keep their texts.

    An image is the file at its path, from the folder of the source or from that of the images, or
    else the one file there with the longest common end of its path. It is not opened.

    Args:
        entries: Entries of a file or folder of another program.
        source: That file or folder.
        folder: The folder of the images. Default: near `source`.

    Raises:
        DataError: Several files fit an image; the message lists all of these.
    """
    finder = _ImageFinder(source if source.is_dir() else source.parent, folder)
    problems: list[str] = []
    found = []
    for entry in entries:
        try:
            found.append(finder.found(entry))
        except DataError as error:
            problems.append(f"{entry.place or 'entry'}: {repr_json(entry.id)}: {error}")
    raise_problems(source, problems)
    return found


class _ImageFinder:
    def __init__(self, root: Path, folder: Path | None) -> None:
        near = [root, root.parent] if folder is None else [folder]
        places = [place for one in near for place in (one, *(one / name for name in _PLACES))]
        self._direct = [place for place in places if place.is_dir()]
        # In a folder of images ids are shorter; all of the folder above may be the whole disk
        inner = [place for place in self._direct if place not in near]
        self._searched = [*inner, near[0]]
        self._names: dict[Path, ItemNames] = {}

    def found(self, entry: LabelEntry) -> LabelEntry:
        """Return an entry with the path of its file, if there is one.

        Raises:
            DataError: Several files fit.
        """
        file = next(self._at_its_path(entry), None)
        if file is not None:
            return replace(entry, id=self._id(entry.id, file), image=str(file))
        for place in self._searched:
            try:
                name = self._name_in(place, entry)
            except UnknownNameError:
                continue
            id = _kept_id(entry.id, name)
            return replace(entry, id=id, image=os.path.abspath(place / name))  # noqa: PTH100
        return entry

    def _at_its_path(self, entry: LabelEntry) -> Iterator[Path]:
        for text in filter(None, (entry.image, entry.id)):
            if "://" in text or path_problem(text) is not None:
                continue
            for place in self._direct:
                file = place / text
                if file.is_file():
                    yield Path(os.path.abspath(file))  # noqa: PTH100

    def _name_in(self, place: Path, entry: LabelEntry) -> str:
        if place not in self._names:
            files = [name for name in scan_images(place) if isinstance(name, str)]
            self._names[place] = ItemNames({name: at for at, name in enumerate(files)}, hints=0)
        return self._names[place].id_of(entry)

    def _id(self, id: str, file: Path) -> str:
        if not PurePath(id).is_absolute():
            return id
        # The shortest: below a folder of images, if the file lies in one
        places = [Path(os.path.abspath(place)) for place in self._direct]  # noqa: PTH100
        below = [file.relative_to(place) for place in places if file.is_relative_to(place)]
        return min(below, key=lambda path: len(path.parts), default=Path(file.name)).as_posix()


def _kept_id(id: str, name: str) -> str:
    """Return the id of an image: its own, if the path of the file ends so, or else the path.

    A file of objects is named as its image without the extension, which the id then gets.
    """
    extension = PurePosixPath(name).suffix
    for kept in (id, id + extension):
        if name == kept or name.endswith(f"/{kept}"):
            return kept
    return name
