"""Stores of vectors: whole shards or none, whatever ends the processes that write them."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import threading
import time
from functools import partial
from multiprocessing import active_children
from pathlib import Path

import numpy as np
import pytest
from fixtures.process_tasks import WIDTH, content, slow_work

from allencv_al.common.errors import DataError
from allencv_al.common.task_processes import Postponed, run_in_processes
from allencv_al.data.vector_files import StoredVectors, is_vector_file, read_vectors
from allencv_al.data.vector_shards import (
    ShardContent,
    ShardRows,
    ShardStore,
    StoreManifest,
    claim_path,
    clean_shards,
    half,
    make_shard,
    shard_folder,
    write_manifest,
    write_shard,
)


def begin(folder: Path, shards: int) -> Path:
    write_manifest(folder, StoreManifest("e", "f", "p", 5 * shards, 5, ["embeddings"]))
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Path:
    begin(tmp_path / "store", 3)
    for number in range(3):
        write_shard(tmp_path / "store", number, content(number))
    return tmp_path / "store"


def test_a_store_is_read_as_it_was_written(store: Path) -> None:
    vectors = read_vectors(store)
    assert is_vector_file(store)
    assert isinstance(vectors, StoredVectors)
    expected = [content(number) for number in range(3)]
    rows = np.concatenate([one.arrays["embeddings"] for one in expected])
    assert np.array_equal(np.asarray(vectors.vectors), rows)
    assert vectors.vectors.dtype == np.float16
    assert (len(vectors), vectors.dimension) == (12, WIDTH)
    items = list(vectors.items())
    assert [id for id, _ in items] == [id for one in expected for id in one.ids]
    assert items[:2] == [("0/1.png", "cat"), ("0/2.png", None)]
    assert vectors.unreadable == {f"{number}/0.png": "odd" for number in range(3)}
    assert vectors.index().rows(["1/2.png", "absent", "0/1.png"]).tolist() == [5, -1, 0]


def test_rows_of_shards_are_those_of_one_array() -> None:
    whole = np.arange(22, dtype=np.float16).reshape(11, 2)
    rows = ShardRows([whole[:3], whole[3:3], whole[3:4], whole[4:]])
    assert (rows.shape, rows.ndim, rows.dtype, len(rows)) == ((11, 2), 2, np.float16, 11)
    keys = [slice(1, 3), slice(2, 9), slice(5, 5), slice(None), slice(9, 1, -2), slice(-3, None)]
    keys += [np.array([10, 0, 3, 3, -1]), np.arange(11) % 3 == 0, np.array([], np.int64), [4, 2]]
    for key in keys:
        assert np.array_equal(rows[key], whole[key]), key
    assert np.array_equal(rows[-1], whole[-1])
    assert np.array_equal(np.stack(list(rows)), whole)
    with pytest.raises(IndexError):
        rows[11]


def test_values_that_float16_cannot_hold_are_named() -> None:
    with pytest.raises(DataError, match="vectors of b: values do not fit into float16"):
        half(np.array([[1.0, 2.0], [7e4, 0.0]]), ["a", "b"])
    with pytest.raises(DataError, match="vectors of a"):
        half(np.array([[np.nan, 2.0]]), ["a"])


def test_a_second_write_of_a_shard_changes_nothing(store: Path) -> None:
    before = {file: file.stat().st_ino for file in store.rglob("*.npy")}
    write_shard(store, 1, content(1))
    assert {file: file.stat().st_ino for file in store.rglob("*.npy")} == before
    assert sorted(path.name for path in (store / "shards").iterdir()) == [
        "000000",
        "000001",
        "000002",
    ]


def test_a_shard_is_made_once_and_not_while_another_process_is_at_it(store: Path) -> None:
    assert make_shard(store, 1, lambda: pytest.fail("it is there")) is None
    begin(store, 4)
    claim_path(store, 3).write_text("another-machine 1 token")
    assert make_shard(store, 3, lambda: content(3)) == Postponed()
    claim_path(store, 3).unlink()
    made = make_shard(store, 3, lambda: content(3))
    assert isinstance(made, ShardContent)
    assert list((store / "claims").iterdir()) == []


def test_damaged_shards_are_found_and_removed(store: Path) -> None:
    vectors = shard_folder(store, 1) / "embeddings.npy"
    bytes_ = bytearray(vectors.read_bytes())
    bytes_[-1] ^= 1
    vectors.write_bytes(bytes_)
    (shard_folder(store, 2) / "items.json").write_text("{")
    with pytest.raises(DataError, match="000002: is damaged; encode makes it again"):
        ShardStore(store)
    assert clean_shards(store) == [0]
    assert not shard_folder(store, 1).exists()


def test_what_a_killed_process_left_is_removed_when_it_is_old(store: Path) -> None:
    for name in (".new", ".old"):
        (store / "shards" / name).mkdir()
    os.utime(store / "shards" / ".old", (1, 1))
    assert clean_shards(store) == [0, 1, 2]
    assert (store / "shards" / ".new").exists()
    assert not (store / "shards" / ".old").exists()


def test_shards_that_are_not_there_yet_are_told(
    store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    begin(store, 5)
    assert len(ShardStore(store).hashes) == 12
    assert "2 of 5 shards are not encoded yet" in caplog.text
    begin(store.parent / "empty", 1)
    with pytest.raises(DataError, match="has no vector of any image yet"):
        ShardStore(store.parent / "empty")


def test_the_hashes_of_a_shard_are_those_of_its_files(store: Path) -> None:
    """As any other program can check them."""
    shard = shard_folder(store, 0)
    done = json.loads((shard / "done.json").read_text())
    assert set(done) == {"embeddings.npy", "hashes.npy", "items.json"}
    for name, facts in done.items():
        data = (shard / name).read_bytes()
        assert facts == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


SHARDS = 60


@pytest.mark.slow
def test_fifty_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    """At whatever moment a process is killed, that of a lease or of a rename among them."""
    store = begin(tmp_path / "store", SHARDS)
    kills = 0
    over = threading.Event()
    draw = random.Random(7)

    def encode() -> None:
        # What was set aside after three kills, the same command tries again
        while len(clean_shards(store)) < SHARDS or kills < 50:
            list(run_in_processes(range(SHARDS), 2, partial(slow_work, store)))

    def kill() -> None:
        nonlocal kills
        while not over.is_set():
            time.sleep(draw.uniform(0.0, 0.1))
            if len(list((store / "shards").iterdir())) > SHARDS - 5 and kills < 50:
                doomed = draw.choice(sorted((store / "shards").glob("0*")))
                doomed.rename(tmp_path / f"away{kills}")  # there must be work for all kills
            for child in draw.sample(found, 1) if (found := active_children()) else []:
                if child.pid is not None and kills < 50:
                    os.kill(child.pid, signal.SIGKILL)
                    kills += 1

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        encode()
    finally:
        over.set()
        killer.join()
    assert kills == 50
    found = ShardStore(store)
    ids = [id for id, _ in found.items()]
    assert len(ids) == len(set(ids)) == 4 * SHARDS
    expected = np.concatenate([content(n).arrays["embeddings"] for n in range(SHARDS)])
    assert np.array_equal(np.asarray(found.rows("embeddings")), expected)
    assert len(found.unreadable()) == SHARDS
