"""Records of a run: the machine it ran on, and the data it learned from.

`environment.json` holds versions and hardware; runs are bit-equal only where both match.
`checkpoints/data.json` holds for each image of the training and validation data its label, its size
and a digest of its content. Of a file, the digest is of the first and last few kB: enough for any
image that was replaced, and little to read. Times of change do not count, so that data may be
copied to another disk.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from allencv_al.common.errors import CheckpointError, DataError
from allencv_al.common.files import atomic_file
from allencv_al.common.files.atomic_file import write_json
from allencv_al.common.names import counted, listed
from allencv_al.common.user_code import changed_code
from allencv_al.data.dataset_readers.base import Dataset
from allencv_al.data.drawn_masks import DrawnMask
from allencv_al.data.instance import Instance
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.models.archive_contents import installed_versions
from allencv_al.training.checkpoints.checkpointer import FOLDER, has_checkpoints

logger = logging.getLogger(__name__)

ENVIRONMENT_NAME = "environment.json"

# Two runs can be bit-equal only where all of these entries match
_DECISIVE = ("versions", "machine", "processor", "torch_threads", "device", "precision")

DATA_NAME = "data.json"

_ENDS_BYTES = 8192
_THREADS = 8

Record = dict[str, Any]


def describe_environment() -> dict[str, Any]:
    """Return what the results of a run depend on besides its config and data.

    Environment variables are left out: they hold secrets.
    """
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "platform": platform.platform(),
        "machine": platform.machine(),
        "processor": torch.backends.cpu.get_cpu_capability(),
        "processors": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "cuda": torch.version.cuda,
        "versions": installed_versions(),
    }


def write_environment(folder: str | Path, **found: Any) -> None:
    """Write `environment.json`; warn of differences from the environment the run began with.

    Args:
        folder: Folder of the run.
        **found: Entries that the caller knows: `device` and `precision` of the trainer, or the
            `code` of user modules that the config names (`user_code`).
    """
    now: dict[str, Any] = {**describe_environment(), **found}
    before = read_environment(folder) or {}
    for name in _DECISIVE:
        if name in before and name in now and before[name] != now[name]:
            logger.warning(
                "this run began with %s %s and resumes with %s: it will not be bit-equal to an "
                "uninterrupted run",
                name,
                before[name],
                now[name],
            )
    both = "code" in before and "code" in now  # only some callers know the code
    if both and (changed := changed_code(before["code"], now["code"])):
        logger.warning(
            "the code of %s has changed since this run began: what it did before is of the code "
            "of then",
            listed(changed),
        )
    if "started" in before:
        # Of a resumed run: when it began, and when it last continued
        now |= {"started": before["started"], "continued": now["started"]}
    write_json(Path(folder) / ENVIRONMENT_NAME, {**before, **now})


def read_environment(folder: str | Path) -> dict[str, Any] | None:
    """Return the `environment.json` of a run's folder; None where there is none."""
    try:
        found = json.loads((Path(folder) / ENVIRONMENT_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def device_name(device: torch.device) -> str:
    """Return the name of a device in `environment.json`."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


def write_data_record(folder: Path, datasets: Mapping[str, Dataset | None]) -> None:
    """Record the data that the run in `folder` learns from.

    Args:
        folder: The folder of the run.
        datasets: The data sets by name (`train`); None for an absent one.
    """
    text = json.dumps(_record_of(datasets), separators=(",", ":"))
    atomic_file.write_text(folder / FOLDER / DATA_NAME, text)


def check_same_data(
    folder: Path,
    datasets: Mapping[str, Dataset | None],
    vocabulary: Vocabulary,
    saved_vocabulary: Path,
) -> None:
    """Raise unless a run with checkpoints can resume with these data.

    Args:
        folder: The folder of the run.
        datasets: The data sets of the resumed run; see `write_data_record`.
        vocabulary: The classes of the resumed run.
        saved_vocabulary: Folder of the vocabulary that the run began with.

    Raises:
        DataError: Something has changed; each kind of change is listed.
        CheckpointError: The record cannot be read.
    """
    if not has_checkpoints(folder):
        return  # nothing was learned yet
    changes: list[str] = []
    path = folder / FOLDER / DATA_NAME
    if path.is_file():  # not in a run of version 0.1
        before = _read(path)
        now = _record_of(datasets)
        for name in now:
            changes += _changes(name, before.get(name) or {}, now[name] or {})
    changes += _class_changes(Vocabulary.from_files(saved_vocabulary), vocabulary)
    if changes:
        raise DataError(
            "\n  ".join(
                [
                    f"{folder}: its data have changed since the run began, so it cannot resume:",
                    *changes,
                    "bring back the data as they were, or start over: --force, or another folder",
                ]
            )
        )


def _read(path: Path) -> dict[str, Record | None]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise CheckpointError(
            f"{path}: damaged, so the data cannot be compared with those that the run began with; "
            "if they are unchanged, remove this file and use --recover"
        )
    return found


def _record_of(datasets: Mapping[str, Dataset | None]) -> dict[str, Record | None]:
    with ThreadPoolExecutor(_THREADS) as threads:
        return {
            name: None
            if dataset is None
            else dict(zip((item.id for item in dataset), threads.map(_entry, dataset), strict=True))
            for name, dataset in datasets.items()
        }


def _entry(item: Instance) -> list[Any]:
    """Return the label of an item, with digests of its pixels, mask and boxes."""
    parts = [_content(part) for part in (item.image, item.mask) if part is not None]
    places = (item.boxes, item.box_labels, item.keypoints)
    if any(place is not None for place in places):
        parts.append(_digest(repr(places).encode()))
    if item.ignored:  # else absent, as in the records of runs from before there were any
        parts.append(_digest(repr(item.ignored).encode()))
    if item.labels is not None:
        parts.append(_digest(repr(item.labels).encode()))
    return [item.label, *parts]


def _content(value: Any) -> str:
    if isinstance(value, str | Path):
        return _file_content(Path(value))
    if isinstance(value, DrawnMask):
        value = repr(value.layers).encode()
    content = value if isinstance(value, bytes) else np.ascontiguousarray(value)
    size = len(content) if isinstance(content, bytes) else "x".join(map(str, content.shape))
    return f"{size}:{_digest(content)}"


def _file_content(path: Path) -> str:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            start = file.read(_ENDS_BYTES)
            file.seek(max(len(start), size - _ENDS_BYTES))
            return f"{size}:{_digest(start + file.read())}"
    except OSError:  # the loader decides whether a run may resume without it
        return "unreadable"


def _digest(content: Any) -> str:
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def _changes(name: str, before: Record, now: Record) -> Iterator[str]:
    shared = [id for id in now if id in before]

    def differing(is_other: Callable[[Any, Any], bool]) -> list[str]:
        return [id for id in shared if is_other(before[id], now[id])]

    relabeled = differing(lambda old, new: old[0] != new[0])
    for what, ids in (
        ("gone", [id for id in before if id not in now]),
        ("new", [id for id in now if id not in before]),
        ("replaced by others", differing(lambda old, new: old[1:] != new[1:])),
        ("with another label", relabeled),
    ):
        if ids:
            yield f"{name}: {counted(len(ids), 'image')} {what}: {listed(ids)}"


def _class_changes(before: Vocabulary, now: Vocabulary) -> Iterator[str]:
    old, new = (v.get_token_to_index_vocabulary() for v in (before, now))
    moved = [name for name in old if name in new and old[name] != new[name]]
    for what, names in (
        ("gone", old.keys() - new.keys()),
        ("new", new.keys() - old.keys()),
        # If classes were added or removed, the indices of the others shift as a consequence
        ("with another number", moved if old.keys() == new.keys() else []),
    ):
        if names:
            yield f"classes {what}: {listed(sorted(names))}"
