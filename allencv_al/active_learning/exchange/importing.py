"""Records that go into a labeling."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote

from allencv_al.active_learning.exchange.record import FIELDS, LabelRecord
from allencv_al.active_learning.label_store import LabelKind
from allencv_al.active_learning.labeling.records import REVIEW
from allencv_al.active_learning.labeling.store import LABELING_NAME, LabelingStore
from allencv_al.common.errors import DataError
from allencv_al.common.json_values import repr_json
from allencv_al.common.names import did_you_mean
from allencv_al.data.dataset_readers.skipped import raise_problems

_NOBODY = "import"
_PREFIX = 9  # Label Studio puts eight letters and a dash before the name of what was sent to it
_LONGEST_NAME = 254  # of an annotator: as an e-mail address
_MOST_HINTS = 10  # a likely name is sought among all of them


class ImportCount(NamedTuple):
    """What became of records.

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

    An item is found by its id, or else by the name of its file, if only one has it. What its
    annotator says of it already is not added again, nor is what was imported before.

    Args:
        folder: The folder of a labeling, or of a run that has one.
        records: What was said.
        annotator: Under whose name; by default that of each record.

    Raises:
        DataError: There is no labeling, or records do not fit it; all the faults are named.
    """
    if not (folder / LABELING_NAME).is_file():
        raise DataError(
            f"{folder}: expected the folder of a labeling (allencv-al label makes one), found none"
        )
    said = [record for record in records if record.kind is not None]
    problems: list[str] = []
    new = 0
    with (
        LabelingStore(folder / LABELING_NAME, create=False) as store,
        store.database.transaction(),
    ):
        into = _Import(store, annotator)
        for number, record in enumerate(said, start=1):
            try:
                new += into.add(record)
            except DataError as error:
                where = record.place or f"entry {number}"
                problems.append(f"{where}: {repr_json(record.id)}: {error}")
        raise_problems("what was to be imported", problems)
    return ImportCount(new, len(said) - new, len(records) - len(said))


class _Import:
    """What has to be looked up for each record, looked up once."""

    def __init__(self, store: LabelingStore, annotator: str | None) -> None:
        self._store = store
        self._annotator = annotator
        self._items = store.items.numbers()
        self._by_name: dict[str, list[int]] = defaultdict(list)
        for id, item in self._items.items():
            self._by_name[PurePosixPath(id).name].append(item)
        self._classes = {one.name: one.class_id for one in store.classes.all()}
        rows = store.database.rows("SELECT item, annotator, kind, class_id FROM standing")
        self._said = {(item, who): (kind, class_id) for item, who, kind, class_id in rows}
        self._said |= self._decisions()
        rows = store.database.rows("SELECT client_key FROM label_event WHERE client_key NOT NULL")
        self._keys = {key for (key,) in rows}
        self._hints = 0

    def add(self, record: LabelRecord) -> bool:
        """Add one record; say whether it was new."""
        item = self._item_of(record)
        class_id = None if record.label is None else self._class_of(record.label)
        who = self._annotator or record.annotator or _NOBODY
        if not who.isprintable() or len(who) > _LONGEST_NAME:
            raise DataError(f"annotator: expected a name on one line, found {who[:40]!a}")
        kind = LabelKind(str(record.kind))
        key = _key_of(record, who)
        if key in self._keys or self._said.get((item, who)) == (str(kind), class_id):
            return False
        self._store.answers.answer(who, key, item, kind, class_id, record.seconds)
        self._keys.add(key)
        self._said[item, who] = (str(kind), class_id)
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

    def _item_of(self, record: LabelRecord) -> int:
        if record.id in self._items:
            return self._items[record.id]
        names = {name for text in (record.id, record.image) if text for name in _names_of(text)}
        found = {item for name in names for item in self._by_name.get(name, ())}
        if len(found) == 1:
            return found.pop()
        if found:
            raise DataError(f"{len(found)} images have this name")
        raise DataError(f"there is no such image{self._hint(record.id, self._items)}")

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


def _names_of(text: str) -> Iterator[str]:
    """Yield what the file may be called; Label Studio has addresses, in which names are quoted."""
    for path in (text.partition("?d=")[2] or text, unquote(text.partition("?d=")[2] or text)):
        name = PurePosixPath(path).name
        yield name
        if name[_PREFIX - 1 : _PREFIX] == "-" and len(name) > _PREFIX:
            yield name[_PREFIX:]


def _key_of(record: LabelRecord, annotator: str) -> str:
    """Return what makes a second import of a record harmless."""
    said = {name: getattr(record, name) for name in FIELDS if name != "image"}
    text = json.dumps({**said, "annotator": annotator}, sort_keys=True)
    return f"import:{hashlib.sha256(text.encode()).hexdigest()[:40]}"
