"""`LabelEntry`: one label of an exchange file, in no program's format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from allencv_al.labels.database import is_encodable

if TYPE_CHECKING:
    from allencv_al.data.dataset_readers.objects.image_objects import Annotation
    from allencv_al.data.image_io import ImageFrame

Objects = Callable[["ImageFrame | None", list[str]], "Annotation | None"]
"""Returns the objects in an image, given its size and turn and a list for problems."""

KINDS = ("label", "skip", "unsure", "unreadable")


@dataclass(frozen=True)
class LabelEntry:
    """An entry of an exchange file: an image with a decision about it.

    Args:
        id: The image.
        image: Its file or address, if known.
        label: The text of the label, if `kind` is `label`: the name of the class, or what the task
            of the labels writes.
        kind: Kind of decision: label, skip, unsure or unreadable; None without a decision.
        annotator: The author.
        time: Time of storage, in seconds since 1970.
        seconds: Time spent on the decision.
        round: The round of a loop.
        source: The program.
        prediction: A model's prediction.
        score: A strategy's score.
        use: `audit` for an image that measures models and is never trained on.
        extra: Other values of the file, kept for the program that wrote them.
        place: Its place in the file that it was read from, for messages.
        objects: Boxes, areas and tags in place of `label`, which they become when the
            image is known, since only its size tells which pixels are meant.
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
    use: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    place: str | None = field(default=None, compare=False, repr=False)
    objects: Objects | None = field(default=None, compare=False, repr=False)


FIELDS = tuple(one.name for one in fields(LabelEntry) if one.compare and one.name != "extra")
NUMBERS = {"time": float, "seconds": float, "score": float, "round": int}
"""The fields that hold numbers, with their types."""


def entry_of(
    values: Mapping[str, Any], extra: Mapping[str, Any], place: str | None = None
) -> LabelEntry:
    """Return the entry made of the values of a file.

    Args:
        values: Values by the names of the fields; None or empty if absent. Numbers may be texts.
        extra: Other values, to be kept.
        place: Their place in the file.

    Raises:
        ValueError: A value does not fit its field; the message names it.
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
    if found["seconds"] is not None and found["seconds"] < 0:
        raise ValueError(f"seconds: expected a number from 0, found {found['seconds']}")
    return LabelEntry(**found, extra=dict(extra), place=place)


def kept_values(entry: LabelEntry, name: str) -> Mapping[str, Any]:
    """Return the values that an entry keeps for the program that wrote them.

    Args:
        entry: The entry.
        name: The key in its `extra`, which a column of another program may bear.
    """
    kept = entry.extra.get(name)
    return kept if isinstance(kept, dict) else {}


def with_address(entry: LabelEntry, key: str, name: str) -> dict[str, Any]:
    """Return the values that an entry keeps, with the address of its image first.

    The kept address comes back unless the id of the entry is one itself.

    Args:
        entry: The entry.
        key: The key of the address.
        name: The key in its `extra`.
    """
    kept = kept_values(entry, name)
    address = entry.id if "://" in entry.id else kept.get(key, entry.id)
    return {key: address, **{other: value for other, value in kept.items() if other != key}}


def _converted(name: str, value: Any) -> Any:
    if value is None or value == "":
        return None
    kind = NUMBERS.get(name)
    if kind is None:
        if isinstance(value, str):
            if not is_encodable(value):
                raise ValueError(f"{name}: expected Unicode text, found {value[:80]!a}")
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)  # json.loads has refused more digits than str() writes
        raise ValueError(f"{name}: expected a text, found {value!r:.80}")
    if isinstance(value, bool):
        raise ValueError(f"{name}: expected a number, found {value}")
    date = seconds_of(value) if name == "time" else None
    try:
        number = kind(value) if date is None else date
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name}: expected a number, found {value!r:.80}") from None
    # NaN (unequal to itself) and infinities are no JSON, and could not be exported again
    if number != number or number in (float("inf"), float("-inf")):
        raise ValueError(f"{name}: expected a finite number, found {value!r:.80}")
    return number


def seconds_of(value: Any) -> float | None:
    """Return a date in ISO 8601 as seconds since 1970, or None for anything else."""
    if not isinstance(value, str) or "-" not in value:  # 20260101 is a number, too
        return None
    try:
        found = datetime.fromisoformat(value.strip())
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
