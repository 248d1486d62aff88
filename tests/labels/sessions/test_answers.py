"""Answers are stored once, in force one per annotator, and can be taken back."""

from __future__ import annotations

import pytest
from fixtures.session_answers import CAT, DOG, LABEL, SKIP, UNSURE, agreed, label

from allencv_al.common.errors import DataError
from allencv_al.labels.label_store import LabelConflict, LabelKind
from allencv_al.labels.sessions.answers import NewAnswer
from allencv_al.labels.sessions.labeling_store import LabelingStore
from allencv_al.labels.sessions.schema import MODEL


def test_an_answer_is_what_comes_of_an_item(store: LabelingStore) -> None:
    label(store, "anna", 2, DOG)
    store.answers.add(NewAnswer("anna", "k", 3, UNSURE))
    assert agreed(store) == [
        ("skip", None),
        ("label", "dog"),
        ("unsure", None),
        ("skip", None),
        ("skip", None),
    ]
    progress = store.counts.progress(1, "anna")
    assert (progress.total, progress.done, progress.mine) == (5, 2, 2)


def test_a_repeated_answer_is_stored_once(store: LabelingStore) -> None:
    first = store.answers.add(NewAnswer("anna", "one key", 1, LABEL, CAT))
    assert store.answers.add(NewAnswer("anna", "one key", 1, LABEL, CAT)) == first
    assert len(store.answers.events()) == 1
    with pytest.raises(LabelConflict, match="belongs to event"):
        store.answers.add(NewAnswer("anna", "one key", 1, LABEL, DOG))


def test_a_repeated_answer_that_was_superseded_meanwhile_changes_nothing(
    store: LabelingStore,
) -> None:
    store.answers.add(NewAnswer("anna", "first", 1, LABEL, CAT))
    label(store, "anna", 1, DOG)
    assert not store.answers.add(NewAnswer("anna", "first", 1, LABEL, CAT)).is_in_force
    assert agreed(store)[0] == ("label", "dog")


def test_undo_goes_back_any_depth(store: LabelingStore) -> None:
    events = [label(store, "anna", 1, CAT), label(store, "anna", 1, DOG), label(store, "anna", 2)]
    for event, expected in zip(
        reversed(events), [("label", "dog"), ("label", "cat"), ("skip", None)], strict=True
    ):
        store.answers.undo("anna", event)
        store.answers.undo("anna", event)  # a repeated request
        assert agreed(store)[0] == expected
    assert agreed(store)[1] == ("skip", None)
    assert len(store.answers.events()) == 6
    assert store.answers.history("anna", None, 10) == []


def test_no_annotator_undoes_the_answer_of_another(store: LabelingStore) -> None:
    event = label(store, "anna", 1)
    with pytest.raises(LabelConflict, match="no answer"):
        store.answers.undo("ben", event)
    with pytest.raises(LabelConflict, match="no answer 99"):
        store.answers.undo("anna", 99)


def test_history_is_newest_first_and_goes_on(store: LabelingStore) -> None:
    events = [label(store, "anna", item) for item in (1, 2, 3)]
    label(store, "ben", 4)
    store.answers.undo("anna", events[1])
    found = store.answers.history("anna", None, 10)
    assert [answer.event_id for answer in found] == [events[2], events[0]]
    assert [a.item for a in store.answers.history("anna", events[2], 1)] == [1]


@pytest.mark.parametrize(
    ("kind", "class_id", "fault"),
    [
        (LABEL, None, "kind label has a class name"),
        (LABEL, 3, "no class 3"),
        (SKIP, CAT, "kind skip has no label"),
        (LabelKind.UNDO, None, "an undo names an event"),
    ],
)
def test_an_answer_that_makes_no_sense_is_refused(
    kind: LabelKind, class_id: int | None, fault: str, store: LabelingStore
) -> None:
    with pytest.raises(DataError, match=fault):
        store.answers.add(NewAnswer("anna", "k", 1, kind, class_id))
    with pytest.raises(LabelConflict, match="no item 99"):
        store.answers.add(NewAnswer("anna", "k", 99, UNSURE))
    assert store.answers.events() == []


def test_an_image_that_another_has_labeled_meanwhile_is_refused(store: LabelingStore) -> None:
    label(store, "anna", 1)
    with pytest.raises(LabelConflict, match="another annotator has labeled"):
        label(store, "ben", 1)
    label(store, "anna", 1, DOG)  # one may change one's own mind
    assert agreed(store)[0] == ("label", "dog")


def test_a_later_event_is_never_older(
    store: LabelingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("allencv_al.labels.label_store.time.time", lambda: 2_000.0)
    label(store, "anna", 1, CAT)
    monkeypatch.setattr("allencv_al.labels.label_store.time.time", lambda: 1_000.0)
    label(store, "anna", 1, DOG)
    label(store, "anna", 2, CAT)
    assert [event.time for event in store.answers.events()] == [2_000.0, 2_000.0, 1_000.0]


def test_a_repeated_undo_leaves_what_was_answered_since(store: LabelingStore) -> None:
    """Another window sends it again, or the network delivers it twice."""
    first = label(store, "anna", 1, CAT)
    store.answers.undo("anna", first)
    label(store, "anna", 1, DOG)
    store.answers.undo("anna", first)
    assert agreed(store)[0] == ("label", "dog")
    assert [answer.class_id for answer in store.answers.in_force([1])[1]] == [DOG]


LABELS: dict[int, tuple[LabelKind, int | None]] = dict.fromkeys(range(1, 5), (LABEL, CAT))


def test_a_page_is_stored_once_and_undone_in_one_step(store: LabelingStore) -> None:
    found = store.answers.add_group("anna", "the-page", LABELS, seconds=8.0)
    assert [one.item for one in found.stored] == [1, 2, 3, 4] and found.refused == {}
    assert {one.seconds for one in found.stored} == {2.0}
    assert {one.group for one in store.answers.history("anna", None, 9)} == {"the-page"}
    assert store.answers.add_group("anna", "the-page", LABELS, seconds=8.0) == found
    assert [kind for kind, _ in agreed(store)] == ["label"] * 4 + ["skip"]
    for _ in range(2):  # a repeated request
        assert store.answers.undo_group("anna", "the-page") == [1, 2, 3, 4]
    assert agreed(store) == [("skip", None)] * 5
    assert len(store.answers.events()) == 8
    with pytest.raises(LabelConflict, match="no such page of ben"):
        store.answers.undo_group("ben", "the-page")


def test_a_page_leaves_alone_what_others_or_another_window_answered(store: LabelingStore) -> None:
    label(store, "ben", 2, DOG)
    label(store, "anna", 3, DOG)
    found = store.answers.add_group("anna", "the-page", LABELS)
    assert [one.item for one in found.stored] == [1, 4]
    assert "another annotator" in found.refused[2] and "another window" in found.refused[3]
    assert [name for _, name in agreed(store)] == ["cat", "dog", "dog", "cat", None]
    store.answers.undo_group("anna", "the-page")
    assert [name for _, name in agreed(store)] == [None, "dog", "dog", None, None]


def test_a_page_of_no_answer_is_refused_whole(store: LabelingStore) -> None:
    with pytest.raises(LabelConflict, match="no class 9"):
        store.answers.add_group("anna", "the-page", {1: (LABEL, 9), 2: (LABEL, 9)})
    with pytest.raises(DataError):
        store.answers.add_group("anna", "the-page", {1: (LABEL, CAT), 2: (LABEL, None)})
    assert store.answers.events() == []


def test_a_page_that_was_changed_since_is_not_undone(store: LabelingStore) -> None:
    store.answers.add_group("anna", "the-page", LABELS)
    label(store, "anna", 2, DOG)
    with pytest.raises(LabelConflict, match="is not in force"):
        store.answers.undo_group("anna", "the-page")
    assert [name for _, name in agreed(store)] == ["cat", "dog", "cat", "cat", None]


def test_an_accepted_prediction_and_an_answer_are_two_chains(store: LabelingStore) -> None:
    store.answers.add_group("anna", "accepted", LABELS, source=MODEL)
    assert {one.source for one in store.answers.in_force([1])[1]} == {"model"}
    event = label(store, "anna", 1, DOG)
    assert agreed(store)[0] == ("label", "dog")
    store.answers.undo("anna", event)
    assert agreed(store)[0] == ("label", "cat"), "what was accepted counts again"
    store.answers.undo_group("anna", "accepted")
    assert agreed(store)[0] == ("skip", None)
