"""Classes can be added, renamed and removed."""

from __future__ import annotations

import pytest
from fixtures.session_answers import CAT, DOG, agreed, label

from allencv_al.common.errors import DataError
from allencv_al.labels.label_store import LabelConflict
from allencv_al.labels.sessions.labeling_store import LabelingStore


def test_a_renamed_class_keeps_its_labels(store: LabelingStore) -> None:
    label(store, "anna", 1, DOG)
    store.classes.rename(DOG, "hound", "ben")
    assert agreed(store)[0] == ("label", "hound")
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


def test_a_class_without_an_answer_can_be_removed(store: LabelingStore) -> None:
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


def test_classes_have_one_spelling_and_near_names_are_said(
    store: LabelingStore, caplog: pytest.LogCaptureFixture
) -> None:
    before = len(store.classes.all())
    store.classes.add(["caf\u00e9", " cafe\u0301 ", "Caf\u00e9"], "owner")
    assert [one.name for one in store.classes.all()][before:] == ["caf\u00e9", "Caf\u00e9"]
    assert 'kept apart: "Caf\u00e9" (0) and "caf\u00e9" (0)' in caplog.text
