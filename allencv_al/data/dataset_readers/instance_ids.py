"""Ids of instances: stable from run to run, from machine to machine, and unique."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from allencv_al.data.dataset_readers.skipped import raise_problems
from allencv_al.data.instance import Instance

UNNAMED = "image"


def path_id(path: str | Path) -> str:
    """Return the id of an image that is known by its path only."""
    return Path(path).as_posix()


def with_stable_id(instance: Instance, location: Path, position: int) -> Instance:
    """Return the instance under an id that is the same on every machine.

    Args:
        instance: Its id may be missing (`UNNAMED`) or be the whole path of its image.
        location: The path that is read.
        position: The place of the instance in what was found.
    """
    id, image = instance.id, instance.image
    if id == UNNAMED:
        id = f"{location.name}:{position}"
    elif isinstance(image, str | Path) and id == path_id(image):
        root = location if location.is_dir() else location.parent
        if Path(image).is_relative_to(root):
            id = Path(image).relative_to(root).as_posix()
    id, label = encodable(id), instance.label and encodable(instance.label)
    if (id, label) == (instance.id, instance.label):
        return instance
    return replace(instance, id=id, label=label)


def check_ids_are_unique(path: str | Path, instances: Sequence[Instance]) -> None:
    """Raise a DataError that lists the ids which occur more than once."""
    if len({instance.id for instance in instances}) == len(instances):
        return
    seen: dict[str, int] = {}
    for instance in instances:
        seen[instance.id] = seen.get(instance.id, 0) + 1
    raise_problems(
        path, [f'the id "{id}" occurs {count} times' for id, count in seen.items() if count > 1]
    )


def encodable(text: str) -> str:
    """Write out the bytes of a file name that are not UTF-8; no result file could hold them."""
    if text.isascii():
        return text
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
