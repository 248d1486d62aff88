"""Match the images of other programs' files with items, by id, path or address."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import PurePosixPath

from allencv_al.common.errors import DataError
from allencv_al.common.files.json_values import repr_json
from allencv_al.common.files.path_ends import PathEnds, path_parts
from allencv_al.common.names import class_name, did_you_mean
from allencv_al.labels.exchange.label_entry import LabelEntry
from allencv_al.labels.exchange.row_formats import IMAGE_COLUMNS

_MOST_HINTS = 10


class UnknownNameError(DataError):
    """An image or a class that a labeling does not have."""


class ItemNames:
    """Finds an item by its id, or else by the longest common end of paths.

    Args:
        items: The number of each item by its id.
        hints: Number of messages with a hint at similar names; each hint searches all names.
    """

    def __init__(self, items: Mapping[str, int], hints: int = _MOST_HINTS) -> None:
        self._items = items
        self._most_hints = hints
        composed = Counter(map(class_name, items))
        self._composed = {class_name(id): id for id in items if composed[class_name(id)] == 1}
        self._ends = PathEnds(items)
        self._ids_by_stem: dict[str, list[str]] = defaultdict(list)
        self._stems = PathEnds(())
        self._hints = 0

    def item_of(self, entry: LabelEntry) -> int:
        """Return the number of the item of an entry; see `id_of`."""
        return self._items[self.id_of(entry)]

    def id_of(self, entry: LabelEntry) -> str:
        """Return the id of the item of an entry.

        Raises:
            UnknownNameError: No item matches.
            DataError: Several items match.
        """
        # Before anything that guesses: an exact id is never ambiguous
        if entry.id in self._items:
            return entry.id
        given = (entry.id, entry.image, *map(entry.extra.get, IMAGE_COLUMNS))
        texts = [class_name(text) for text in given if isinstance(text, str) and text.strip()]
        for text in texts:
            if text in self._composed:
                return self._composed[text]
        found = {id for text in texts for id in self._ends.nearest(text)}
        if not found and entry.objects is not None:  # a file of objects has the image's name
            found = {id for text in texts for id in self._of_stem(text)}
        if len(found) == 1:
            return found.pop()
        if found:
            raise DataError(f"{len(found)} images have this name")
        raise UnknownNameError(f"there is no such image{self._hint(entry.id)}")

    def _of_stem(self, path: str) -> set[str]:
        """Return the ids whose path without its extension has the longest common end."""
        if not self._ids_by_stem:
            for id in self._items:
                self._ids_by_stem[str(PurePosixPath(id).with_suffix(""))].append(id)
            self._stems = PathEnds(self._ids_by_stem)
        return {id for stem in self._stems.nearest(path) for id in self._ids_by_stem[stem]}

    def _hint(self, name: str) -> str:
        self._hints += 1
        # Each hint compares with all items: a table of 10,000 strangers would take minutes
        if self._hints > self._most_hints:
            return ""
        last = path_parts(name)[-1]
        names = {id: path_parts(id)[-1] for id in self._items}
        alike = [
            id
            for id, one in names.items()
            if _without_zeros(last)
            in (_without_zeros(one), _without_zeros(PurePosixPath(one).stem))
        ]
        if alike:
            same = {last.casefold()} & {names[id].casefold() for id in alike}
            why = "" if same else "a spreadsheet takes the zeros before a number away; "
            return (
                f"; did you mean {' or '.join(map(repr_json, alike[:3]))}? "
                f"({why}the end of the name counts)"
            )
        return did_you_mean(name[:200], self._items)


def _without_zeros(name: str) -> str:
    # 007.png and 7.png are alike; 100.png keeps its zeros, and 0.png its only one
    return re.sub(r"(?<!\d)0+(?=\d)", "", name).casefold()
