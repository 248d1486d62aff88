"""Records that go into a labeling."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from allencv_al.common.class_names import class_name
from allencv_al.common.config.names import did_you_mean
from allencv_al.common.errors import DataError, raise_problems
from allencv_al.common.files.json_values import repr_json
from allencv_al.labels.exchange.item_names import ItemNames
from allencv_al.labels.exchange.record import FIELDS, LabelRecord
from allencv_al.labels.exchange.sources import labeling_beside
from allencv_al.labels.label_store import LabelKind
from allencv_al.labels.run_database import DATABASE_NAME
from allencv_al.labels.sessions.answers import NewAnswer
from allencv_al.labels.sessions.labeling_store import LABELING_NAME, LABELS_NAME, LabelingStore
from allencv_al.labels.sessions.schema import REVIEW

_NOBODY = "import"
_LONGEST_NAME = 254  # of an annotator: as an e-mail address
_MOST_HINTS = 10  # a likely name is sought among all of them
_MOST_NAMED = 5


class ImportCount(NamedTuple):
    """The result of an import.

    Args:
        new: Answers that were not there.
        known: Answers that were there already.
        silent: Records that say nothing of their image.
    """

    new: int
    known: int
    silent: int


def import_records(
    folder: Path, records: Sequence[LabelRecord], annotator: str | None
) -> ImportCount:
    """Add what records say to a labeling; all of it, or nothing.

    An item is found by its id, or else by the end of its path, if only one ends so. What its
    annotator says of it already is not added again, nor is what was imported before. Of two answers
    of one annotator the newer stands; another annotator's answer is one more, and where they
    disagree it is for the review.

    Args:
        folder: The folder of a labeling, or of a run that has one.
        records: The label records.
        annotator: Under whose name; by default that of each record. It must not merge several.

    Raises:
        DataError: There is no labeling, or records do not fit it; all the faults are named.
    """
    check_is_labeling(folder)
    said = [record for record in records if _says_something(record)]
    if annotator is not None:
        _check_one_annotator(annotator, said)
    problems: list[str] = []
    new = 0
    with (
        LabelingStore(folder / LABELING_NAME, create=False) as store,
        store.database.transaction(),
    ):
        into = _Import(store, annotator)
        answers = [one for record in said if (one := into.resolved(record, problems)) is not None]
        for answer in _newest(answers, problems):
            try:
                new += into.add(answer)
            except DataError as error:
                problems.append(f"{answer.place}: {repr_json(answer.record.id)}: {error}")
        raise_problems("what was to be imported", problems)
    # Also where nothing is new: an import may have been killed before it. A run has its own table.
    if said and not (folder / DATABASE_NAME).is_file():
        with LabelingStore(folder / LABELING_NAME, create=False) as store:
            store.write_table(folder / LABELS_NAME)
    return ImportCount(new, len(said) - new, len(records) - len(said))


def check_is_labeling(folder: Path) -> None:
    """Raise a DataError unless a folder holds a labeling."""
    if not (folder / LABELING_NAME).is_file():
        raise DataError(
            f"{folder}: expected the folder of a labeling (allencv-al label makes one), found none"
            f"{labeling_beside(folder)}"
        )


class _Answer(NamedTuple):
    """A record, and what it means in the labeling."""

    record: LabelRecord
    place: str
    item: int
    who: str
    said: tuple[str, int | None]  # kind and class


class _Import:
    """Lookup tables for all records."""

    def __init__(self, store: LabelingStore, annotator: str | None) -> None:
        self._store = store
        self._annotator = annotator
        self._items = ItemNames(store.items.numbers())
        self._classes = {class_name(one.name): one.class_id for one in store.classes.all()}
        rows = store.database.rows("SELECT item, annotator, kind, class_id FROM standing")
        self._said = {(item, who): (kind, class_id) for item, who, kind, class_id in rows}
        self._said |= self._decisions()
        rows = store.database.rows("SELECT client_key FROM label_event WHERE client_key NOT NULL")
        self._keys = {key for (key,) in rows}
        self._hints = self._number = 0

    def resolved(self, record: LabelRecord, problems: list[str]) -> _Answer | None:
        """Return what a record means; None where it has a problem."""
        self._number += 1
        place = record.place or f"entry {self._number}"
        try:
            item = self._items.item_of(record)
            class_id = None if record.label is None else self._class_of(class_name(record.label))
            who = class_name(self._annotator or record.annotator or "") or _NOBODY
            if not who.isprintable() or len(who) > _LONGEST_NAME:
                raise DataError(f"annotator: expected a name on one line, found {who[:40]!a}")
        except DataError as error:
            problems.append(f"{place}: {repr_json(record.id)}: {error}")
            return None
        return _Answer(record, place, item, who, (str(LabelKind(str(record.kind))), class_id))

    def add(self, answer: _Answer) -> bool:
        """Add one answer; return whether it was new."""
        record, item, who = answer.record, answer.item, answer.who
        key = _key_of(record, who)
        if key in self._keys or self._said.get((item, who)) == answer.said:
            return False
        kind, class_id = LabelKind(answer.said[0]), answer.said[1]
        new = NewAnswer(who, key, item, kind, class_id, record.seconds)
        self._store.answers.add(new, is_imported=True)
        self._keys.add(key)
        self._said[item, who] = answer.said
        return True

    def _decisions(self) -> dict[tuple[int, str], tuple[str, int | None]]:
        """Return what reviews have decided, by item and reviewer."""
        rows = self._store.database.rows(
            "SELECT i.item, e.annotator, e.kind, e.label FROM label_event e "
            "JOIN item i ON i.id = e.id WHERE e.source = ? ORDER BY e.event_id",
            (REVIEW,),
        )
        return {
            (item, who): (kind, None if label is None else int(label))
            for item, who, kind, label in rows
        }

    def _class_of(self, label: str) -> int:
        class_id = self._classes.get(label)
        if class_id is None:
            known = ", ".join(map(repr_json, self._classes)) or "none"
            hint = self._hint(label, self._classes) or f"; known: {known}"
            raise DataError(f"{repr_json(label)} is no class{hint}")
        return class_id

    def _hint(self, name: str, known: dict[str, int]) -> str:
        self._hints += 1
        return did_you_mean(name[:200], known) if self._hints <= _MOST_HINTS else ""


def _says_something(record: LabelRecord) -> bool:
    return record.kind is not None and (record.label is None or bool(class_name(record.label)))


def _check_one_annotator(annotator: str, records: Sequence[LabelRecord]) -> None:
    people = sorted({class_name(one.annotator) for one in records if one.annotator})
    if len(people) > 1:
        raise DataError(
            f"--annotator {annotator}: the labels are of {len(people)} annotators "
            f"({', '.join(map(repr_json, people[:_MOST_NAMED]))}"
            f"{', ...' if len(people) > _MOST_NAMED else ''}), who would become one; leave it out, "
            "or import a file of one annotator"
        )


def _newest(answers: Sequence[_Answer], problems: list[str]) -> Iterator[_Answer]:
    """Yield what stands of each annotator's answers to an item, in the order of the file.

    Of two labels of one annotator the newer one counts; without times they contradict each other.
    """
    groups: dict[tuple[int, str], list[_Answer]] = defaultdict(list)
    for answer in answers:
        groups[answer.item, answer.who].append(answer)
    for group in groups.values():
        times = [answer.record.time for answer in group]
        if len({answer.said for answer in group}) == 1:
            yield group[0]
            continue
        newest = max((time for time in times if time is not None), default=None)
        last = [answer for answer in group if answer.record.time == newest]
        if None not in times and len({answer.said for answer in last}) == 1:
            yield last[-1]
            continue
        first = group[0]
        other = next(answer for answer in group if answer.said != first.said)
        problems.append(
            f"{other.place}: {repr_json(other.record.id)} is {_shown(other.record)} here and "
            f"{_shown(first.record)} in {first.place}; with a time for each the newer would stand"
        )


def _shown(record: LabelRecord) -> str:
    return repr_json(record.label) if record.label is not None else str(record.kind)


def _key_of(record: LabelRecord, annotator: str) -> str:
    """Return what makes a second import of a record harmless."""
    said = {name: getattr(record, name) for name in FIELDS if name != "image"}
    text = json.dumps({**said, "annotator": annotator}, sort_keys=True)
    return f"import:{hashlib.sha256(text.encode()).hexdigest()[:40]}"
