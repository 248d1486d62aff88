"""The tables of a labeling's database are as described, and refuse what contradicts them."""

from __future__ import annotations

import re
import sqlite3

import pytest

from allencv_al.labels.sessions import schema
from allencv_al.labels.sessions.labeling_store import LabelingStore

KEYS = {"one", "sequence"}  # of the tables with one row, and of the order of changes


def test_every_table_and_column_is_described(store: LabelingStore) -> None:
    store.id()  # makes the table that is made at need
    text = (schema.__doc__ or "").partition("::")[2].partition("`item.answers")[0]
    blocks = re.split(r"\n\n    (?=\w)", text)
    described = {block.split()[0]: block for block in blocks if block.strip()}
    tables = store.database.rows("SELECT name FROM sqlite_master WHERE type = 'table'")
    assert set(described) == {name for (name,) in tables if not name.startswith("sqlite_")}
    del described["label_event"]  # beside the store of labels
    for table, block in described.items():
        columns = {row[1] for row in store.database.rows(f"PRAGMA table_info({table})")}
        assert {name for name in columns if not re.search(rf"\b{name}\b", block)} <= KEYS, table


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO item (item, id, batch, rank) VALUES (99, 'x', 1, 9)",
        "INSERT INTO item (item, id, batch, rank, image, picture) VALUES (99, 'x', 1, 9, 'a', 'b')",
        "INSERT INTO item (item, id, batch, rank, image) VALUES (99, '0.png', 1, 9, 'a')",
        "INSERT INTO class (name) VALUES ('cat')",
        "INSERT INTO lease VALUES (99, 'Anna', 1.0)",
        "INSERT INTO server VALUES (2, 'u', 'm', 1, 1.0)",
    ],
)
def test_a_row_that_contradicts_another_is_refused(statement: str, store: LabelingStore) -> None:
    with (
        pytest.raises(sqlite3.IntegrityError, match="constraint failed"),
        store.database.transaction() as connection,
    ):
        connection.execute(statement)
