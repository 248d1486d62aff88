"""Names of classes: one spelling each, and a word about those that nearly agree."""

from __future__ import annotations

import logging
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping

from allencv_al.common.files.json_values import repr_json

logger = logging.getLogger(__name__)

_MOST_WARNED = 10
# Marks without width that web pages and other programs put around a word; not the joiners, which
# belong to words and emoji
_MARKS = "\u200b\u200e\u200f\u2060\ufeff"


def class_name(text: str) -> str:
    """Return a name in its one spelling: Unicode's composed form (NFC), no blanks around it.

    Marks without width count as blanks. macOS and some keyboards write "café" with a letter and an
    accent of its own; it looks the same and must not be a class of its own.
    """
    stripped = text.strip()
    if stripped.isascii():
        return stripped
    return unicodedata.normalize("NFC", stripped.strip(_MARKS)).strip()


def similar_names(counts: Mapping[str, int]) -> Iterator[tuple[str, ...]]:
    """Yield the names that differ in case, blanks, or the writing of a number only.

    Args:
        counts: Frequency of each name; the more frequent one comes first.
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for name in counts:
        groups[_likeness(name)].append(name)
    for alike in groups.values():
        if len(alike) > 1:
            yield tuple(sorted(alike, key=lambda name: (-counts[name], name)))


def warn_about_similar_names(where: object, counts: Mapping[str, int]) -> None:
    """Log the names of `similar_names`, with their counts: they stay classes of their own."""
    groups = list(similar_names(counts))
    for alike in groups[:_MOST_WARNED]:
        shown = " and ".join(f"{repr_json(name)} ({counts[name]})" for name in alike)
        logger.warning(
            "%s: classes whose names nearly agree are kept apart: %s; are they one class?",
            *(where, shown),
        )
    if len(groups) > _MOST_WARNED:
        logger.warning("%s: ... and %d more such names", where, len(groups) - _MOST_WARNED)


def _likeness(name: str) -> str:
    text = unicodedata.normalize("NFKC", "".join(name.split())).casefold()
    try:  # "01", "1" and "1.0" are one number, however a program has written it
        number = float(text) if text[:1].isdecimal() else None
    except ValueError:
        number = None
    return text if number is None else repr(number)
