"""Import: entries of a file as answers of a labeling."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from allencv_al.common.errors import DataError, raise_problems
from allencv_al.common.files.atomic_file import write_text
from allencv_al.common.files.json_values import repr_json
from allencv_al.common.files.tables import LABELS_NAME, csv_text
from allencv_al.common.names import class_name, did_you_mean
from allencv_al.data.dataset_readers.objects.image_objects import Coordinates
from allencv_al.labels.audit_sample import USE, is_marked
from allencv_al.labels.exchange.entry_objects import label_of_objects, tag_of
from allencv_al.labels.exchange.exporting import labeling_beside
from allencv_al.labels.exchange.item_names import ItemNames, UnknownNameError
from allencv_al.labels.exchange.label_entry import FIELDS, LabelEntry
from allencv_al.labels.label_store import LabelConflict, LabelKind
from allencv_al.labels.run_database import DATABASE_NAME
from allencv_al.labels.sessions.answers import NewAnswer
from allencv_al.labels.sessions.labeling_store import LABELING_NAME, LabelingStore

_UNNAMED = "import"  # the annotator of entries without one
_LONGEST_NAME = 254  # of an annotator: as an e-mail address
_MOST_HINTS = 10  # each hint searches all names
_MOST_NAMED = 5


class ImportCount(NamedTuple):
    """Numbers of imported entries.

    Args:
        new: Entries that were added.
        known: Entries that the labeling had already.
        silent: Entries without a decision.
        left_out: Entries of unknown images or classes.
    """

    new: int
    known: int
    silent: int
    left_out: int


class LeftOut(NamedTuple):
    """An entry that was not imported.

    Args:
        place: Its place in its file.
        id: Its image.
        reason: The image or class that the labeling does not have.
    """

    place: str
    id: str
    reason: str


def import_entries(
    folder: Path,
    entries: Sequence[LabelEntry],
    annotator: str | None,
    left_out: list[LeftOut] | None = None,
    coordinates: Coordinates = "auto",
) -> ImportCount:
    """Add entries to a labeling, as answers; all of them, or none.

    An item is found by its id, or else by the end of its path if that is unique. Answers that are
    in force or were imported before are not added again. Of several answers of one annotator the
    newest counts; answers of several annotators that disagree go to the review.

    Args:
        folder: The folder of a labeling, or the run directory of a run that has one.
        entries: The entries.
        annotator: The author, for entries of one annotator; by default that of each entry.
        left_out: A list, to which entries of unknown images and classes are added. Default: they
            are faults.
        coordinates: Pixels that boxes and areas refer to where an image has an EXIF orientation.

    Raises:
        DataError: There is no labeling, or entries do not fit it; the message lists all faults.
    """
    check_is_labeling(folder)
    problems: list[str] = []
    new = 0
    # One transaction around all answers: problems of the last entry roll back the first
    with (
        LabelingStore(folder / LABELING_NAME, create=False) as store,
        store.database.transaction(),
    ):
        into = _Import(store, annotator, left_out, coordinates)
        decided = [entry for entry in entries if into.is_decided(entry)]
        if annotator is not None:
            _check_one_annotator(annotator, decided)
        answers = [one for entry in decided if (one := into.answer_of(entry, problems)) is not None]
        for answer in _newest(answers, problems):
            try:
                new += into.add(answer)
            except DataError as error:
                problems.append(f"{answer.place}: {repr_json(answer.entry.id)}: {error}")
        raise_problems("what was to be imported", problems)
        # Also of answers that were there: a file may add the mark to a labeling without it
        into.mark_audit(answers)
    # Also without new answers: an earlier import may have been killed here. A run writes its own.
    if decided and not (folder / DATABASE_NAME).is_file():
        with LabelingStore(folder / LABELING_NAME, create=False) as store:
            store.write_table(folder / LABELS_NAME)
    lost = len(left_out or ())
    return ImportCount(new, len(decided) - new - lost, len(entries) - len(decided), lost)


def write_left_out(path: Path, left_out: Sequence[LeftOut]) -> None:
    """Write a table of the entries that were not imported: place, id, reason."""
    write_text(path, csv_text(LeftOut._fields, [one._asdict() for one in left_out]))


def check_is_labeling(folder: Path) -> None:
    """Raise a DataError unless a folder holds a labeling."""
    if not (folder / LABELING_NAME).is_file():
        raise DataError(
            f"{folder}: expected the folder of a labeling (allencv-al label makes one), found none"
            f"{labeling_beside(folder)}"
        )


@dataclass(frozen=True)
class _EntryAnswer:
    """An entry as an answer to an item of the labeling."""

    entry: LabelEntry
    place: str
    new: NewAnswer

    @property
    def vote(self) -> tuple[str, int | None]:
        return str(self.new.kind), self.new.class_id


class _Import:
    """Converts entries to answers and adds them; what is looked up is read once."""

    def __init__(
        self,
        store: LabelingStore,
        annotator: str | None,
        left_out: list[LeftOut] | None,
        coordinates: Coordinates,
    ) -> None:
        self._store = store
        self._annotator = annotator
        self._left_out = left_out
        self._coordinates: Coordinates = coordinates
        self._task = store.values.task_name
        self._is_single = store.values.task is None
        self._files: dict[int, str] = dict(store.database.rows("SELECT item, image FROM item"))
        numbers = store.items.numbers()
        self._items = ItemNames(numbers)
        self._classes = {class_name(name): number for number, name in store.classes.names().items()}
        rows = store.database.rows("SELECT item, annotator, kind, class_id FROM standing")
        self._votes = {(item, who): (kind, class_id) for item, who, kind, class_id in rows}
        for item, decision in store.reviews.decisions(list(numbers.values())).items():
            self._votes[item, decision.annotator] = (str(decision.kind), decision.class_id)
        rows = store.database.rows("SELECT client_key FROM label_event WHERE client_key NOT NULL")
        self._keys = {key for (key,) in rows}
        self._hints = self._number = 0

    def is_decided(self, entry: LabelEntry) -> bool:
        """Return whether an entry holds a decision for this labeling."""
        if entry.objects is not None and (not self._is_single or entry.label is None):
            return not self._is_single or tag_of(entry) is not None
        return entry.kind is not None and (entry.label is None or bool(class_name(entry.label)))

    def answer_of(self, entry: LabelEntry, problems: list[str]) -> _EntryAnswer | None:
        """Return the answer of an entry, or None after adding to `problems`."""
        self._number += 1
        place = entry.place or f"entry {self._number}"
        try:
            item = self._items.item_of(entry)
            label = self._label_of(entry, item)
            class_id = None if label is None else self._number_of(label)
            who = class_name(self._annotator or entry.annotator or "") or _UNNAMED
            if not who.isprintable() or len(who) > _LONGEST_NAME:
                raise DataError(f"annotator: expected a name on one line, found {who[:40]!a}")
        except UnknownNameError as error:
            if self._left_out is None:
                problems.append(f"{place}: {repr_json(entry.id)}: {error}")
            else:
                self._left_out.append(LeftOut(place, entry.id, str(error)))
            return None
        except (DataError, LabelConflict) as error:
            problems.append(f"{place}: {repr_json(entry.id)}: {error}")
            return None
        kind = LabelKind(str(entry.kind or LabelKind.LABEL))
        if entry.objects is not None:
            entry = replace(entry, label=label, kind=str(kind))
        new = NewAnswer(who, _key_of(entry, who), item, kind, class_id, entry.seconds)
        return _EntryAnswer(entry, place, new)

    def add(self, answer: _EntryAnswer) -> bool:
        """Add an answer; return whether it was new."""
        new = answer.new
        known = self._votes.get((new.item, new.annotator))
        # The same file again, or an answer that stands already: a new event would say nothing new
        if new.client_key in self._keys or known == answer.vote:
            return False
        self._store.answers.add(new, is_imported=True)
        self._keys.add(new.client_key)
        self._votes[new.item, new.annotator] = answer.vote
        return True

    def mark_audit(self, answers: Sequence[_EntryAnswer]) -> None:
        """Add the images that entries mark to the audit sample."""
        ids = {number: id for id, number in self._store.items.numbers().items()}
        marked = [one.new.item for one in answers if is_marked({USE: one.entry.use})]
        self._store.audit.add([ids[item] for item in dict.fromkeys(marked)])

    def _label_of(self, entry: LabelEntry, item: int) -> str | None:
        """Return the text of the label of an entry."""
        if entry.objects is None or (self._is_single and entry.label is not None):
            return entry.label
        if self._is_single:
            return tag_of(entry)
        file = self._files[item]
        if file is None:
            raise DataError("its image lies in no file, so that its size is unknown")
        image = self._store.database.path.parent / file
        classes = [*self._classes]
        return label_of_objects(self._task, entry, image, classes, self._coordinates)

    def _number_of(self, label: str) -> int:
        """Return the number of a label, which gets one when it is first given."""
        task = self._store.values.task
        if task is None:
            return self._class_of(class_name(label))
        label = task.read(label)
        fault = task.problem(label)
        if fault is not None:
            raise DataError(fault)
        for name in dict.fromkeys(task.class_names(label)):
            self._class_of(name)
        with self._store.database.transaction() as connection:
            return self._store.values.number(connection, self._store.values.numbered(label))

    def _class_of(self, label: str) -> int:
        class_id = self._classes.get(label)
        if class_id is None:
            self._hints += 1
            hint = did_you_mean(label[:200], self._classes) if self._hints <= _MOST_HINTS else ""
            known = ", ".join(map(repr_json, self._classes)) or "none"
            raise UnknownNameError(f"{repr_json(label)} is no class{hint or f'; known: {known}'}")
        return class_id


def _check_one_annotator(annotator: str, entries: Sequence[LabelEntry]) -> None:
    people = sorted({class_name(one.annotator) for one in entries if one.annotator})
    if len(people) > 1:
        raise DataError(
            f"--annotator {annotator}: the labels are of {len(people)} annotators "
            f"({', '.join(map(repr_json, people[:_MOST_NAMED]))}"
            f"{', ...' if len(people) > _MOST_NAMED else ''}), who would become one; leave it out, "
            "or import a file of one annotator"
        )


def _newest(answers: Sequence[_EntryAnswer], problems: list[str]) -> Iterator[_EntryAnswer]:
    """Yield the newest answer of each annotator to each item, in the order of the file.

    Different answers of one annotator need times; without them they contradict each other.
    """
    groups: dict[tuple[int, str], list[_EntryAnswer]] = defaultdict(list)
    for answer in answers:
        groups[answer.new.item, answer.new.annotator].append(answer)
    for group in groups.values():
        times = [answer.entry.time for answer in group]
        # Times do not matter where all say the same
        if len({answer.vote for answer in group}) == 1:
            yield group[0]
            continue
        newest = max((time for time in times if time is not None), default=None)
        last = [answer for answer in group if answer.entry.time == newest]
        if None not in times and len({answer.vote for answer in last}) == 1:
            yield last[-1]
            continue
        first = group[0]
        other = next(answer for answer in group if answer.vote != first.vote)
        problems.append(
            f"{other.place}: {repr_json(other.entry.id)} is {_shown(other.entry)} here and "
            f"{_shown(first.entry)} in {first.place}; with a time for each the newer would stand"
        )


def _shown(entry: LabelEntry) -> str:
    return repr_json(entry.label) if entry.label is not None else str(entry.kind)


def _key_of(entry: LabelEntry, annotator: str) -> str:
    """Return a key made of the entry's content, by which a second import adds nothing."""
    # Without the image: its path differs when the same file is imported from elsewhere
    # (and without `use`, which is newer than files that were imported already)
    content = {name: getattr(entry, name) for name in FIELDS if name not in ("image", "use")}
    text = json.dumps({**content, "annotator": annotator}, sort_keys=True)
    return f"import:{hashlib.sha256(text.encode()).hexdigest()[:40]}"
