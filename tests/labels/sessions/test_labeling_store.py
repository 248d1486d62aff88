"""What a labeling stores, hands out and makes of the answers."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sklearn.metrics import cohen_kappa_score

from allencv_al.common.errors import DataError
from allencv_al.labels.label_store import LabelConflict, LabelKind
from allencv_al.labels.sessions.labeling_store import LabelingStore, ReviewFilter
from allencv_al.labels.sessions.session_records import NewItem

MakeStore = Callable[..., LabelingStore]
LABEL, SKIP, UNSURE = LabelKind.LABEL, LabelKind.SKIP, LabelKind.UNSURE
CAT, DOG = 1, 2
keys = (f"key-{number}" for number in itertools.count())


def label(store: LabelingStore, who: str, item: int, class_id: int = CAT) -> int:
    return store.answers.answer(who, next(keys), item, LABEL, class_id).event_id


def finals(store: LabelingStore) -> list[tuple[str, str | None]]:
    return [(final.kind.value, final.label) for final in store.finals(1)]


def next_numbers(store: LabelingStore, who: str, count: int, skipped: bool = False) -> list[int]:
    return [item.item for item, _ in store.leases.next_items(who, count, skipped)]


def test_an_answer_is_what_comes_of_an_item(store: LabelingStore) -> None:
    label(store, "anna", 2, DOG)
    store.answers.answer("anna", "k", 3, UNSURE)
    assert finals(store) == [
        ("skip", None),
        ("label", "dog"),
        ("unsure", None),
        ("skip", None),
        ("skip", None),
    ]
    progress = store.counts.progress(1, "anna")
    assert (progress.total, progress.done, progress.mine) == (5, 2, 2)


def test_a_repeated_answer_is_stored_once(store: LabelingStore) -> None:
    first = store.answers.answer("anna", "one key", 1, LABEL, CAT)
    assert store.answers.answer("anna", "one key", 1, LABEL, CAT) == first
    assert len(store.answers.events()) == 1
    with pytest.raises(LabelConflict, match="belongs to event"):
        store.answers.answer("anna", "one key", 1, LABEL, DOG)


def test_a_repeated_answer_that_was_superseded_meanwhile_changes_nothing(
    store: LabelingStore,
) -> None:
    store.answers.answer("anna", "first", 1, LABEL, CAT)
    label(store, "anna", 1, DOG)
    assert not store.answers.answer("anna", "first", 1, LABEL, CAT).is_in_force
    assert finals(store)[0] == ("label", "dog")


def test_undo_goes_back_any_depth(store: LabelingStore) -> None:
    events = [label(store, "anna", 1, CAT), label(store, "anna", 1, DOG), label(store, "anna", 2)]
    for event, expected in zip(
        reversed(events), [("label", "dog"), ("label", "cat"), ("skip", None)], strict=True
    ):
        store.answers.undo("anna", event)
        store.answers.undo("anna", event)  # a repeated request
        assert finals(store)[0] == expected
    assert finals(store)[1] == ("skip", None)
    assert len(store.answers.events()) == 6
    assert store.answers.history("anna", None, 10) == []


def test_nobody_takes_back_what_another_said(store: LabelingStore) -> None:
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
        store.answers.answer("anna", "k", 1, kind, class_id)
    with pytest.raises(LabelConflict, match="no item 99"):
        store.answers.answer("anna", "k", 99, UNSURE)
    assert store.answers.events() == []


# -- Several annotators -------------------------------------------------------------------------


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


def test_an_image_that_another_has_labeled_meanwhile_is_refused(store: LabelingStore) -> None:
    label(store, "anna", 1)
    with pytest.raises(LabelConflict, match="somebody else"):
        label(store, "ben", 1)
    label(store, "anna", 1, DOG)  # one may change one's own mind
    assert finals(store)[0] == ("label", "dog")


def test_with_more_answers_per_image_each_gets_it_once(make_store: MakeStore) -> None:
    store = make_store(labels_per_image=2)
    assert next_numbers(store, "anna", 5) == [1, 2, 3, 4, 5]
    assert next_numbers(store, "ben", 2) == [1, 2]
    assert 1 not in next_numbers(store, "cleo", 5)
    label(store, "anna", 1)
    assert finals(store)[0] == ("skip", None)
    label(store, "ben", 1)
    assert finals(store)[0] == ("label", "cat")


def test_a_tie_is_a_conflict_that_a_review_decides(make_store: MakeStore) -> None:
    store = make_store(labels_per_image=2)
    label(store, "anna", 1, CAT)
    label(store, "ben", 1, DOG)
    assert store.counts.progress(1, "anna").conflicts == 1
    [found] = store.review(ReviewFilter(conflicts=True), None, 10)
    assert [(answer.annotator, answer.class_id) for answer in found.answers] == [
        ("anna", CAT),
        ("ben", DOG),
    ]
    assert store.answers.decide("cleo", "r", [1, 1], LABEL, DOG) == 1
    assert finals(store)[0] == ("label", "dog")
    [final, *_] = store.finals(1)
    assert final.annotator == "cleo"
    store.answers.decide("dan", "s", [1], LABEL, CAT)
    assert finals(store)[0] == ("label", "cat")
    assert store.counts.progress(1, "anna").conflicts == 0


def test_a_decision_is_taken_back_as_a_whole(store: LabelingStore) -> None:
    label(store, "anna", 1, CAT)
    label(store, "anna", 2, CAT)
    store.answers.decide("cleo", "first", [1, 2, 3], LABEL, DOG)
    store.answers.decide("cleo", "second", [1], UNSURE)
    with pytest.raises(LabelConflict, match="not in force"):
        store.answers.undo_decision("cleo", "first")
    assert store.answers.undo_decision("cleo", "second") == 1
    assert finals(store)[:3] == [("label", "dog")] * 3
    for _ in range(2):  # a repeated request
        assert store.answers.undo_decision("cleo", "first") == 3
    assert finals(store)[:3] == [("label", "cat"), ("label", "cat"), ("skip", None)]
    for name, who in (("first", "anna"), ("firs", "cleo"), ("none", "cleo")):
        with pytest.raises(LabelConflict, match="no such decision"):
            store.answers.undo_decision(who, name)


def test_a_review_is_all_or_nothing(store: LabelingStore) -> None:
    with pytest.raises(LabelConflict, match="no item 99"):
        store.answers.decide("cleo", "r", [1, 99], LABEL, DOG)
    with pytest.raises(DataError, match="decides for a class"):
        store.answers.decide("cleo", "r", [1], SKIP)
    assert store.answers.events() == []


def test_reviews_show_what_was_asked_for(store: LabelingStore) -> None:
    for item, class_id in ((1, CAT), (2, DOG), (3, CAT)):
        label(store, "anna", item, class_id)
    label(store, "ben", 4, DOG)
    store.answers.answer("ben", "u", 5, UNSURE)

    def found(**filters: Any) -> list[int]:
        return [one.item.item for one in store.review(ReviewFilter(**filters), None, 10)]

    assert found() == [1, 2, 3, 4, 5]
    assert found(class_id=CAT) == [1, 3]
    assert found(annotator="ben") == [4, 5]
    assert found(kind=UNSURE) == [5]
    assert found(batch=2) == []
    assert [one.item.item for one in store.review(ReviewFilter(), 2, 2)] == [3, 4]


# -- Skips, and the end --------------------------------------------------------------------------


def test_what_is_skipped_goes_to_others_and_comes_back_last(store: LabelingStore) -> None:
    store.answers.answer("anna", "s", 1, SKIP)
    assert next_numbers(store, "anna", 5) == [2, 3, 4, 5]
    for item in (2, 3, 4, 5):
        label(store, "anna", item)
    assert next_numbers(store, "anna", 5) == []
    assert next_numbers(store, "anna", 5, skipped=True) == [1]
    assert store.counts.progress(1, "anna").skipped == 1
    assert store.finish(1, allow_skips=False) is False
    assert store.finish(1) is True
    assert finals(store)[0] == ("skip", None)
    for attempt in (lambda: label(store, "anna", 1), lambda: store.answers.undo("anna", 1)):
        with pytest.raises(LabelConflict, match="closed"):
            attempt()


def test_a_batch_with_untouched_images_is_not_closed(store: LabelingStore) -> None:
    label(store, "anna", 1)
    with pytest.raises(LabelConflict, match="4 images have no answer yet"):
        store.finish(1)
    assert store.items.batch().is_open  # type: ignore[union-attr]


def test_the_next_round_is_a_batch_of_its_own(store: LabelingStore, tmp_path: Path) -> None:
    new = [NewItem("new.png", b"picture", reason="rank 1", guess=[("cat", 0.7)])]
    batch = store.items.open_batch(new, 3, 1)
    assert (batch.batch, batch.round) == (2, 3)
    assert store.items.open_batch(new, 3, 1) == batch, "a loop that was killed asks again"
    [item] = store.items.items(2)
    assert (item.reason, item.guess) == ("rank 1", (("cat", 0.7),))
    assert store.items.image(item) == b"picture"
    assert next_numbers(store, "anna", 9) == [item.item], "the first batch is closed"
    with pytest.raises(LabelConflict, match="another batch"):
        store.items.open_batch([NewItem("0.png", b"x")], 4, 1)


def test_a_folder_may_grow_and_move(store: LabelingStore, tmp_path: Path) -> None:
    items = [NewItem(f"{number}.png", tmp_path / f"{number}.png") for number in range(7)]
    store.items.open_batch(items, None, 1)
    assert [item.id for item in store.items.items(1)] == [f"{number}.png" for number in range(7)]
    store.close()
    moved = tmp_path.rename(tmp_path.with_name("moved"))
    with LabelingStore(moved / "a" / "labeling.sqlite") as again:
        path = again.items.image(again.items.item(7))
        assert isinstance(path, Path) and path.resolve() == moved / "6.png"
    moved.rename(tmp_path)


@pytest.mark.parametrize("id", ["\ud800.png", "1.png"])
def test_ids_that_cannot_be_kept_are_named(id: str, tmp_path: Path) -> None:
    items = [NewItem("1.png", b"x"), NewItem(id, b"y")]
    with (
        LabelingStore(tmp_path / "labeling.sqlite") as store,
        pytest.raises(DataError, match=r"Unicode|twice"),
    ):
        store.items.open_batch(items, None, 1)


# -- Classes ------------------------------------------------------------------------------------


def test_a_renamed_class_keeps_its_labels(store: LabelingStore) -> None:
    label(store, "anna", 1, DOG)
    store.classes.rename(DOG, "hound", "ben")
    assert finals(store)[0] == ("label", "hound")
    assert [(one.name, one.count) for one in store.classes.all()] == [("cat", 0), ("hound", 1)]
    changes = [(c.old, c.new, c.annotator) for c in store.classes.history()]
    assert changes == [(None, "cat", "owner"), (None, "dog", "owner"), ("dog", "hound", "ben")]


@pytest.mark.parametrize(
    "name", ["cat", " cat ", "CAT", "", " ", "a" * 101, "a\nb", "\ud800", "\0"]
)
def test_a_name_that_is_none_or_taken_is_refused(name: str, store: LabelingStore) -> None:
    with pytest.raises(DataError):
        store.classes.add_one(name, "anna")
    with pytest.raises(DataError):
        store.classes.rename(DOG, name, "anna")
    assert len(store.classes.all()) == 2


def test_a_class_that_nobody_has_chosen_can_be_removed(store: LabelingStore) -> None:
    added = store.classes.add_one("Kat", "anna")
    store.classes.remove(added.class_id, "anna")
    assert [one.name for one in store.classes.all()] == ["cat", "dog"]
    assert [(c.old, c.new) for c in store.classes.history()][-2:] == [(None, "Kat"), ("Kat", "")]
    assert store.classes.add_one("Kat", "anna").class_id > added.class_id
    event = label(store, "anna", 1, CAT)
    store.answers.undo("anna", event)
    with pytest.raises(LabelConflict, match="has been chosen"):
        store.classes.remove(CAT, "anna")
    with pytest.raises(LabelConflict, match="no class 99"):
        store.classes.remove(99, "anna")
    with pytest.raises(LabelConflict, match="no class"):
        label(store, "anna", 1, added.class_id)
    store.classes.rename(DOG, "DOG", "anna")  # its own name in another case


def test_hostile_names_are_text(store: LabelingStore) -> None:
    name = "<img src=x onerror=alert(1)>'; DROP TABLE class; --"
    assert store.classes.add_one(name, "anna").name == name
    with pytest.raises(LabelConflict, match="no class 9"):
        store.classes.rename(9, "other", "anna")


# -- Against others ------------------------------------------------------------------------------


def test_agreement_counts_each_two(make_store: MakeStore) -> None:
    store = make_store(labels_per_image=2)
    for item, (one, other) in enumerate([(CAT, CAT), (CAT, DOG), (DOG, DOG)], start=1):
        label(store, "anna", item, one)
        label(store, "ben", item, other)
    label(store, "cleo", 4, CAT)
    found = store.counts.agreement()
    [pair] = found.pairs
    assert (pair.first, pair.second, pair.both, pair.agreed) == ("anna", "ben", 3, 2)
    assert pair.kappa == pytest.approx(cohen_kappa_score([1, 1, 2], [1, 2, 2]))
    assert found.answers == {"anna": 3, "ben": 3, "cleo": 1}
    assert found.conflicts == 1


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
            store.answers.decide(who, next(keys), [item], *decided[item])
        elif stack or len(said(item)) < wanted:
            kind = draw.choice([LABEL, LABEL, SKIP, UNSURE])
            class_id = draw.choice([CAT, DOG]) if kind is LABEL else None
            answer = store.answers.answer(who, next(keys), item, kind, class_id)
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


def test_a_clock_that_is_set_back_locks_nobody_out(store: LabelingStore, clock: Any) -> None:
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


def test_a_server_is_found_though_the_clock_was_set_back(store: LabelingStore, clock: Any) -> None:
    store.claim_server("http://here/")
    clock.now -= 86_400
    assert store.server() == "http://here/", "its process runs"
    with store.database.transaction() as connection:
        connection.execute("UPDATE server SET machine = 'another'")
    assert store.server() is None


def test_the_pace_leaves_out_what_a_clock_said_that_was_set_back(
    store: LabelingStore, clock: Any
) -> None:
    for item in (1, 2, 3):
        label(store, "anna", item)
    with store.database.transaction() as connection:  # as if said at these times
        connection.execute("DROP TRIGGER label_event_no_update")
        for event, seconds in ((1, 5_000.0), (2, -20.0), (3, -10.0)):
            connection.execute(
                "UPDATE label_event SET time = ? WHERE event_id = ?", (clock.now + seconds, event)
            )
    assert store.counts.progress(1, "anna").labels_per_minute == pytest.approx(6)


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
    assert finals(store)[0] == ("label", "dog")
    assert [answer.class_id for answer in store.answers.standing([1])[1]] == [DOG]


def test_classes_have_one_spelling_and_near_names_are_said(
    store: LabelingStore, caplog: pytest.LogCaptureFixture
) -> None:
    before = len(store.classes.all())
    store.classes.add(["caf\u00e9", " cafe\u0301 ", "Caf\u00e9"], "owner")
    assert [one.name for one in store.classes.all()][before:] == ["caf\u00e9", "Caf\u00e9"]
    assert 'kept apart: "Caf\u00e9" (0) and "caf\u00e9" (0)' in caplog.text
