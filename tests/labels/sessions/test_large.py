"""A labeling of many images: what each answer needs is found by indexes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from allencv_al.labels.label_store import LabelKind
from allencv_al.labels.sessions.answers import NewAnswer
from allencv_al.labels.sessions.items import NewItem
from allencv_al.labels.sessions.labeling_store import LABELING_NAME, LabelingStore

COUNT, DONE = 4_000, 400
A_STEP = 10  # instructions of SQLite's machine


def steps(store: LabelingStore, work: Callable[[], object]) -> int:
    """Return for how many instructions SQLite has worked."""
    counted = 0

    def count() -> None:
        nonlocal counted
        counted += 1

    store.database.connection.set_progress_handler(count, A_STEP)
    work()
    store.database.connection.set_progress_handler(None, 0)
    return counted * A_STEP


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LabelingStore]:
    """Many items, of which some are labeled."""
    with LabelingStore(tmp_path / LABELING_NAME) as store:
        store.classes.add(["cat"], "owner")
        store.items.open_batch([NewItem(f"{n}.png", tmp_path / f"{n}.png") for n in range(COUNT)])
        with store.database.transaction():
            for item in range(1, DONE + 1):
                store.answers.add(NewAnswer("Anna", f"client-{item}", item, LabelKind.LABEL, 1))
        yield store


def test_what_is_next_is_found_without_looking_at_all(store: LabelingStore) -> None:
    for _ in range(2):  # what is new, and what is promised already
        assert steps(store, lambda: store.leases.next_items("Ben", 6)) < COUNT / 2
    assert [item.item for item, _ in store.leases.next_items("Ben", 2)] == [DONE + 1, DONE + 2]
    assert [item.item for item, _ in store.leases.next_items("Cleo", 1)] == [DONE + 7]


def test_an_answer_costs_no_more_in_a_large_labeling(store: LabelingStore) -> None:
    def answer() -> None:
        store.answers.add(NewAnswer("Ben", "client-new", COUNT, LabelKind.LABEL, 1))

    assert steps(store, answer) < COUNT / 2


def test_progress_takes_a_few_steps_for_each_item(store: LabelingStore) -> None:
    assert steps(store, lambda: store.counts.progress(1, "Anna")) < 15 * COUNT
    found = store.counts.progress(1, "Anna")
    assert (found.total, found.done, found.mine, found.skipped, found.conflicts) == (
        *(COUNT, DONE, DONE, 0, 0),
    )
