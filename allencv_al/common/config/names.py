"""Names in messages: in snake case, the nearest to a misspelt one, the first of many."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

from allencv_al.common.files.json_values import repr_json

__all__ = ["did_you_mean", "listed", "repr_json", "snake_case", "with_article"]

_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

_LONGEST_NAME = 200
_MOST_LISTED = 5


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


def with_article(noun: str) -> str:
    """Return `an optimizer` for `optimizer`, `a model` for `model`."""
    return f"{'an' if noun[:1].lower() in set('aeio') else 'a'} {noun}"


def _key(name: str) -> str:
    return name.replace("-", "_").casefold()
