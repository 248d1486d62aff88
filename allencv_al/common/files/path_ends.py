"""Match the names that other programs give to images with files, by the ends of paths."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from urllib.parse import unquote

from allencv_al.common.names import class_name

_PREFIX = re.compile(r"[0-9a-f]{8}-(?=.)", re.IGNORECASE)  # the prefix of Label Studio's uploads
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_LOCAL_FILES = "?d="  # the parameter with the path of a local file in Label Studio


class PathEnds:
    """Finds names by the longest common end of paths.

    Args:
        names: Paths with `/`, which are found again.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._by_name: dict[str, list[tuple[tuple[str, ...], str]]] = defaultdict(list)
        for name in names:
            parts = path_parts(unicodedata.normalize("NFC", name))  # names may begin with blanks
            self._by_name[parts[-1]].append((parts, name))

    def nearest(self, text: str) -> set[str]:
        """Return the names with the longest common end, at least the last part.

        Args:
            text: A path or an address, as another program writes it.
        """
        return {name for parts in _paths_of(text) for name in self._nearest(parts)}

    def _nearest(self, parts: tuple[str, ...]) -> list[str]:
        named = [
            (_common_end(parts, other), name) for other, name in self._by_name.get(parts[-1], ())
        ]
        longest = max((common for common, _ in named), default=0)
        return [name for common, name in named if common == longest]


def path_parts(path: str) -> tuple[str, ...]:
    """Return the parts of a path with `/`; of a path without any, the path."""
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
        parts = path_parts(class_name(path))
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
