"""A labeling as a whole: its id, the end of a batch, the server, and any course of events."""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from fixtures.session_answers import (
    CAT,
    DOG,
    LABEL,
    SKIP,
    UNSURE,
    MakeStore,
    keys,
    label,
)

from allencv_al.labels.label_store import LabelConflict, LabelKind
from allencv_al.labels.sessions.answers import NewAnswer
from allencv_al.labels.sessions.items import NewItem
from allencv_al.labels.sessions.labeling_store import LabelingStore


def test_a_batch_with_untouched_images_is_not_closed(store: LabelingStore) -> None:
    label(store, "anna", 1)
    with pytest.raises(LabelConflict, match="4 images have no answer yet"):
        store.finish(1)
    assert store.items.batch().is_open  # type: ignore[union-attr]


@pytest.mark.parametrize("seed", range(12))
def test_any_course_of_events_ends_as_a_plain_list_of_them_says(
    seed: int, make_store: MakeStore
) -> None:
    """The twin keeps each annotator's answers to each item as a stack, and counts them anew."""
    draw = random.Random(seed)
    wanted = draw.choice([1, 2, 3])
    store = make_store(count=6, labels_per_image=wanted)
    stacks: dict[tuple[int, str], list[tuple[int, LabelKind, int | None]]] = {}
    decided: dict[int, tuple[LabelKind, int | None]] = {}

    def said(item: int) -> list[tuple[LabelKind, int | None]]:
        tops = [stack[-1][1:] for (of, _), stack in stacks.items() if of == item and stack]
        return [top for top in tops if top[0] is not SKIP]

    for _ in range(150):
        item, who = draw.randint(1, 6), draw.choice(["anna", "ben", "cleo", "dan"])
        stack = stacks.setdefault((item, who), [])
        action = draw.random()
        if action < 0.25 and stack:
            store.answers.undo(who, stack.pop()[0])
        elif action < 0.32:
            decided[item] = (LABEL, draw.choice([CAT, DOG]))
            store.reviews.decide(who, next(keys), [item], *decided[item])
        elif stack or len(said(item)) < wanted:
            kind = draw.choice([LABEL, LABEL, SKIP, UNSURE])
            class_id = draw.choice([CAT, DOG]) if kind is LABEL else None
            answer = store.answers.add(NewAnswer(who, next(keys), item, kind, class_id))
            stack.append((answer.event_id, kind, class_id))
        else:
            with pytest.raises(LabelConflict):
                label(store, who, item)
    for item in store.items.items(1):
        answers = said(item.item)
        assert item.answers == len(answers)
        counts = Counter(answers).most_common()
        tie = len(counts) > 1 and counts[0][1] == counts[1][1]
        expected: tuple[LabelKind | None, int | None] = (None, None)
        if item.item in decided:
            expected, tie = decided[item.item], False
        elif len(answers) >= wanted and not tie:
            expected = counts[0][0]
        assert (item.kind, item.class_id) == expected
        assert item.is_conflict == (tie and len(answers) >= wanted)


def test_a_server_is_found_though_the_clock_was_set_back(store: LabelingStore, clock: Any) -> None:
    store.claim_server("http://here/")
    clock.now -= 86_400
    assert store.server() == "http://here/", "its process runs"
    with store.database.transaction() as connection:
        connection.execute("UPDATE server SET machine = 'another'")
    assert store.server() is None


def test_each_labeling_has_an_id_of_its_own_which_stays(
    make_store: MakeStore, tmp_path: Path
) -> None:
    first, second = make_store(name="a"), make_store(name="b")
    id = first.id()
    assert len(id) == 32 and id != second.id()
    with LabelingStore(first.database.path, create=False) as again:
        assert again.id() == id


def test_a_labeling_of_before_gets_one(make_store: MakeStore) -> None:
    store = make_store()
    with sqlite3.connect(store.database.path) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    assert "labeling" not in tables, "made at need: an older program opens the file still"
    assert store.ordering() is None
    store.set_ordering({"seed": 3})
    with LabelingStore(store.database.path, create=False) as again:
        assert again.ordering() == {"seed": 3}
        assert again.id() == store.id()


@pytest.fixture
def asked_again(store: LabelingStore, tmp_path: Path) -> tuple[LabelingStore, int]:
    """Two images that Ann called cats, which a later round asks about again; and Ann's event."""
    event = label(store, "ann", 1, CAT)
    for item in (2, 3, 4, 5):
        label(store, "ann", item, CAT)
    assert store.finish(1, allow_skips=False)
    items = [NewItem(f"{number}.png", tmp_path / f"{number}.png") for number in (0, 1, 9)]
    store.items.open_batch(items, 2, again=["0.png", "1.png"])
    return store, event


def test_others_are_asked_about_an_image_once_more(asked_again: tuple[LabelingStore, int]) -> None:
    store, event = asked_again
    assert store.leases.free_items("ann") == [6]
    assert store.leases.free_items("ben") == [6, 1, 2]
    with pytest.raises(LabelConflict, match="in an earlier round; now another annotator is asked"):
        label(store, "ann", 1, DOG)
    with pytest.raises(LabelConflict, match="its labels are used already"):
        store.answers.undo("ann", event)
    label(store, "ben", 1, DOG)  # against Ann: no conflict, as the round asks for one answer
    label(store, "ben", 2, CAT)
    label(store, "ben", 6, CAT)
    assert store.is_complete(2)
    found = [(one.id, one.label, one.annotator) for one in store.agreed_labels(2)]
    assert found == [("9.png", "cat", "ben"), ("0.png", "dog", "ben"), ("1.png", "cat", "ben")]
    assert [one.id for one in store.agreed_labels(1)] == ["2.png", "3.png", "4.png"]


def test_a_round_can_end_without_a_second_opinion(asked_again: tuple[LabelingStore, int]) -> None:
    store, _ = asked_again
    with pytest.raises(LabelConflict, match="1 image has no answer yet"):
        store.finish(2)
    label(store, "ann", 6, CAT)
    assert store.finish(2)
    assert [one.label for one in store.agreed_labels(2)] == ["cat", None, None]


def test_opening_the_round_again_moves_nothing(
    asked_again: tuple[LabelingStore, int], tmp_path: Path
) -> None:
    store, _ = asked_again
    label(store, "ben", 1, DOG)
    items = [NewItem(f"{number}.png", tmp_path / f"{number}.png") for number in (0, 1, 9)]
    store.items.open_batch(items, 2, again=["0.png", "1.png"])
    assert [one.label for one in store.agreed_labels(2)] == [None, "dog", None]
    with pytest.raises(LabelConflict, match="labeled in another batch"):
        store.items.open_batch(items[:1], 3)
