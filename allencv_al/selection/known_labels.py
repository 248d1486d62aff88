"""Read the images and labels that `--labeled` names: a table, folders, or a data set of a model."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from allencv_al.common.errors import DataError, raise_problems
from allencv_al.common.files.json_values import repr_json
from allencv_al.common.files.paths import expanded, path_problem, split_path, written_path
from allencv_al.common.files.tables import (
    CSV_SUFFIXES,
    JSON_SUFFIXES,
    LABELS_NAME,
    Row,
    cell_text,
    read_table,
)
from allencv_al.common.names import class_name, did_you_mean, listed
from allencv_al.data.dataset_readers.base import DatasetReader
from allencv_al.data.dataset_readers.image_classification_directory import (
    ImageClassificationDirectory,
)
from allencv_al.data.dataset_readers.image_tables import rows_of_split
from allencv_al.data.instance import Instance, encodable, path_id
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.labels.audit_sample import USE, AuditStore, is_audit, is_marked, marked
from allencv_al.labels.label_store import LabelStore
from allencv_al.labels.run_database import DATABASE_NAME, RunDatabase
from allencv_al.labels.sessions.labeling_store import LABELING_NAME
from allencv_al.tasks.base import LabelTask, label_task
from allencv_al.training.run_folder import CONFIG_NAME

logger = logging.getLogger(__name__)

_LABEL, _LABELS = "label", "labels"
_COLUMNS = ("path", "image_path", "id", _LABEL, _LABELS, "split", USE)

FileKey = tuple[int, int] | str


def read_labeled(
    text: str,
    pool: Sequence[Instance],
    task: LabelTask | None = None,
    reader: DatasetReader | None = None,
) -> list[Instance]:
    """List the images that have labels; none is decoded.

    An image of the pool is recognized by its file, under any name, or by its id, and gets the
    pool's id. Rows without a label are ignored.

    Args:
        text: A folder with one folder per class; the folder of a run of active-learn, or the one
            in which `label` keeps its labels; or a CSV file or JSON lines with `label` and `path`
            (relative to the table), `image_path` (relative to the current folder, as in JSON lines
            for `predict`) or `id` (of the pool); several classes may stand in `labels`.
            `::train` behind a table takes the rows of that split. Masks and boxes: also what
            `reader` reads.
        pool: The images to choose from.
        task: The kind of labels; default: one class per image.
        reader: The dataset reader of the model.

    Raises:
        DataError: There is no such thing, no label in it, or rows are wrong; all are told.
    """
    location, split = split_path(text)
    task = label_task(task)
    if (location / DATABASE_NAME).is_file():
        found = list(_of_run(location, pool, task))
    # A labeling session keeps its labels in a table beside its database
    elif (location / LABELING_NAME).is_file() and (location / LABELS_NAME).is_file():
        found = _Table(location / LABELS_NAME, split, pool, task).instances()
    elif reader is not None and _is_of_reader(location, task):
        found = [item for item in reader.read(text) if task.is_labeled(item)]
    elif location.is_dir():
        folders = ImageClassificationDirectory(unlabeled="never").read(location)
        found = [task.labeled(item, task.read(str(item.label))) for item in folders]
    elif location.is_file():
        found = _Table(location, split, pool, task).instances()
    else:
        raise DataError(f"{text}: there is no such file or folder")
    if not found:
        raise DataError(f"{text}: there is no label in it")
    return _as_in_pool(found, pool, task)


def _is_of_reader(location: Path, task: LabelTask) -> bool:
    """Return whether a model's reader knows the layout of labels: no table and no folder does."""
    if task.names_image or not location.exists():
        return False
    return location.suffix.lower() not in (*CSV_SUFFIXES, *JSON_SUFFIXES[:2])


def check_known_labels(
    labeled: Iterable[Instance],
    vocabulary: Vocabulary,
    source: str,
    task: LabelTask | None = None,
) -> None:
    """Raise if a label is not one of the model's classes.

    Args:
        labeled: Images with labels.
        vocabulary: The model's.
        source: The source of the labels, for the message.
        task: The kind of labels; default: one class per image.

    Raises:
        DataError: All such labels are listed.
    """
    known = vocabulary.get_token_to_index_vocabulary()
    task = label_task(task)
    names = (name for item in labeled for name in set(task.classes_in(item)))
    counts = Counter(name for name in names if name not in known)
    if not counts:
        return
    lines = [
        f"{repr_json(label)} ({count} images){did_you_mean(label, known)}"
        for label, count in sorted(counts.items(), key=str)
    ]
    classes = ", ".join(sorted(known))
    raise DataError(
        "\n  ".join(
            [f"{source}: labels that the model does not know (it knows {classes}):", *lines]
        )
    )


def _of_run(folder: Path, pool: Sequence[Instance], task: LabelTask) -> Iterator[Instance]:
    """Yield the labeled images of a run that are in the pool or still at their paths."""
    config = json.loads((folder / CONFIG_NAME).read_text(encoding="utf-8"))
    roots = [config.get("train_data_path"), config.get("pool_data_path")]
    by_id = {instance.id: instance for instance in pool}
    with RunDatabase(folder / DATABASE_NAME, create=False) as database:
        labels, audit = LabelStore(database).labels(), AuditStore(database).ids()
    for id, label in labels.items():
        # Ids of a folder are paths below it
        files = [expanded(root) / id for root in roots if root]
        file = next((file for file in files if file.is_file()), None)
        if file is not None:
            yield _labeled(Instance(id, file), task, label, id in audit)
        elif id in by_id:
            yield _labeled(by_id[id], task, label, id in audit)


class _Table:
    """A table of labels, and the faults of its rows."""

    def __init__(
        self, location: Path, split: str | None, pool: Sequence[Instance], task: LabelTask
    ) -> None:
        self._location = location
        self._task = task
        self._split = split
        self._pool = {instance.id: instance for instance in pool}
        # Programs on macOS write file names in decomposed Unicode, tables usually not
        self._composed = {class_name(instance.id): instance for instance in pool}
        self._problems: list[str] = []
        self._absent: list[str] = []
        self._is_several = _LABELS in task.targets

    def instances(self) -> list[Instance]:
        labels: dict[FileKey, tuple[str, str]] = {}
        found = []
        for row in self._rows():
            instance = None if row.problem else self._instance(row)
            if row.problem:
                self._problems.append(f"{row.place}: {row.problem}")
            own = None if instance is None else self._task.text_of(instance)
            if instance is None or own is None:
                continue
            # By the file, not by its name: two rows may name one file by different paths
            label, place = labels.setdefault(_key(instance), (own, row.place))
            if place == row.place:
                found.append(instance)
            elif label != own:
                shown = self._task.shown
                self._problems.append(
                    f"{row.place}: {instance.id} is {shown(own)} here and {shown(label)} in {place}"
                )
        raise_problems(self._location, self._problems)
        if self._absent:
            logger.warning(
                "%s: %d labeled images are not there, so their labels keep no image from being "
                "chosen: %s",
                self._location,
                len(self._absent),
                listed(self._absent),
            )
        return found

    def _rows(self) -> list[Row]:
        table = read_table(self._location, _COLUMNS)
        table.require(self._location, [_LABEL, *([_LABELS] if self._is_several else [])])
        if not table.is_json:
            table.require(
                self._location, ["path", "id", "image_path"], "; one of them names the image"
            )
        return rows_of_split(table, "split", self._split, self._location)

    def _label_in(self, values: Mapping[str, Any]) -> str:
        several = values.get(_LABELS) if self._is_several else None
        if isinstance(several, list):  # of JSON lines
            return json.dumps(several, ensure_ascii=False)
        return cell_text(values, _LABELS if several else _LABEL)

    def _instance(self, row: Row) -> Instance | None:
        """Return the image with its label; None for a row without one or with a problem."""
        try:
            path, image_path, id = (cell_text(row.values, name) for name in _COLUMNS[:3])
            label = self._label_in(row.values)
        except ValueError as error:
            self._problems.append(f"{row.place}: {error}")
            return None
        if not label:
            return None
        label = self._task.read(label)
        if (problem := self._task.problem(label)) is not None:
            self._problems.append(f"{row.place}: {problem}")
            return None
        known = self._pool.get(id) or self._composed.get(class_name(id))
        written = path or image_path
        if written and (known is None or not path_problem(written)):
            file = written_path(written, self._location.parent if path else None)
            problem = path_problem(written)
            if problem is None and (file.exists() or known is None):
                if not file.exists():
                    self._absent.append(f"{row.place}: {file}")
                instance = Instance(id or path_id(written), file)
                return _labeled(instance, self._task, label, is_marked(row.values))
        else:
            problem = (
                f"the id {repr_json(id)} is not in the pool" if id else "neither a path nor an id"
            )
        if known is not None:
            return _labeled(known, self._task, label, is_marked(row.values))
        self._problems.append(f"{row.place}: {problem}")
        return None


def _labeled(instance: Instance, task: LabelTask, text: str, is_audited: bool) -> Instance:
    labeled = task.labeled(instance, text)
    return replace(labeled, metadata=marked(instance.metadata, is_audited))


def _as_in_pool(
    found: Sequence[Instance], pool: Sequence[Instance], task: LabelTask
) -> list[Instance]:
    by_key = {_key(instance): instance for instance in pool}
    items = []
    for instance in found:
        same = by_key.get(_key(instance))
        if same is not None:
            text = task.text_of(instance)
            assert text is not None, "each of them is labeled"
            items.append(_labeled(same, task, text, is_audit(instance)))
        elif isinstance(instance.image, str | Path):
            # The whole path: relative to another folder than the pool, its id could be taken there
            items.append(replace(instance, id=encodable(path_id(instance.image))))
        else:
            items.append(instance)
    return items


def _key(instance: Instance) -> FileKey:
    """Return a key that two names of one file share: device and inode; for arrays the id."""
    if not isinstance(instance.image, str | Path):
        return f"id {instance.id}"
    path = Path(instance.image)
    try:
        # Follows links: two links to one file are one image
        status = path.stat()
    except (OSError, ValueError):
        return str(path.absolute())
    return status.st_dev, status.st_ino
