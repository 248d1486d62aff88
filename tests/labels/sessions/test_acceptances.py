"""Predictions are accepted after a random sample of them was labeled, and not before."""

from __future__ import annotations

from collections import Counter

import pytest
from fixtures.session_answers import CAT, DOG, SKIP, UNSURE, MakeStore, agreed, label
from scipy.stats import binomtest

from allencv_al.labels.label_store import LabelConflict
from allencv_al.labels.sessions import acceptances
from allencv_al.labels.sessions.acceptances import Acceptance
from allencv_al.labels.sessions.answers import NewAnswer
from allencv_al.labels.sessions.labeling_store import LabelingStore

CATS = dict.fromkeys(range(1, 31), (CAT, 0.95))


@pytest.fixture
def thirty(make_store: MakeStore) -> LabelingStore:
    """A labeling of thirty images."""
    return make_store(30)


def checked(store: LabelingStore, wrong: int = 0, sample: int = 10) -> Acceptance:
    """Label the sample of thirty predictions; some of them as dogs."""
    started = store.acceptances.start("anna", 0.9, CATS, sample)
    for place, item in enumerate(store.acceptances.unchecked(started.number)):
        label(store, "anna", item, DOG if place < wrong else CAT)
    found = store.acceptances.newest()
    assert found is not None
    return found


def test_the_sample_gives_the_error_rate_and_the_rest_is_stored(thirty: LabelingStore) -> None:
    found = checked(thirty, wrong=2)
    assert (found.total, found.sample, found.checked, found.wrong, found.left) == (
        30,
        10,
        10,
        2,
        20,
    )
    oracle = binomtest(2, 10).proportion_ci(method="wilson")
    assert found.error_interval() == pytest.approx((oracle.low, oracle.high))
    assert thirty.acceptances.store("anna", found.number) == 20
    assert Counter(name for _, name in agreed(thirty)) == {"cat": 28, "dog": 2}
    sources = Counter(event.source for event in thirty.answers.events())
    assert sources == {"page": 10, "model": 20}
    newest = thirty.acceptances.newest()
    assert newest is not None and newest.state == "stored"
    with pytest.raises(LabelConflict, match="stored already"):
        thirty.acceptances.store("anna", found.number)
    assert thirty.acceptances.undo("anna", found.number) == 20
    assert Counter(name for _, name in agreed(thirty)) == {"cat": 8, "dog": 2, None: 20}
    assert thirty.acceptances.newest() is None


def test_nothing_is_stored_before_the_sample_is_labeled(thirty: LabelingStore) -> None:
    started = thirty.acceptances.start("anna", 0.9, CATS, 10)
    items = thirty.acceptances.unchecked(started.number)
    assert thirty.acceptances.being_checked() == set(items) and len(items) == 10
    assert started.error_interval() is None
    for item in items[1:]:
        label(thirty, "ben", item)
    thirty.answers.add(NewAnswer("ben", "a-skip", items[0], SKIP))
    with pytest.raises(LabelConflict, match="1 images of the sample have no label"):
        thirty.acceptances.store("anna", started.number)
    thirty.answers.add(NewAnswer("anna", "not-sure", items[0], UNSURE))
    found = thirty.acceptances.newest()
    assert found is not None and (found.checked, found.wrong) == (10, 1), (
        "not sure is not the class"
    )
    assert thirty.acceptances.store("anna", started.number) == 20


def test_labels_given_meanwhile_stay(thirty: LabelingStore) -> None:
    found = checked(thirty)
    other = next(item for item, (_, name) in enumerate(agreed(thirty), start=1) if name is None)
    label(thirty, "ben", other, DOG)
    assert thirty.acceptances.store("anna", found.number) == 19
    assert agreed(thirty)[other - 1] == ("label", "dog")
    thirty.acceptances.undo("anna", found.number)
    assert agreed(thirty)[other - 1] == ("label", "dog")


def test_a_store_that_was_interrupted_goes_on(
    thirty: LabelingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceptances, "MOST_STORED", 15)
    found = checked(thirty)
    assert thirty.acceptances.store("anna", found.number) == 15
    newest = thirty.acceptances.newest()
    assert newest is not None and (newest.state, newest.left) == ("open", 5)
    assert thirty.acceptances.store("anna", found.number) == 5
    assert len({event.client_key for event in thirty.answers.events()}) == 30
    assert thirty.acceptances.undo("anna", found.number) == 20, "all of them in one step"


def test_a_new_one_drops_the_open_one(thirty: LabelingStore) -> None:
    first = thirty.acceptances.start("anna", 0.9, CATS, 10)
    second = thirty.acceptances.start("ben", 0.9, CATS, 40)
    assert second.sample == 30, "at most all of them"
    with pytest.raises(LabelConflict, match="dropped already"):
        thirty.acceptances.drop(first.number)
    thirty.acceptances.drop(second.number)
    assert thirty.acceptances.newest() is None and thirty.acceptances.being_checked() == set()


def test_what_is_not_there_is_refused(thirty: LabelingStore) -> None:
    assert thirty.acceptances.newest() is None
    with pytest.raises(LabelConflict, match="no image has a prediction"):
        thirty.acceptances.start("anna", 0.9, {}, 10)
    with pytest.raises(LabelConflict, match="no predictions 7"):
        thirty.acceptances.store("anna", 7)
    found = checked(thirty)
    thirty.acceptances.store("anna", found.number)
    with pytest.raises(LabelConflict, match="no such page of ben"):
        thirty.acceptances.undo("ben", found.number)


def test_samples_are_uniform(thirty: LabelingStore) -> None:
    drawn: Counter[int] = Counter()
    for _ in range(60):
        drawn.update(
            thirty.acceptances.unchecked(thirty.acceptances.start("anna", 0.9, CATS, 10).number)
        )
    assert len(drawn) == 30 and max(drawn.values()) < 40  # 20 each on average: 5.5 sigma
