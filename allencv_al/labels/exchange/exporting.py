"""Export: the labels of a run or of a labeling, as entries."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from allencv_al.common.errors import DataError
from allencv_al.common.files.tables import read_table
from allencv_al.labels.audit_sample import AUDIT, AuditStore
from allencv_al.labels.exchange import CARRIED
from allencv_al.labels.exchange.label_entry import LabelEntry
from allencv_al.labels.label_store import LabelEvent, LabelKind, LabelStore
from allencv_al.labels.run_database import DATABASE_NAME, RoundStore, RunDatabase, State
from allencv_al.labels.sessions.answers import Answer
from allencv_al.labels.sessions.label_values import SINGLE_LABEL
from allencv_al.labels.sessions.labeling_store import LABELING_NAME, AgreedLabel, LabelingStore
from allencv_al.tasks.base import label_task

_TABLE_NAME = "labels.csv"  # which a run writes, with the paths of its labeled images


def read_entries(
    folder: Path, images: Mapping[str, Path], all_answers: bool = False
) -> list[LabelEntry]:
    """Return the labels of a run or of a labeling.

    Args:
        folder: A run directory, or the folder of a labeling.
        images: The image files by id; see `image_files`.
        all_answers: Whether to return every annotator's answer instead of the agreed labels.

    Raises:
        DataError: The folder holds neither.
    """
    if (folder / DATABASE_NAME).is_file() and not all_answers:
        return _of_run(folder, images)
    if not (folder / LABELING_NAME).is_file():
        kind = "labeling" if all_answers else "run or labeling"
        raise DataError(
            f"{folder}: expected the folder of a {kind}, found none in it{labeling_beside(folder)}"
        )
    with LabelingStore(folder / LABELING_NAME, create=False) as store:
        return list(_all_answers(store, images) if all_answers else _agreed(store, images))


def handed_over(folder: Path, images: Mapping[str, Path]) -> list[LabelEntry]:
    """Return the images that annotators handed over to another program, in the order of asking.

    The label is the model's prediction, to be corrected there; None without one.

    Args:
        folder: The folder of a labeling, or the run directory of a run that has one.
        images: The image files by id; see `image_files`.

    Raises:
        DataError: The folder holds no labeling.
    """
    if not (folder / LABELING_NAME).is_file():
        raise DataError(
            f"{folder}: expected the folder of a labeling, found none in it"
            f"{labeling_beside(folder)}"
        )
    with LabelingStore(folder / LABELING_NAME, create=False) as store:
        found = []
        for number in store.items.handed_over():
            item = store.items.item(number)
            label = item.guess[0][0] if item.guess else None
            file = str(images[item.id]) if item.id in images else None
            kind = None if label is None else str(LabelKind.LABEL)
            found.append(LabelEntry(item.id, file, label, kind, source="model"))
    return found


def image_files(folder: Path) -> dict[str, Path]:
    """Return the image files of a run or of a labeling, by id."""
    found: dict[str, Path] = {}
    if (folder / DATABASE_NAME).is_file() and (folder / _TABLE_NAME).is_file():
        found.update(_files_of_table(folder))
    if (folder / LABELING_NAME).is_file():
        with LabelingStore(folder / LABELING_NAME, create=False) as store:
            rows = store.database.rows("SELECT id, image FROM item WHERE image IS NOT NULL")
        found.update({id: folder / image for id, image in rows})
    # resolve() would follow links, whose names the images may bear
    return {id: Path(os.path.abspath(file)) for id, file in found.items()}  # noqa: PTH100


def is_run_or_labeling(folder: Path) -> bool:
    """Return whether a folder is that of a run or of a labeling."""
    return (folder / DATABASE_NAME).is_file() or (folder / LABELING_NAME).is_file()


def task_of(folder: Path) -> tuple[str, list[str]]:
    """Return the task of the labels of a run or of a labeling, and the names of their classes."""
    if (folder / LABELING_NAME).is_file():
        with LabelingStore(folder / LABELING_NAME, create=False) as store:
            return store.values.task_name, list(store.classes.names().values())
    if not (folder / DATABASE_NAME).is_file():
        return SINGLE_LABEL, []
    with RunDatabase(folder / DATABASE_NAME, create=False) as database:
        events = LabelStore(database).current().values()
    return task_of_texts([event.label for event in events if event.label is not None]), []


def task_of_texts(texts: Sequence[str]) -> str:
    """Return the task that all labels fit: runs and tables do not record the kind of their labels.

    Args:
        texts: The texts of the labels.
    """
    if not texts or not all(text[:1] in ("[", "{") for text in texts):
        return SINGLE_LABEL  # without the import of torch that other tasks need
    fitting = (
        name
        for name in CARRIED["label-studio"]
        if name != SINGLE_LABEL and not any(map(label_task(name).problem, texts))
    )
    return next(fitting, SINGLE_LABEL)


def labeling_beside(folder: Path) -> str:
    """Return a hint if the labeling of this folder of images lies beside it."""
    labels = folder.with_name(f"{folder.name}-labels")
    return f"; did you mean {labels}?" if (labels / LABELING_NAME).is_file() else ""


def _of_run(folder: Path, images: Mapping[str, Path]) -> list[LabelEntry]:
    with RunDatabase(folder / DATABASE_NAME, create=False) as database:
        events = LabelStore(database).current()
        rounds, audit = RoundStore(database), AuditStore(database).ids()
        picked = {
            query.id: query.score
            for number in rounds.rounds()
            if rounds.is_finished(number, State.SELECT)
            for query in rounds.queries(number)
        }
    return [
        _entry(
            *(id, images, event, event.label, event.source),
            round=event.round,
            # The audit was drawn by chance: a score would say that a strategy wanted it
            score=picked.get(id) if id not in audit else None,
            use=AUDIT if id in audit else None,
        )
        for id, event in events.items()
    ]


def _agreed(store: LabelingStore, images: Mapping[str, Path]) -> Iterator[LabelEntry]:
    audit = store.audit.ids()
    for batch, round in store.database.rows("SELECT batch, round FROM batch ORDER BY batch"):
        for agreed in store.agreed_labels(batch):
            # Without an event no annotator has answered yet
            if agreed.event_id is not None:
                use = AUDIT if agreed.id in audit else None
                yield _entry(
                    *(agreed.id, images, agreed, agreed.label, "labeling"), round=round, use=use
                )


def _all_answers(store: LabelingStore, images: Mapping[str, Path]) -> Iterator[LabelEntry]:
    audit = store.audit.ids()
    ids = {number: id for id, number in store.items.numbers().items()}
    numbers = list(ids)
    found = [
        *(one for many in store.answers.in_force(numbers).values() for one in many),
        *store.reviews.decisions(numbers).values(),
    ]
    texts = store.values.texts(one.class_id for one in found)
    # In the order they were given, whichever table they come from
    for answer in sorted(found, key=lambda one: one.event_id):
        label = None if answer.class_id is None else texts[answer.class_id]
        use = AUDIT if ids[answer.item] in audit else None
        yield _entry(ids[answer.item], images, answer, label, answer.source, use=use)


def _entry(
    id: str,
    images: Mapping[str, Path],
    of: LabelEvent | AgreedLabel | Answer,
    label: str | None,
    source: str,
    **others: Any,
) -> LabelEntry:
    return LabelEntry(
        id=id,
        image=str(images[id]) if id in images else None,
        label=label,
        kind=str(of.kind),
        annotator=of.annotator,
        time=of.time,
        seconds=of.seconds,
        source=source,
        **others,
    )


def _files_of_table(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield id and file of each row; without an id, each end of the path may be one."""
    for row in read_table(folder / _TABLE_NAME, ("path", "label", "id")).rows:
        path = row.values.get("path")
        if not path:
            continue
        file = folder / path
        if row.values.get("id"):
            yield row.values["id"], file
            continue
        parts = PurePosixPath(path).parts
        for start in range(len(parts)):
            yield "/".join(parts[start:]), file
