"""The labels of a run or of a labeling, as records."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from allencv_al.common.errors import DataError
from allencv_al.common.files.tables import read_table
from allencv_al.labels.exchange.record import LabelRecord
from allencv_al.labels.label_store import LabelEvent, LabelStore
from allencv_al.labels.run_database import DATABASE_NAME, RoundStore, RunDatabase, State
from allencv_al.labels.sessions.labeling_store import LABELING_NAME, LabelingStore

_TABLE_NAME = "labels.csv"  # which a run writes, with the paths of its labeled images


def read_records(folder: Path, all_answers: bool = False) -> list[LabelRecord]:
    """Return the label records of a run or a labeling.

    Args:
        folder: The folder of a run, or of a labeling.
        all_answers: Every annotator's answers of a labeling, instead of the agreed labels.

    Raises:
        DataError: There is neither in the folder.
    """
    images = image_files(folder)
    if (folder / DATABASE_NAME).is_file() and not all_answers:
        return _of_run(folder, images)
    if not (folder / LABELING_NAME).is_file():
        kind = "labeling" if all_answers else "run or labeling"
        raise DataError(
            f"{folder}: expected the folder of a {kind}, found none in it{labeling_beside(folder)}"
        )
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


def labeling_beside(folder: Path) -> str:
    """Return a hint where `label` keeps the labels of this very folder beside it."""
    labels = folder.with_name(f"{folder.name}-labels")
    return f"; did you mean {labels}?" if (labels / LABELING_NAME).is_file() else ""


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
    for number, round in store.database.rows("SELECT batch, round FROM batch ORDER BY batch"):
        for final in store.agreed_labels(number):
            if final.event_id is None:
                continue
            image = images.get(final.id)
            yield LabelRecord(
                id=final.id,
                image=None if image is None else str(image),
                label=final.label,
                kind=str(final.kind),
                annotator=final.annotator,
                time=final.time,
                seconds=final.seconds,
                round=round,
                source="labeling",
            )


def _all_answers(store: LabelingStore, images: Mapping[str, Path]) -> Iterator[LabelRecord]:
    names = {one.class_id: one.name for one in store.classes.all()}
    ids = {number: id for id, number in store.items.numbers().items()}
    found = [
        *(one for many in store.answers.in_force(list(ids)).values() for one in many),
        *store.reviews.decisions(list(ids)).values(),
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
