"""Which labeling a file holds."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from allencv_al.labels.sessions.labeling_store import LabelingStore


def test_each_labeling_has_an_id_of_its_own_which_stays(
    make_store: Callable[..., LabelingStore], tmp_path: Path
) -> None:
    first, second = make_store(name="a"), make_store(name="b")
    id = first.identity.id()
    assert len(id) == 32 and id != second.identity.id()
    with LabelingStore(first.database.path, create=False) as again:
        assert again.identity.id() == id


def test_a_labeling_of_before_gets_one(make_store: Callable[..., LabelingStore]) -> None:
    store = make_store()
    with sqlite3.connect(store.database.path) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    assert "labeling" not in tables, "made at need: an older program opens the file still"
    assert store.identity.ordering() is None
    store.identity.set_ordering({"seed": 3})
    with LabelingStore(store.database.path, create=False) as again:
        assert again.identity.ordering() == {"seed": 3}
        assert again.identity.id() == store.identity.id()
