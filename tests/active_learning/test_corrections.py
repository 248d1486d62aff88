from __future__ import annotations

from pathlib import Path

import pytest

from allencv_al.active_learning.corrections import check_no_labels_are_lost, correct_labels
from allencv_al.common.errors import ConfigurationError, DataError
from allencv_al.labels.label_store import LabelKind, LabelStore, NewLabel
from allencv_al.labels.run_database import DATABASE_NAME, RunDatabase
from allencv_al.tasks import label_task


@pytest.fixture
def database(tmp_path: Path):
    with RunDatabase(tmp_path / DATABASE_NAME) as opened:
        yield opened


def label(id: str, name: str | None, source: str, kind: LabelKind = LabelKind.LABEL) -> NewLabel:
    return NewLabel(id, name, source, 2, source, kind)


def test_a_correction_is_an_event_that_supersedes_the_label(database: RunDatabase) -> None:
    store = LabelStore(database)
    [first, _] = store.add([label("a", "cat", "file"), label("b", "dog", "file")])
    correct_labels(store, {"a": "dog", "b": "dog"}, ["cat", "dog"], label_task())
    assert store.labels() == {"a": "dog", "b": "dog"}
    [*_, last] = store.events()
    assert len(store.events()) == 3, "a label that is right already is no event"
    assert (last.id, last.supersedes, last.round) == ("a", first.event_id, 2)


def test_all_that_cannot_be_corrected_is_told_and_nothing_is_changed(database: RunDatabase) -> None:
    store = LabelStore(database)
    store.add([label("a", "cat", "file"), label("b", None, "file", LabelKind.SKIP)])
    with pytest.raises(DataError) as caught:
        correct_labels(store, {"a": "dgo", "b": "dog", "c": "cat"}, ["cat", "dog"], label_task())
    message = str(caught.value)
    assert '"dgo" is no class; did you mean "dog"?' in message
    assert "b has no label in this run" in message
    assert "c has no label in this run" in message
    assert store.labels() == {"a": "cat"}


def test_any_class_will_do_where_none_is_known(database: RunDatabase) -> None:
    store = LabelStore(database)
    store.add([label("a", "caat", "file")])
    correct_labels(store, {"a": "cat"}, [], label_task())
    assert store.labels() == {"a": "cat"}


def test_a_correction_is_written_as_a_person_writes_it(database: RunDatabase) -> None:
    store, task = LabelStore(database), label_task("multi_label")
    store.add([label("a", '["cat"]', "file")])
    correct_labels(store, {"a": "dog; cat"}, ["cat", "dog"], task)
    assert store.labels() == {"a": '["cat", "dog"]'}
    with pytest.raises(DataError, match='"owl" is no class; known: cat, dog'):
        correct_labels(store, {"a": "owl"}, ["cat", "dog"], task)


@pytest.mark.parametrize(
    ("source", "is_work"), [("file", True), ("correction", True), ("dataset", False)]
)
def test_labels_of_an_annotator_are_not_to_be_lost(
    database: RunDatabase, tmp_path: Path, source: str, is_work: bool
) -> None:
    check_no_labels_are_lost(tmp_path)
    LabelStore(database).add([label("a", "cat", "ground_truth"), label("b", "dog", source)])
    if is_work:
        with pytest.raises(ConfigurationError, match="would remove 1 labels of annotators"):
            check_no_labels_are_lost(tmp_path)
    else:
        check_no_labels_are_lost(tmp_path)
