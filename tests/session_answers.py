"""Short ways to answer and to read the answers of a labeling."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from allencv_al.labels.label_store import LabelKind
from allencv_al.labels.sessions.answers import NewAnswer
from allencv_al.labels.sessions.labeling_store import LabelingStore

MakeStore = Callable[..., LabelingStore]
LABEL, SKIP, UNSURE = LabelKind.LABEL, LabelKind.SKIP, LabelKind.UNSURE
CAT, DOG = 1, 2
keys = (f"key-{number}" for number in itertools.count())


def label(store: LabelingStore, who: str, item: int, class_id: int = CAT) -> int:
    """Store an answer and return its event id."""
    return store.answers.add(NewAnswer(who, next(keys), item, LABEL, class_id)).event_id


def agreed(store: LabelingStore) -> list[tuple[str, str | None]]:
    """Return kind and label of each item."""
    return [(found.kind.value, found.label) for found in store.agreed_labels(1)]


def next_numbers(store: LabelingStore, who: str, count: int, skipped: bool = False) -> list[int]:
    """Return the numbers of the next items for an annotator."""
    return [item.item for item, _ in store.leases.next_items(who, count, skipped)]
