"""`LabelRecord`: one thing that was said of an image, in no program's format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

KINDS = ("label", "skip", "unsure", "unreadable")


@dataclass(frozen=True)
class LabelRecord:
    """One thing that was said of an image.

    Args:
        id: The image.
        image: Where its file is; None where that is not known, or it is none.
        label: The name of the class, where `kind` is `label`.
        kind: What was said: label, skip, unsure or unreadable; None where nothing was.
        annotator: By whom.
        time: When, in seconds since 1970.
        seconds: How long it took.
        round: In which round of a loop.
        source: By what.
        prediction: What a model took it for.
        score: How much a strategy wanted it.
        extra: What else a file says of it, kept for those who put it there.
    """

    id: str
    image: str | None = None
    label: str | None = None
    kind: str | None = None
    annotator: str | None = None
    time: float | None = None
    seconds: float | None = None
    round: int | None = None
    source: str | None = None
    prediction: str | None = None
    score: float | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


FIELDS = tuple(one.name for one in fields(LabelRecord) if one.name != "extra")
_NUMBERS = {"time": float, "seconds": float, "score": float, "round": int}


def record_of(values: Mapping[str, Any], extra: Mapping[str, Any]) -> LabelRecord:
    """Return a record of values that a file holds.

    Args:
        values: By the names of the fields; None where there is nothing. Numbers may be texts.
        extra: What else there is.

    Raises:
        ValueError: A value is not what its field takes; the message names it.
    """
    found = {name: _converted(name, values.get(name)) for name in FIELDS}
    if found["label"] is not None and found["kind"] is None:
        found["kind"] = "label"
    if not found["id"]:
        if not found["image"]:
            raise ValueError("expected an id or an image, found neither")
        found["id"] = found["image"]
    if found["kind"] is not None and found["kind"] not in KINDS:
        raise ValueError(f"kind: expected one of {', '.join(KINDS)}, found {found['kind']!r:.80}")
    if (found["kind"] == "label") != (found["label"] is not None):
        raise ValueError(f"kind {found['kind']} does not go with the label {found['label']!r:.80}")
    return LabelRecord(**found, extra=dict(extra))


def _converted(name: str, value: Any) -> Any:
    if value is None or value == "":
        return None
    kind = _NUMBERS.get(name)
    if kind is None:
        if isinstance(value, str):
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        raise ValueError(f"{name}: expected a text, found {value!r:.80}")
    if isinstance(value, bool):
        raise ValueError(f"{name}: expected a number, found {value}")
    try:
        number = kind(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name}: expected a number, found {value!r:.80}") from None
    if number != number or number in (float("inf"), float("-inf")):
        raise ValueError(f"{name}: expected a finite number, found {value!r:.80}")
    return number
