"""Names: snake_case, and the nearest known ones to a misspelt one."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def snake_case(class_name: str) -> str:
    """Return `dataset_reader` for `DatasetReader` (and `im2im_encoder` for `Im2ImEncoder`)."""
    joined = re.sub(r"2([A-Z])", lambda match: f"2{match.group(1).lower()}", class_name)
    return _WORD_START.sub("_", joined).lower()


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean "resize"?` with up to three names, or nothing."""
    near = difflib.get_close_matches(name.replace("-", "_"), list(known), n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(repr_json(n) for n in near)}?" if near else ""


def repr_json(value: object, limit: int = 60) -> str:
    """Return `value` as JSON where it is JSON, shortened to about `limit` characters."""
    import json

    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
