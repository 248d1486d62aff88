"""The items of a run: labeled, held out for the audit, or in the pool."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from allencv_al.active_learning.audit_sampling import RunAudit
from allencv_al.active_learning.learners.base import Learner
from allencv_al.common.errors import DataError
from allencv_al.common.names import counted, listed
from allencv_al.data.instance import Instance
from allencv_al.labels.label_store import OF_DATA, UNTOLD, LabelStore, NewLabel


class RunItems:
    """The items of a learner, by their labels so far.

    Nothing is remembered between calls: labels come in while a run waits, also from other programs.

    Args:
        learner: The learner, whose items may be labeled.
        labels: The labels of the run.
        audit: Its audit sample, which is labeled and not trained on.
    """

    def __init__(self, learner: Learner, labels: LabelStore, audit: RunAudit) -> None:
        self._items = {item.id: item for item in learner.items}
        self._task = learner.task
        self._labels = labels
        self._audit = audit

    def __len__(self) -> int:
        return len(self._items)

    def of(self, ids: Sequence[str]) -> list[Instance]:
        """Return the items with these ids.

        Raises:
            DataError: Some are no longer in the data; they are named.
        """
        gone = self.gone(ids)
        if gone:
            verb, them = ("is", "it") if len(gone) == 1 else ("are", "them")
            raise DataError(
                f"{counted(len(gone), 'item')} of this run {verb} no longer in its data: "
                f"{listed(gone)}; bring {them} back, or take {them} out of the run with --drop ID "
                "(--drop-missing for all)"
            )
        return [self._items[id] for id in ids]

    def gone(self, ids: Collection[str]) -> list[str]:
        """Return which of some ids are no longer in the data."""
        return [id for id in ids if id not in self._items]

    def pool(self) -> list[str]:
        """Return the ids of the items that a strategy may choose, in the order of the data."""
        # An item that annotators skipped has an event and no label: it is not asked for again
        answered = self._labels.current()
        return [id for id in self._items if id not in answered and id not in self._audit.held_out]

    def training_labels(self) -> dict[str, str]:
        """Return the label of each item to train on, in the order in which they were labeled."""
        return self._audit.training_labels(self._labels.labels())

    def true_labels(self, ids: Collection[str]) -> dict[str, str]:
        """Return the labels that the data has for some items, as far as it has any."""
        texts = ((id, self._task.text_of(self._items[id])) for id in ids)
        return {id: text for id, text in texts if text is not None}

    def classes_in(self, texts: Iterable[str]) -> set[str]:
        """Return the classes in labels, as far as they are told."""
        return {name for text in texts if text != UNTOLD for name in self._task.class_names(text)}

    def objects_in(self, texts: Iterable[str]) -> int:
        """Return the number of boxes or classes in labels, as far as they are told."""
        return sum(len(self._task.class_names(text)) for text in texts if text != UNTOLD)

    def store_labels_of_data(self) -> None:
        """Store the labels that the data has, of the items without a label event."""
        # Undone events count, too: an undone label must not return at a restart
        known = {event.id for event in self._labels.events()}
        found = [
            NewLabel(item.id, text, OF_DATA, 0, OF_DATA)
            for item in self._items.values()
            if item.id not in known and (text := self._task.text_of(item)) is not None
        ]
        if found:
            self._labels.add(found)
