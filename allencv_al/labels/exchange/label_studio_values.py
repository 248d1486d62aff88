"""Shared code of Label Studio's two JSON formats."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from allencv_al.common.errors import DataError, raise_problems
from allencv_al.common.files.json_values import parse_json
from allencv_al.labels.exchange.record import FIELDS, LabelRecord, record_of

CONTROL, OBJECT, KEY = "choice", "image", "image"
"""Names of the control and the object tag, and the key of the task's data, in what is written."""

OURS = "allencv_al"  # what Label Studio has no place for
ID = "allencv_al_id"
SOURCE = "label_studio"
_ELSEWHERE = ("id", "label", "seconds")  # for which it has a place


def read_list(
    text: str, where: str, what: str, read: Callable[[Any, str], Iterable[LabelRecord]]
) -> list[LabelRecord]:
    """Return the records of all the entries of a JSON list.

    Args:
        text: The JSON.
        where: What messages call it.
        what: What messages call an entry.
        read: Makes records of an entry, given it and where it stands.

    Raises:
        DataError: It is no list, or entries are wrong; they are named.
    """
    try:
        value = parse_json(text.removeprefix("\ufeff"))
    except ValueError as error:
        raise DataError(f"{where}: expected JSON: {error}") from None
    if not isinstance(value, list):
        raise DataError(f"{where}: expected a JSON list, as Label Studio exports it")
    problems: list[str] = []
    found: list[LabelRecord] = []
    for number, entry in enumerate(value, start=1):
        try:
            found += read(entry, f"{what} {number}")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            problems.append(f"{what} {number}: {error}")
    raise_problems(where, problems)
    return found


def base_record(data: Mapping[str, Any], task_id: Any, place: str) -> LabelRecord:
    """Return a record of an image of which nothing is said.

    Args:
        data: The data of its task.
        task_id: What the record is called where the data name no image.
        place: Where it stands.

    Raises:
        ValueError: Neither an image nor an id is there.
    """
    image = next(
        (data[key] for key in (KEY, "img", "url") if isinstance(data.get(key), str)),
        next((value for value in data.values() if isinstance(value, str)), None),
    )
    id = data.get(ID, image)
    if not isinstance(id, str) or not id:
        id = "" if task_id is None else str(task_id)
    return record_of({"id": id, "image": image}, {}, place)


def kept_fields(record: LabelRecord) -> dict[str, Any]:
    """Return what is written under `OURS`, for `record_of_kept`."""
    kept = {name: getattr(record, name) for name in FIELDS if name not in _ELSEWHERE}
    kept["extra"] = dict(record.extra)
    return {name: value for name, value in kept.items() if value not in (None, {})}


def record_of_kept(kept: Any, id: str, label: Any, seconds: Any, place: str) -> LabelRecord:
    """Return the record whose `kept_fields` were written.

    Raises:
        ValueError: They were changed to what they cannot be.
    """
    if not isinstance(kept, dict) or not isinstance(kept.get("extra", {}), dict):
        raise ValueError(f"{OURS}: expected an object")
    values = {**kept, "id": id, "label": label, "seconds": seconds}
    return record_of(values, kept.get("extra", {}), place)


def person(value: Any) -> str | None:
    """Return who it was: an e-mail address where there is one, or else a number."""
    if isinstance(value, dict):
        value = value.get("email") or value.get("id")
    return None if value in (None, "") else str(value)


def duration(value: Any) -> float | None:
    """Return seconds, or None for what are none."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e12:
        return float(value)
    return None


def date_of(seconds: float) -> str | None:
    """Return seconds since 1970 as a date, or None where there is no such year."""
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return None
