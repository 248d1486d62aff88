"""Names: one spelling of each class, similar and misspelt ones, numbers of them in a message."""

from __future__ import annotations

import difflib
import logging
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from allencv_al.common.files.json_values import repr_json

logger = logging.getLogger(__name__)

_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

_LONGEST_NAME = 200
_MOST_LISTED = 5

_MOST_WARNED = 10
# Marks without width that web pages and other programs put around a word; not the joiners, which
# belong to words and emoji
_MARKS = "\u200b\u200e\u200f\u2060\ufeff"


def snake_case(class_name: str) -> str:
    """Return `dataset_reader` for `DatasetReader` (and `im2im_encoder` for `Im2ImEncoder`)."""
    joined = re.sub(r"2([A-Z])", lambda match: f"2{match.group(1).lower()}", class_name)
    return _WORD_START.sub("_", joined).lower()


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean "resize"?` with up to three names, or nothing."""
    if len(name) > _LONGEST_NAME:  # the search takes the square of it
        return ""
    by_key = {_key(candidate): candidate for candidate in known}
    near = difflib.get_close_matches(_key(name), list(by_key), n=3, cutoff=0.6)
    shown = " or ".join(repr_json(by_key[key]) for key in near)
    return f"; did you mean {shown}?" if near else ""


def listed(names: Sequence[object], most: int = _MOST_LISTED) -> str:
    """Return the first few names, and how many more there are: `a, b, c and 7 more`, or `none`."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(map(str, names[:most])) or "none") + more


def counted(count: int, one: str, more: str | None = None) -> str:
    """Return a number with its noun, and what follows it: `1 image`, `3 images`.

    Args:
        count: The number.
        one: The words behind 1.
        more: The words behind any other number. Default: `one` with an "s".
    """
    return f"{count} {one if count == 1 else more or f'{one}s'}"


def with_article(noun: str) -> str:
    """Return `an optimizer` for `optimizer`, `a model` for `model`."""
    return f"{'an' if noun[:1].lower() in set('aeio') else 'a'} {noun}"


def _key(name: str) -> str:
    return name.replace("-", "_").casefold()


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
