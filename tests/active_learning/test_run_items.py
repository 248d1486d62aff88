"""The items of a run, by labels that come and go between two calls."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from allencv_al.active_learning.audit_sampling import AuditSample, RunAudit
from allencv_al.active_learning.learners.base import Learner
from allencv_al.active_learning.run_items import RunItems
from allencv_al.common.errors import DataError
from allencv_al.data.instance import Instance
from allencv_al.labels.label_store import LabelKind, LabelStore, NewLabel
from allencv_al.labels.run_database import DATABASE_NAME, RunDatabase
from allencv_al.tasks import label_task


class Items:
    """A learner of which only the items are asked for."""

    task = label_task()

    def __init__(self) -> None:
        known = {"a": "cat", "b": None, "c": "dog", "d": "cat"}
        self.items = [Instance(id, Path(f"{id}.png"), label) for id, label in known.items()]

    def knows_labels(self) -> bool:
        return True


@pytest.fixture
def database(tmp_path: Path) -> Iterator[RunDatabase]:
    with RunDatabase(tmp_path / DATABASE_NAME) as opened:
        yield opened


def items_of(database: RunDatabase, audited: int | None = None) -> RunItems:
    learner = cast(Learner, Items())
    labels = LabelStore(database)
    sample = None if audited is None else AuditSample(size=audited)
    audit = RunAudit(learner, sample, database, seed=0)
    audit.draw(labels.current(), trained=False, starts_anew=True)
    return RunItems(learner, labels, audit)


def test_skipped_items_leave_the_pool_and_are_not_trained_on(database: RunDatabase) -> None:
    items = items_of(database)
    store = LabelStore(database)
    store.add([NewLabel("b", "dog", "me", 1, "page")])
    store.add([NewLabel("c", None, "me", 1, "page", kind=LabelKind.SKIP)])
    assert items.pool() == ["a", "d"]
    assert items.training_labels() == {"b": "dog"}


def test_the_audit_counts_as_labeled_and_is_not_trained_on(database: RunDatabase) -> None:
    items = items_of(database, audited=3)
    [left] = items.pool()
    audited = min({"a", "b", "c", "d"} - {left})
    LabelStore(database).add([NewLabel(audited, "cat", "me", 1, "page")])
    assert items.training_labels() == {}


def test_labels_of_the_data_are_stored_once_and_stay_undone(database: RunDatabase) -> None:
    items = items_of(database)
    items.store_labels_of_data()
    store = LabelStore(database)
    assert store.labels() == {"a": "cat", "c": "dog", "d": "cat"}
    store.undo(store.current()["c"].event_id, "me")
    items.store_labels_of_data()
    assert store.labels() == {"a": "cat", "d": "cat"}
    assert items.pool() == ["b", "c"]
    assert items.true_labels(["b", "c"]) == {"c": "dog"}


def test_items_that_are_gone_are_named_with_the_remedy(database: RunDatabase) -> None:
    items = items_of(database)
    assert [item.id for item in items.of(["d", "a"])] == ["d", "a"]
    assert items.gone(["x", "a", "y"]) == ["x", "y"]
    with pytest.raises(DataError, match=r"1 item .* is no longer .*: x; bring it back, .*--drop"):
        items.of(["a", "x"])
    with pytest.raises(DataError, match=r"2 items .* are no longer .*: x, y; bring them back"):
        items.of(["x", "y"])
