"""Makes answers of what the store holds."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from allencv_al.labels.label_store import LabelConflict
from allencv_al.labels.sessions.answers import Answer
from allencv_al.labels.sessions.classes import LabelClass
from allencv_al.labels.sessions.items import Item, LabelBatch
from allencv_al.labels.sessions.labeling_store import LabelingStore
from allencv_al.labels.sessions.reviews import Reviewed
from allencv_al.service.labeling.labeling_answers import (
    BatchAnswer,
    ClassAnswer,
    ItemAnswer,
    ProgressAnswer,
    ReviewedAnswer,
    SaidAnswer,
)

_KEYS = "123456789"
VERSION_CHARACTERS = 12
"""Of the id of the labeling, with which the version of each image begins."""
_NUMBER = re.compile(r"^[ic]([1-9][0-9]*)$")


class Presenter:
    """Makes answers of the records of one labeling.

    Args:
        store: The labeling.
    """

    def __init__(self, store: LabelingStore) -> None:
        self._store = store

    def classes(self) -> list[ClassAnswer]:
        """Return the classes."""
        return [self.one_class(place, one) for place, one in enumerate(self._store.classes.all())]

    def class_of(self, class_id: int) -> ClassAnswer:
        """Return one class."""
        of = {number_of(one.id): one for one in self.classes()}
        if class_id not in of:
            raise LabelConflict(f"there is no class {class_id}")
        return of[class_id]

    def one_class(self, place: int, one: LabelClass) -> ClassAnswer:
        """Return a class.

        Args:
            place: Its place, from 0.
            one: The class.
        """
        key = _KEYS[place] if place < len(_KEYS) else None
        return ClassAnswer(
            id=f"c{one.class_id}",
            name=one.name,
            key=key,
            count=one.count,
        )

    def item(self, item: Item, expires: float | None = None) -> ItemAnswer:
        """Return an image.

        Args:
            item: The image.
            expires: Until when it is promised.
        """
        return ItemAnswer(
            id=f"i{item.item}",
            file_name=item.id,
            image_url=self._url(item, "full"),
            thumb_url=self._url(item, "thumb"),
            reason=item.reason,
            has_guess=bool(item.guess),
            lease_expires=expires,
        )

    def said(self, answers: Sequence[Answer]) -> list[SaidAnswer]:
        """Return the answer."""
        names = self._store.classes.names() if answers else {}
        items: dict[int, Item] = {}
        for answer in answers:
            if answer.item not in items:
                items[answer.item] = self._store.items.item(answer.item)
        return [self._said(answer, items[answer.item], names) for answer in answers]

    def reviewed(self, found: Sequence[Reviewed]) -> list[ReviewedAnswer]:
        """Return images with all that is said of them."""
        names = self._store.classes.names()
        return [
            ReviewedAnswer(
                item=self.item(one.item),
                answers=[self._said(answer, one.item, names) for answer in one.answers],
                decision=None
                if one.decision is None
                else self._said(one.decision, one.item, names),
                kind=one.item.kind,
                class_id=_class(one.item.class_id),
                class_name=names.get(one.item.class_id or 0),
                conflict=one.item.is_conflict,
            )
            for one in found
        ]

    def batch(self, batch: LabelBatch | None) -> BatchAnswer:
        """Return a batch."""
        if batch is None:
            return BatchAnswer(id=None, round=None, state="none", labels_per_image=1)
        return BatchAnswer(
            id=batch.batch,
            round=batch.round,
            state="open" if batch.is_open else "done",
            labels_per_image=batch.labels_per_image,
        )

    def progress(self, batch: LabelBatch | None, annotator: str) -> ProgressAnswer:
        """Return how far a batch is, as an annotator sees it."""
        found = self._store.counts.progress(0 if batch is None else batch.batch, annotator)
        return ProgressAnswer(
            total=found.total,
            done=found.done,
            mine=found.mine,
            skipped=found.skipped,
            unsure=found.unsure,
            unreadable=found.unreadable,
            conflicts=found.conflicts,
            labels_per_minute=found.labels_per_minute,
            seconds_left=found.seconds_left,
        )

    def version(self, item: Item) -> str:
        """Return what changes with the labeling, and with the file of an image."""
        labeling = self._store.id()[:VERSION_CHARACTERS]
        if item.image is None:
            return labeling
        source = self._store.items.image(item)
        assert isinstance(source, Path)
        try:
            status = source.stat()
        except OSError:  # the page finds out when it asks for it
            return labeling
        return f"{labeling}-{status.st_mtime_ns:x}-{status.st_size:x}"

    def _url(self, item: Item, size: str) -> str:
        return f"api/images/i{item.item}?size={size}&v={self.version(item)}"

    def _said(self, answer: Answer, item: Item, names: Mapping[int, str]) -> SaidAnswer:
        return SaidAnswer(
            event_id=answer.event_id,
            item=f"i{answer.item}",
            file_name=item.id,
            image_url=self._url(item, "full"),
            thumb_url=self._url(item, "thumb"),
            kind=answer.kind,
            class_id=_class(answer.class_id),
            class_name=names.get(answer.class_id or 0),
            annotator=answer.annotator,
            seconds=answer.seconds,
            time=answer.time,
            in_force=answer.is_in_force,
        )


def number_of(id: str) -> int:
    """Return the number in `i12` or `c3`.

    Raises:
        LabelConflict: It is no such id.
    """
    found = _NUMBER.match(id)
    if found is None or len(id) > 17:
        raise LabelConflict(f"there is nothing that is called {id[:40]!r}")
    return int(found[1])


def _class(class_id: int | None) -> str | None:
    return None if class_id is None else f"c{class_id}"
