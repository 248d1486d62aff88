"""A labeling of five images and two classes, with a clock that stands still."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from allencv_al.labels.sessions.items import NewItem
from allencv_al.labels.sessions.labeling_store import LabelingStore

MakeStore = Callable[..., LabelingStore]


class Clock:
    """A time that goes on only when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The clock of the store."""
    return Clock()


@pytest.fixture
def make_store(tmp_path: Path, clock: Clock) -> Iterator[MakeStore]:
    """Return a function that makes a labeling with some images and the classes cat and dog."""
    made: list[LabelingStore] = []

    def make(count: int = 5, labels_per_image: int = 1, name: str = "a") -> LabelingStore:
        store = LabelingStore(tmp_path / name / "labeling.sqlite", clock=clock)
        made.append(store)
        store.classes.add(["cat", "dog"], "owner")
        items = [NewItem(f"{number}.png", tmp_path / f"{number}.png") for number in range(count)]
        store.items.open_batch(items, None, labels_per_image)
        return store

    yield make
    for store in made:
        store.close()


@pytest.fixture
def store(make_store: MakeStore) -> LabelingStore:
    """A labeling of five images, one answer each."""
    return make_store()
