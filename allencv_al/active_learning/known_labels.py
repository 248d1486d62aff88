"""What `--labeled` names: images with their labels, as a table or as class folders."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from allencv_al.active_learning.label_store import LabelStore
from allencv_al.active_learning.run_database import DATABASE_NAME, RunDatabase
from allencv_al.common.errors import DataError
from allencv_al.common.names import did_you_mean, repr_json
from allencv_al.data.dataset_readers.image_classification_directory import (
    ImageClassificationDirectory,
)
from allencv_al.data.dataset_readers.instance_ids import encodable, path_id
from allencv_al.data.dataset_readers.manifest_rows import JSON_LINES, Row, read_rows
from allencv_al.data.dataset_readers.skipped import raise_problems
from allencv_al.data.dataset_readers.split_path import split_path
from allencv_al.data.instance import Instance
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.training.run_folder import CONFIG_NAME

logger = logging.getLogger(__name__)

FileKey = tuple[int, int] | str


def read_labeled(text: str, pool: Sequence[Instance]) -> list[Instance]:
    """List the images that have labels; none is decoded.

    An image of the pool is known by its file, whatever it is called, or by its id, and comes under
    the pool's id. Rows without a label are passed over.

    Args:
        text: A folder with one folder per class; the folder of a run of active-learn; or a CSV
            file or JSON lines with `label` and `path` (relative to the table), `image_path`
            (relative to the current folder, as in JSON lines for `predict`) or `id` (of the pool).
            `::train` behind a table takes the rows of that split.
        pool: The images to choose from.

    Raises:
        DataError: There is no such thing, no label in it, or rows are wrong; all are told.
    """
    location, split = split_path(text)
    if (location / DATABASE_NAME).is_file():
        found = list(_of_run(location, pool))
    elif location.is_dir():
        found = list(ImageClassificationDirectory(unlabeled="never").read(location))
    elif location.is_file():
        found = _Table(location, split, pool).instances()
    else:
        raise DataError(f"{text}: there is no such file or folder")
    if not found:
        raise DataError(f"{text}: there is no label in it")
    return _as_in_pool(found, pool)


def check_known_labels(labeled: Iterable[Instance], vocabulary: Vocabulary, source: str) -> None:
    """Raise where a label is none of the model's classes.

    Args:
        labeled: Images with labels.
        vocabulary: The model's.
        source: Where they come from, for the message.

    Raises:
        DataError: All such labels are listed.
    """
    known = vocabulary.get_token_to_index_vocabulary()
    counts = Counter(item.label for item in labeled if item.label not in known)
    if not counts:
        return
    lines = [
        f"{repr_json(label)} ({count} images){did_you_mean(str(label), known)}"
        for label, count in sorted(counts.items(), key=str)
    ]
    classes = ", ".join(sorted(known))
    raise DataError(
        "\n  ".join(
            [f"{source}: labels that the model does not know (it knows {classes}):", *lines]
        )
    )


def _of_run(folder: Path, pool: Sequence[Instance]) -> Iterator[Instance]:
    """Yield what a run has labeled, as far as the images are in the pool or where they were."""
    config = json.loads((folder / CONFIG_NAME).read_text(encoding="utf-8"))
    block = config.get("active_learning") or {}
    roots = [config.get("train_data_path"), block.get("pool_data_path")]
    by_id = {instance.id: instance for instance in pool}
    with RunDatabase(folder / DATABASE_NAME, create=False) as database:
        labels = LabelStore(database).labels()
    for id, label in labels.items():
        files = [Path(root).expanduser() / id for root in roots if root]
        file = next((file for file in files if file.is_file()), None)
        if file is not None:
            yield Instance(id, file, label)
        elif id in by_id:
            yield replace(by_id[id], label=label)


class _Table:
    """A table of labels, and what is wrong with its rows."""

    def __init__(self, location: Path, split: str | None, pool: Sequence[Instance]) -> None:
        self._location = location
        self._split = split
        self._pool = {instance.id: instance for instance in pool}
        self._problems: list[str] = []

    def instances(self) -> list[Instance]:
        labels: dict[FileKey, tuple[str, int]] = {}
        found = []
        for row in self._rows():
            instance = None if row.problem else self._instance(row)
            if row.problem:
                self._problems.append(f"line {row.line}: {row.problem}")
            if instance is None or instance.label is None:
                continue
            label, line = labels.setdefault(_key(instance), (instance.label, row.line))
            if line == row.line:
                found.append(instance)
            elif label != instance.label:
                self._problems.append(
                    f"line {row.line}: {instance.id} is {instance.label} here and {label} in line "
                    f"{line}"
                )
        raise_problems(self._location, self._problems)
        return found

    def _rows(self) -> Iterator[Row]:
        rows = self._all_rows()
        splits = {str(row.values.get("split") or "") for row in rows if not row.problem}
        if self._split is None and len(splits) > 1:
            logger.warning("%s: reading the rows of all splits: %s", self._location, splits)
        if self._split is not None and splits and self._split not in splits:
            raise DataError(
                f"{self._location}: no rows of split {repr_json(self._split)}; it has "
                f"{', '.join(sorted(splits - {''})) or 'none'}"
            )
        for row in rows:
            if row.problem or self._split in (None, str(row.values.get("split") or "")):
                yield row

    def _all_rows(self) -> list[Row]:
        rows = list(read_rows(self._location, "label", hint=""))
        names = next((set(row.values) for row in rows if not row.problem), {"path"})
        is_table = self._location.suffix.lower() not in JSON_LINES
        if is_table and not names & {"path", "image_path", "id"}:
            raise DataError(
                f"{self._location}: expected a column path or id beside label, found "
                f"{', '.join(sorted(names))}"
            )
        return rows

    def _instance(self, row: Row) -> Instance | None:
        """Return the image with its label; None for a row without one or with a problem."""
        try:
            path, image_path, id, label = (
                _text(row.values, name) for name in ("path", "image_path", "id", "label")
            )
        except ValueError as error:
            self._problems.append(f"line {row.line}: {error}")
            return None
        if not label:
            return None
        file = self._location.parent / path if path else Path(image_path).expanduser()
        if (path or image_path) and (file.exists() or id not in self._pool):
            return Instance(id or path_id(path or image_path), file, label)
        if id in self._pool:
            return replace(self._pool[id], label=label)
        found = f"the id {repr_json(id)} is not in the pool" if id else "neither a path nor an id"
        self._problems.append(f"line {row.line}: {found}")
        return None


def _text(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    if isinstance(value, bool | float | list | dict):
        raise ValueError(f"{name}: expected a text, found {repr_json(value)}")
    return "" if value is None else str(value)


def _as_in_pool(found: Sequence[Instance], pool: Sequence[Instance]) -> list[Instance]:
    by_key = {_key(instance): instance for instance in pool}
    items = []
    for instance in found:
        same = by_key.get(_key(instance))
        if same is not None:
            items.append(replace(same, label=instance.label))
        elif isinstance(instance.image, str | Path):
            # The whole path: relative to another folder than the pool, its id could be taken there
            items.append(replace(instance, id=encodable(path_id(instance.image))))
        else:
            items.append(instance)
    return items


def _key(instance: Instance) -> FileKey:
    """Return what two names of one file have in common; the id of what is no file."""
    if not isinstance(instance.image, str | Path):
        return f"id {instance.id}"
    path = Path(instance.image)
    try:
        status = path.stat()
    except (OSError, ValueError):
        return str(path.absolute())
    return status.st_dev, status.st_ino
