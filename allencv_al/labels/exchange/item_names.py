"""Match the images of other programs' files with items, by id, path or address."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from urllib.parse import unquote

from allencv_al.common.errors import DataError
from allencv_al.common.files.json_values import repr_json
from allencv_al.common.names import class_name, did_you_mean
from allencv_al.labels.exchange.label_entry import LabelEntry
from allencv_al.labels.exchange.row_formats import IMAGE_COLUMNS

_PREFIX = re.compile(r"[0-9a-f]{8}-(?=.)", re.IGNORECASE)  # the prefix of Label Studio's uploads
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_LOCAL_FILES = "?d="  # the parameter with the path of a local file in Label Studio
_MOST_HINTS = 10  # each hint searches all names


class ItemNames:
    """Finds an item by its id, or else by the longest common end of paths.

    Args:
        items: The number of each item by its id.
    """

    def __init__(self, items: Mapping[str, int]) -> None:
        self._items = items
        composed = Counter(map(class_name, items))
        self._composed = {
            class_name(id): item for id, item in items.items() if composed[class_name(id)] == 1
        }
        self._by_name: dict[str, list[tuple[tuple[str, ...], int]]] = defaultdict(list)
        for id, item in items.items():
            parts = _parts(unicodedata.normalize("NFC", id))  # file names may begin with blanks
            self._by_name[parts[-1]].append((parts, item))
        self._hints = 0

    def item_of(self, entry: LabelEntry) -> int:
        """Return the number of the item of an entry.

        Raises:
            DataError: No item matches, or several do.
        """
        if entry.id in self._items:
            return self._items[entry.id]
        given = (entry.id, entry.image, *map(entry.extra.get, IMAGE_COLUMNS))
        texts = [class_name(text) for text in given if isinstance(text, str) and text.strip()]
        for text in texts:
            if text in self._composed:
                return self._composed[text]
        found = {item for text in texts for path in _paths_of(text) for item in self._nearest(path)}
        if len(found) == 1:
            return found.pop()
        if found:
            raise DataError(f"{len(found)} images have this name")
        raise DataError(f"there is no such image{self._hint(entry.id)}")

    def _nearest(self, parts: tuple[str, ...]) -> list[int]:
        """Return the items with the longest common end of path, at least the file name."""
        named = [
            (_common_end(parts, other), item) for other, item in self._by_name.get(parts[-1], ())
        ]
        longest = max((common for common, _ in named), default=0)
        return [item for common, item in named if common == longest]

    def _hint(self, name: str) -> str:
        self._hints += 1
        if self._hints > _MOST_HINTS:
            return ""
        number = _without_zeros(_parts(name)[-1])
        alike = [
            id
            for id in self._items
            if number in (_without_zeros(_parts(id)[-1]), _without_zeros(PurePosixPath(id).stem))
        ]
        if alike:
            same = {_parts(name)[-1].casefold()} & {_parts(id)[-1].casefold() for id in alike}
            why = "" if same else "a spreadsheet takes the zeros before a number away; "
            return (
                f"; did you mean {' or '.join(map(repr_json, alike[:3]))}? "
                f"({why}the end of the name counts)"
            )
        return did_you_mean(name[:200], self._items)


def _parts(path: str) -> tuple[str, ...]:
    parts = tuple(part for part in path.split("/") if part not in ("", "."))
    return parts or (path,)


def _paths_of(text: str) -> Iterator[tuple[str, ...]]:
    """Yield the parts of each path that a text may stand for.

    URLs have queries and quoted names, Windows has backslashes, and Label Studio adds a prefix.
    """
    texts = [text]
    if _LOCAL_FILES in text:
        texts.append(text.partition(_LOCAL_FILES)[2].partition("&")[0])
    elif _ADDRESS.match(text) or text.startswith("/data/"):
        texts.append(re.split(r"[?#]", text, maxsplit=1)[0])
    if "\\" in text:
        texts.append(text.replace("\\", "/"))
    for path in dict.fromkeys([*texts, *map(unquote, texts)]):
        parts = _parts(class_name(path))
        yield parts
        if _PREFIX.match(parts[-1]):
            yield (*parts[:-1], _PREFIX.sub("", parts[-1], count=1))


def _common_end(first: tuple[str, ...], second: tuple[str, ...]) -> int:
    count = 0
    for one, other in zip(reversed(first), reversed(second), strict=False):
        if one != other:
            break
        count += 1
    return count


def _without_zeros(name: str) -> str:
    return re.sub(r"(?<!\d)0+(?=\d)", "", name).casefold()
