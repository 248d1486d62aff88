"""The labels of a run or of a labeling, as records, and records that go into them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path, PurePosixPath

from allencv_al.active_learning.exchange.record import LabelRecord
from allencv_al.active_learning.label_store import (
    LabelConflict,
    LabelEvent,
    LabelKind,
    LabelStore,
)
from allencv_al.active_learning.labeling.store import LABELING_NAME, LabelingStore
from allencv_al.active_learning.round_store import RoundStore, State
from allencv_al.active_learning.run_database import DATABASE_NAME, RunDatabase
from allencv_al.common.errors import DataError
from allencv_al.common.names import did_you_mean
from allencv_al.data.dataset_readers.manifest_rows import read_rows
from allencv_al.data.dataset_readers.skipped import raise_problems

_TABLE_NAME = "labels.csv"  # which a run writes, with the paths of its labeled images
_IMPORTED = "import"


def read_records(folder: Path, all_answers: bool = False) -> list[LabelRecord]:
    """Return what was said in a run, or in a labeling.

    Args:
        folder: The folder of a run, or of a labeling.
        all_answers: Everybody's answer of a labeling, instead of what comes of them.

    Raises:
        DataError: There is neither in the folder.
    """
    images = image_files(folder)
    if (folder / DATABASE_NAME).is_file() and not all_answers:
        return _of_run(folder, images)
    if not (folder / LABELING_NAME).is_file():
        kind = "labeling" if all_answers else "run or labeling"
        raise DataError(f"{folder}: expected the folder of a {kind}, found none in it")
    with LabelingStore(folder / LABELING_NAME, create=False) as store:
        return list(_all_answers(store, images) if all_answers else _finals(store, images))


def image_files(folder: Path) -> dict[str, Path]:
    """Return the files of the images that a run or a labeling knows, by id."""
    found: dict[str, Path] = {}
    if (folder / DATABASE_NAME).is_file() and (folder / _TABLE_NAME).is_file():
        found.update(_files_of_table(folder))
    if (folder / LABELING_NAME).is_file():
        with LabelingStore(folder / LABELING_NAME, create=False) as store:
            rows = store.database.rows("SELECT id, image FROM item WHERE image IS NOT NULL")
        found.update({id: folder / image for id, image in rows})
    # resolve() would follow links, by which an image may have its name
    return {id: Path(os.path.abspath(file)) for id, file in found.items()}  # noqa: PTH100


def import_records(folder: Path, records: Sequence[LabelRecord], annotator: str | None) -> int:
    """Add what records say to a labeling; all of it, or nothing.

    An item is found by its id, or else by the name of its file, if only one has it. What is there
    already is not added again.

    Args:
        folder: The folder of a labeling, or of a run that has one.
        records: What was said.
        annotator: Under whose name; by default that of each record.

    Returns:
        How many answers are new.

    Raises:
        DataError: There is no labeling, or records do not fit it; all the faults are named.
    """
    if not (folder / LABELING_NAME).is_file():
        raise DataError(
            f"{folder}: expected the folder of a labeling (allencv-al label makes one), found none"
        )
    problems: list[str] = []
    with ExitStack() as stack:
        store = stack.enter_context(LabelingStore(folder / LABELING_NAME, create=False))
        before = len(store.answers.events())
        try:
            with store.database.transaction():
                for number, record in enumerate(records, start=1):
                    if record.kind is None:
                        continue
                    problem = _import_one(store, record, annotator)
                    if problem is not None:
                        problems.append(f"{number}: {record.id}: {problem}")
                raise_problems("what was to be imported", problems)
        except LabelConflict as error:
            raise DataError(str(error)) from error
        return len(store.answers.events()) - before


def _of_run(folder: Path, images: Mapping[str, Path]) -> list[LabelRecord]:
    with RunDatabase(folder / DATABASE_NAME, create=False) as database:
        events = LabelStore(database).current()
        rounds = RoundStore(database)
        picked = {
            query.id: query.score
            for number in rounds.rounds()
            if rounds.is_finished(number, State.SELECT)
            for query in rounds.queries(number)
        }
    return [_of_event(event, images.get(id), picked.get(id)) for id, event in events.items()]


def _of_event(event: LabelEvent, image: Path | None, score: float | None) -> LabelRecord:
    return LabelRecord(
        id=event.id,
        image=None if image is None else str(image),
        label=event.label,
        kind=str(event.kind),
        annotator=event.annotator,
        time=event.time,
        seconds=event.seconds,
        round=event.round,
        source=event.source,
        score=score,
    )


def _finals(store: LabelingStore, images: Mapping[str, Path]) -> Iterator[LabelRecord]:
    times = {event.event_id: event.time for event in store.answers.events()}
    for number, round in store.database.rows("SELECT batch, round FROM batch ORDER BY batch"):
        for final in store.finals(number):
            if final.event_id is None:
                continue
            image = images.get(final.id)
            yield LabelRecord(
                id=final.id,
                image=None if image is None else str(image),
                label=final.label,
                kind=str(final.kind),
                annotator=final.annotator,
                time=times[final.event_id],
                seconds=final.seconds,
                round=round,
                source="labeling",
            )


def _all_answers(store: LabelingStore, images: Mapping[str, Path]) -> Iterator[LabelRecord]:
    names = {one.class_id: one.name for one in store.classes.all()}
    ids = {number: id for id, number in store.items.numbers().items()}
    found = [
        *(one for many in store.answers.standing(list(ids)).values() for one in many),
        *store.answers.decisions(list(ids)).values(),
    ]
    for answer in sorted(found, key=lambda one: one.event_id):
        id = ids[answer.item]
        image = images.get(id)
        yield LabelRecord(
            id=id,
            image=None if image is None else str(image),
            label=None if answer.class_id is None else names[answer.class_id],
            kind=str(answer.kind),
            annotator=answer.annotator,
            time=answer.time,
            seconds=answer.seconds,
            source=answer.source,
        )


def _files_of_table(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield id and file of each row; where the table leaves ids out, any end of the path is one."""
    for row in read_rows(folder / _TABLE_NAME, "label", hint=""):
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


def _import_one(store: LabelingStore, record: LabelRecord, annotator: str | None) -> str | None:
    """Add one record; return what is wrong with it."""
    item, problem = _item_of(store, record)
    if item is None:
        return problem
    class_id = None
    if record.label is not None:
        classes = {one.name: one.class_id for one in store.classes.all()}
        class_id = classes.get(record.label)
        if class_id is None:
            hint = did_you_mean(record.label, classes) or f"; known: {', '.join(classes)}"
            return f'"{record.label}" is no class{hint}'
    who = annotator or record.annotator or _IMPORTED
    said = {**asdict(record), "extra": None, "image": None, "annotator": who}
    key = f"import:{hashlib.sha256(json.dumps(said).encode()).hexdigest()[:40]}"
    try:
        kind = LabelKind(record.kind or LabelKind.SKIP)
        store.answers.answer(who, key, item, kind, class_id, record.seconds)
    except DataError as error:
        return str(error)
    return None


def _item_of(store: LabelingStore, record: LabelRecord) -> tuple[int | None, str]:
    numbers = store.items.numbers()
    if record.id in numbers:
        return numbers[record.id], ""
    names = {_file_name(name) for name in (record.id, record.image) if name}
    # Label Studio puts eight letters before the name of a file that was sent to it
    names |= {name[9:] for name in names if len(name) > 9 and name[8] == "-"}
    found = [number for id, number in numbers.items() if _file_name(id) in names]
    if len(found) == 1:
        return found[0], ""
    if found:
        return None, f"{len(found)} images have this name"
    return None, f"there is no such image{did_you_mean(record.id, numbers)}"


def _file_name(text: str) -> str:
    return PurePosixPath(text.partition("?d=")[2] or text).name
