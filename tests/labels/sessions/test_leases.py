"""No two annotators get the same image without need."""

from __future__ import annotations

from typing import Any

import pytest
from fixtures.session_answers import SKIP, MakeStore, agreed, label, next_numbers

from allencv_al.labels.label_store import LabelConflict, LabelKind
from allencv_al.labels.sessions.answers import NewAnswer
from allencv_al.labels.sessions.labeling_store import LabelingStore
from allencv_al.labels.sessions.schema import HANDED_OVER


def test_two_never_get_the_same_image(store: LabelingStore) -> None:
    anna, ben = next_numbers(store, "anna", 3), next_numbers(store, "ben", 3)
    assert anna == [1, 2, 3]
    assert ben == [4, 5]
    assert next_numbers(store, "anna", 3)[:2] == [1, 2], "a page that is loaded again"


def test_a_promise_ends_with_its_time(store: LabelingStore, clock: Any) -> None:
    assert next_numbers(store, "anna", 5) == [1, 2, 3, 4, 5]
    assert next_numbers(store, "ben", 5) == []
    clock.now += 100
    store.leases.extend("anna")
    clock.now += 100
    assert next_numbers(store, "ben", 5) == []
    clock.now += 121
    assert next_numbers(store, "ben", 5) == [1, 2, 3, 4, 5]


def test_with_more_answers_per_image_each_gets_it_once(make_store: MakeStore) -> None:
    store = make_store(labels_per_image=2)
    assert next_numbers(store, "anna", 5) == [1, 2, 3, 4, 5]
    assert next_numbers(store, "ben", 2) == [1, 2]
    assert 1 not in next_numbers(store, "cleo", 5)
    label(store, "anna", 1)
    assert agreed(store)[0] == ("skip", None)
    label(store, "ben", 1)
    assert agreed(store)[0] == ("label", "cat")


def test_what_is_skipped_goes_to_others_and_comes_back_last(store: LabelingStore) -> None:
    store.answers.add(NewAnswer("anna", "s", 1, SKIP))
    assert next_numbers(store, "anna", 5) == [2, 3, 4, 5]
    for item in (2, 3, 4, 5):
        label(store, "anna", item)
    assert next_numbers(store, "anna", 5) == []
    assert next_numbers(store, "anna", 5, skipped=True) == [1]
    assert store.counts.progress(1, "anna").skipped == 1
    assert store.finish(1, allow_skips=False) is False
    assert store.finish(1) is True
    assert agreed(store)[0] == ("skip", None)
    for attempt in (lambda: label(store, "anna", 1), lambda: store.answers.undo("anna", 1)):
        with pytest.raises(LabelConflict, match="closed"):
            attempt()


def test_a_clock_that_is_set_back_locks_no_annotator_out(store: LabelingStore, clock: Any) -> None:
    assert next_numbers(store, "anna", 5) == [1, 2, 3, 4, 5]
    clock.now -= 86_400
    assert next_numbers(store, "ben", 5) == []
    clock.now += 121  # anna has not asked since
    assert next_numbers(store, "ben", 5) == [1, 2, 3, 4, 5]


def test_a_promise_outlives_a_clock_that_is_set_back(store: LabelingStore, clock: Any) -> None:
    next_numbers(store, "anna", 5)
    clock.now -= 86_400
    for _ in range(5):
        store.leases.extend("anna")
        assert next_numbers(store, "ben", 5) == []
        clock.now += 61


def test_a_page_of_many_is_free_to_one(store: LabelingStore) -> None:
    assert store.leases.free_items("anna") == [1, 2, 3, 4, 5]
    taken = [item.item for item, _ in store.leases.take("anna", [5, 2, 9], 3)]
    assert taken == [5, 2]
    assert store.leases.free_items("ben") == [1, 3, 4]
    assert store.leases.free_items("anna") == [1, 2, 3, 4, 5], "her own are free to her"
    assert store.leases.take("ben", [5, 2], 2) == []
    label(store, "ben", 3)
    assert store.leases.free_items("anna") == [1, 2, 4, 5]
    store.leases.take("anna", [], 1, give_back=[5])
    assert store.leases.free_items("ben") == [1, 4, 5]


def test_a_page_of_many_ends_with_its_time(store: LabelingStore, clock: Any) -> None:
    store.leases.take("anna", [1, 2], 2)
    clock.now += 121
    assert store.leases.free_items("ben") == [1, 2, 3, 4, 5]


def test_no_annotator_takes_the_rest_alone(store: LabelingStore) -> None:
    next_numbers(store, "ben", 1)
    assert len(store.leases.take("anna", [2, 3, 4, 5], 4)) == 2


def test_a_closed_batch_has_no_page(make_store: MakeStore) -> None:
    store = make_store(1)
    label(store, "anna", 1)
    store.finish(1)
    assert store.leases.free_items("anna") == []
    assert store.leases.take("anna", [1], 1) == []


def test_what_is_handed_over_goes_to_no_annotator_until_it_is_undone(
    store: LabelingStore,
) -> None:
    given = store.answers.add(NewAnswer("anna", "h", 1, SKIP), source=HANDED_OVER)
    store.answers.add(NewAnswer("anna", "s", 2, SKIP))
    assert next_numbers(store, "ben", 2) == [2, 3]
    assert [one.item for one, _ in store.leases.next_items("anna", 5, skipped=True)] == []
    progress = store.counts.progress(1, "anna")
    assert (progress.handed_over, progress.skipped, progress.done) == (1, 1, 0)
    assert store.items.handed_over() == [1]
    store.answers.undo("anna", given.event_id)
    assert store.items.handed_over() == []
    assert 1 in next_numbers(store, "anna", 5)


def test_a_label_of_another_program_ends_a_hand_over(store: LabelingStore) -> None:
    store.answers.add(NewAnswer("anna", "h", 1, SKIP), source=HANDED_OVER)
    store.answers.add(NewAnswer("ben", "i", 1, LabelKind.LABEL, 1), is_imported=True)
    assert agreed(store)[0] == ("label", "cat")
    assert store.items.handed_over() == []
    assert store.counts.progress(1, "anna").handed_over == 0
