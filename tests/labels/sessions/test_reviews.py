"""A review shows all answers and overrides them."""

from __future__ import annotations

from typing import Any

import pytest
from fixtures.session_answers import CAT, DOG, LABEL, SKIP, UNSURE, MakeStore, agreed, label

from allencv_al.common.errors import DataError
from allencv_al.labels.label_store import LabelConflict
from allencv_al.labels.sessions.answers import NewAnswer
from allencv_al.labels.sessions.labeling_store import LabelingStore
from allencv_al.labels.sessions.reviews import ReviewFilter


def test_a_tie_is_a_conflict_that_a_review_decides(make_store: MakeStore) -> None:
    store = make_store(labels_per_image=2)
    label(store, "anna", 1, CAT)
    label(store, "ben", 1, DOG)
    assert store.counts.progress(1, "anna").conflicts == 1
    [found] = store.reviews.items(ReviewFilter(conflicts=True), None, 10)
    assert [(answer.annotator, answer.class_id) for answer in found.answers] == [
        ("anna", CAT),
        ("ben", DOG),
    ]
    assert store.reviews.decide("cleo", "r", [1, 1], LABEL, DOG) == 1
    assert agreed(store)[0] == ("label", "dog")
    [final, *_] = store.agreed_labels(1)
    assert final.annotator == "cleo"
    store.reviews.decide("dan", "s", [1], LABEL, CAT)
    assert agreed(store)[0] == ("label", "cat")
    assert store.counts.progress(1, "anna").conflicts == 0


def test_a_decision_is_taken_back_as_a_whole(store: LabelingStore) -> None:
    label(store, "anna", 1, CAT)
    label(store, "anna", 2, CAT)
    store.reviews.decide("cleo", "first", [1, 2, 3], LABEL, DOG)
    store.reviews.decide("cleo", "second", [1], UNSURE)
    with pytest.raises(LabelConflict, match="not in force"):
        store.reviews.undo("cleo", "first")
    assert store.reviews.undo("cleo", "second") == 1
    assert agreed(store)[:3] == [("label", "dog")] * 3
    for _ in range(2):  # a repeated request
        assert store.reviews.undo("cleo", "first") == 3
    assert agreed(store)[:3] == [("label", "cat"), ("label", "cat"), ("skip", None)]
    for name, who in (("first", "anna"), ("firs", "cleo"), ("none", "cleo")):
        with pytest.raises(LabelConflict, match="no such decision"):
            store.reviews.undo(who, name)


def test_a_review_is_all_or_nothing(store: LabelingStore) -> None:
    with pytest.raises(LabelConflict, match="no item 99"):
        store.reviews.decide("cleo", "r", [1, 99], LABEL, DOG)
    with pytest.raises(DataError, match="decides for a class"):
        store.reviews.decide("cleo", "r", [1], SKIP)
    assert store.answers.events() == []


def test_reviews_show_what_was_asked_for(store: LabelingStore) -> None:
    for item, class_id in ((1, CAT), (2, DOG), (3, CAT)):
        label(store, "anna", item, class_id)
    label(store, "ben", 4, DOG)
    store.answers.add(NewAnswer("ben", "u", 5, UNSURE))

    def found(**filters: Any) -> list[int]:
        return [one.item.item for one in store.reviews.items(ReviewFilter(**filters), None, 10)]

    assert found() == [1, 2, 3, 4, 5]
    assert found(class_id=CAT) == [1, 3]
    assert found(annotator="ben") == [4, 5]
    assert found(kind=UNSURE) == [5]
    assert found(batch=2) == []
    assert [one.item.item for one in store.reviews.items(ReviewFilter(), 2, 2)] == [3, 4]


def test_accepted_predictions_are_found(store: LabelingStore) -> None:
    label(store, "anna", 4, DOG)
    store.answers.add_group("anna", "accepted", {3: (LABEL, CAT), 1: (LABEL, CAT)}, source="model")
    assert store.reviews.numbers(ReviewFilter()) == [1, 3, 4]
    accepted = ReviewFilter(accepted=True)
    assert store.reviews.numbers(accepted) == [1, 3]
    assert [one.item.item for one in store.reviews.items(accepted, None, 9)] == [1, 3]
    found = store.reviews.of_numbers([4, 1])
    assert [(one.item.item, len(one.answers)) for one in found] == [(4, 1), (1, 1)]
