"""Outputs in a database, as users' code writes and older code has written them."""

from __future__ import annotations

import os
import pickle
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from allencv_al.common.errors import DataError
from allencv_al.service.pipeline import Pipeline, sql_client
from allencv_al.service.pipeline.pipeline_errors import PipelineError


def rows(path: Path) -> list[tuple[int, Any]]:
    with sql_client.database(path) as conn:
        return [(row_id, array.tolist()) for row_id, array in sql_client.read_rows(conn)]


def test_arrays_and_tensors_come_back_in_the_order_of_writing(tmp_path: Path) -> None:
    path = tmp_path / "infer_outputs_0.db"
    conn = sql_client.create_database(path)
    assert sql_client.add_index(conn, 7, np.array([[1.5, 2.0]])) == 1
    assert sql_client.add_index(conn, np.int64(3), torch.tensor([1, 2])) == 2
    sql_client.add_many(conn, [(1, np.zeros(2)), (0, np.ones((1, 1)))])
    conn.close()
    assert rows(path) == [(7, [[1.5, 2.0]]), (3, [1, 2]), (1, [0.0, 0.0]), (0, [[1.0]])]


def test_the_table_is_that_of_the_original(tmp_path: Path) -> None:
    sql_client.create_database(tmp_path / "a.db").close()
    conn = sqlite3.connect(tmp_path / "a.db")
    columns = [row[1] for row in conn.execute("PRAGMA table_info(indexes)")]
    conn.close()
    assert columns == ["id", "row_id", "selected_index"]


@given(st.sets(st.integers(0, 500), min_size=1, max_size=30), st.randoms(), st.booleans())
def test_every_row_names_its_record(records: set[int], chance: Any, relative: bool) -> None:
    order = sorted(records)
    keys = list(range(len(order))) if relative else list(order)
    chance.shuffle(keys)
    conn = sql_client.create_database(":memory:")
    of = (lambda key: order[key]) if relative and set(keys) != records else (lambda key: key)
    sql_client.add_many(conn, [(key, np.array([of(key)])) for key in keys])
    sql_client.remap(conn, list(records))
    found = {row_id: int(array[0]) for row_id, array in sql_client.read_rows(conn)}
    conn.close()
    assert found == {record: record for record in records}


@pytest.mark.parametrize("keys", [[3], [3, 5, 5], [3, 5, 9, 11], [0, 1], [3, 5, 8]])
def test_missing_and_foreign_rows_are_named_and_nothing_changes(
    keys: list[int], tmp_path: Path
) -> None:
    with sql_client.database(tmp_path / "a.db") as conn:
        sql_client.add_many(conn, [(key, np.zeros(1)) for key in keys])
        with pytest.raises(PipelineError, match="expected a row for each of 3 records"):
            sql_client.remap(conn, [3, 5, 9])
    assert [row_id for row_id, _ in rows(tmp_path / "a.db")] == keys


def test_rows_of_older_code_are_read(tmp_path: Path) -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    with sql_client.database(tmp_path / "a.db") as conn, conn:
        conn.execute("INSERT INTO indexes (row_id, selected_index) VALUES (4, ?)", (array.dumps(),))
    assert rows(tmp_path / "a.db") == [(4, array.tolist())]


class Evil:
    """Would run a command when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("kind", ["evil", "evil in an array", "text", "no array", "garbage"])
def test_nothing_else_is_unpickled(kind: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    blob: Any = {
        "evil": pickle.dumps(Evil(canary)),
        "evil in an array": np.array([Evil(canary)], dtype=object).dumps(),
        "text": "abc",
        "no array": pickle.dumps([1, 2]),
        "garbage": b"\x80\x05garbage",
    }[kind]
    with sql_client.database(tmp_path / "a.db") as conn:
        with conn:
            conn.execute("INSERT INTO indexes (row_id, selected_index) VALUES (4, ?)", (blob,))
        with pytest.raises(DataError, match="row 1: expected an array"):
            list(sql_client.read_rows(conn))
    assert not canary.exists()


MakePipeline = Callable[..., Pipeline]


def ask_loop(client: Any, number: int, selected: Any = None, **more: Any) -> Any:
    """Ask for a loop."""
    body = {"experiment_id": "e", "project_id": "p", "cur_loop": number, **more}
    if selected is not None:
        body["selected_indices"] = selected
    return client.post("/one_loop", json=body)


def test_a_database_that_is_none_is_said(make_pipeline: MakePipeline, tmp_path: Path) -> None:
    def infer(args: Any, unlabeled: Any, ckpt_file: Any) -> None:
        (Path(args["EXPT_DIR"]) / "infer_outputs_0.db").write_text("no database" * 50)

    found = ask_loop(make_pipeline(infer_fn=infer).app.test_client(), 0, [0, 1, 2])
    assert found.status_code == 422 and found.json["error"]["phase"] == "infer"


def test_many_rows_find_their_records_in_few_steps(tmp_path: Path) -> None:
    count = 2_000
    with sql_client.database(tmp_path / "rows.db") as conn:
        sql_client.add_many(conn, ((place, np.zeros(1)) for place in range(count)))
        steps = 0

        def step() -> int:
            nonlocal steps
            steps += 1
            return 0

        conn.set_progress_handler(step, 1_000)
        sql_client.remap(conn, range(0, 2 * count, 2))
        assert [record for record, _ in sql_client.read_rows(conn)] == list(range(0, 2 * count, 2))
    assert steps < count  # a scan for each row takes more than ten times as many
