"""The store of outputs: what was appended is there, whatever happened afterwards."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from allencv_al.common.errors import DataError
from allencv_al.selection.pool import output_store
from allencv_al.selection.pool.output_store import OutputStore

FILES = ("unreadable.jsonl", "ids.jsonl", "logits.f32", "embeddings.f32")  # in order of writing


def block(first: int, count: int) -> tuple[list[str], dict[str, NDArray[Any]], dict[str, str]]:
    """Rows whose numbers follow from their ids, and one unreadable id."""
    numbers = np.arange(first, first + count, dtype=np.float32)
    ids = [f"id {number:.0f}" for number in numbers]
    arrays = {
        "logits": numbers[:, None] + np.array([0.25, 0.5], np.float32),
        "embeddings": numbers[:, None] * np.array([1, -1, 0.5], np.float32),
    }
    return ids, arrays, {f"bad {first}": "it is broken"}


def check(store: OutputStore, count: int) -> None:
    """Fail unless the store holds the first `count` rows, each under its id."""
    assert store.ids == [f"id {number}" for number in range(count)]
    numbers = np.arange(count, dtype=np.float32)
    assert np.array_equal(store.array("logits")[:, 1], numbers + 0.5)
    assert np.array_equal(store.array("embeddings")[:, 1], -numbers)


def test_what_is_appended_is_there_after_opening_again(tmp_path: Path) -> None:
    with OutputStore(tmp_path / "new" / "folder", "abc") as store:
        store.append(*block(0, 3))
        store.append(*block(3, 2))
        check(store, 5)
    again = OutputStore(tmp_path / "new" / "folder", "abc")
    check(again, 5)
    assert len(again) == 5
    assert again.names == ("logits", "embeddings")
    assert again.unreadable == {"bad 0": "it is broken", "bad 3": "it is broken"}
    assert again.has("id 4") and again.has("bad 3") and not again.has("id 5")
    assert again.rows(["id 4", "id 0"]).tolist() == [4, 0]


def test_arrays_are_mapped_and_cannot_be_written(tmp_path: Path) -> None:
    with OutputStore(tmp_path, "abc") as store:
        store.append(*block(0, 3))
        array = store.array("logits")
        assert isinstance(array, np.memmap)
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
        store.append(*block(3, 3))
        assert array.shape == (3, 2)  # what was given out stays as it is
        assert store.array("logits").shape == (6, 2)


def test_a_store_of_embeddings_alone_grows_by_opening_it_again(tmp_path: Path) -> None:
    for first in (0, 2, 4):
        with OutputStore(tmp_path, "encoder") as store:
            ids, arrays, _ = block(first, 2)
            store.append(ids, {"embeddings": arrays["embeddings"]})
    store = OutputStore(tmp_path, "encoder")
    assert store.array("embeddings")[:, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert store.names == ("embeddings",)


def test_odd_ids_and_causes_come_back_as_they_were(tmp_path: Path) -> None:
    ids = ["a\nb", "", 'q"uote', "dürüm/🍩", "\udc80", "\u2028"]
    with OutputStore(tmp_path, "ü") as store:
        store.append(ids, {"x": np.zeros((6, 1))}, {"\n": "two\nlines"})
    again = OutputStore(tmp_path, "ü")
    assert again.ids == ids
    assert again.unreadable == {"\n": "two\nlines"}


def test_members_logits_and_plain_numbers_have_their_shapes(tmp_path: Path) -> None:
    mc_logits = np.random.default_rng(0).standard_normal((4, 3, 2))
    with OutputStore(tmp_path, "abc") as store:
        store.append(["a", "b", "c", "d"], {"mc_logits": mc_logits, "norm": np.ones(4)})
    again = OutputStore(tmp_path, "abc")
    assert np.array_equal(again.array("mc_logits"), mc_logits.astype(np.float32))
    assert again.array("norm").shape == (4,)


def test_unreadable_ids_may_come_before_the_first_row(tmp_path: Path) -> None:
    with OutputStore(tmp_path, "abc") as store:
        store.append([], {}, {"x": "gone"})
        assert store.names == ()
        with pytest.raises(DataError, match="no array logits; there are: none"):
            store.array("logits")
        store.append(*block(0, 2))
    again = OutputStore(tmp_path, "abc")
    check(again, 2)
    assert set(again.unreadable) == {"x", "bad 0"}


def test_an_empty_array_is_no_error(tmp_path: Path) -> None:
    with OutputStore(tmp_path, "abc") as store:
        store.append(["a", "b"], {"embeddings": np.empty((2, 0))})
    assert OutputStore(tmp_path, "abc").array("embeddings").shape == (2, 0)


def test_opening_alone_writes_nothing(tmp_path: Path) -> None:
    store = OutputStore(tmp_path / "absent", "abc")
    assert len(store) == 0
    assert not store.has("a")
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize(
    ("ids", "arrays", "unreadable", "message"),
    [
        (["id 1"], {}, {}, "ids that are stored already: id 1"),
        (["bad 0"], {}, {}, "ids that are stored already: bad 0"),
        ([], {}, {"id 0": "x"}, "ids that are stored already: id 0"),
        (["x", "y", "x"], {}, {}, "duplicate ids: x"),
        (["x"], {}, {"x": "gone"}, "duplicate ids: x"),
        (["x"], {"logits": np.ones((1, 2))}, {}, "expected rows of shapes"),
        (["x"], {"logits": np.ones((1, 5)), "embeddings": np.ones((1, 3))}, {}, "shapes"),
        (["x"], {"logits": np.ones((2, 2)), "embeddings": np.ones((1, 3))}, {}, "1 rows of logits"),
    ],
)
def test_a_wrong_block_is_refused_and_changes_nothing(
    tmp_path: Path, ids: Any, arrays: Any, unreadable: Any, message: str
) -> None:
    with OutputStore(tmp_path, "abc") as store:
        store.append(*block(0, 3))
        with pytest.raises(DataError, match=message):
            store.append(ids, arrays, unreadable)
        check(store, 3)
        store.append(*block(3, 1))
    check(OutputStore(tmp_path, "abc"), 4)


def test_rows_of_unknown_ids_are_an_error_that_names_them(tmp_path: Path) -> None:
    with OutputStore(tmp_path, "abc") as store:
        store.append(*block(0, 1))
        with pytest.raises(DataError, match="no rows of a, b, c, d, e and 1 more"):
            store.rows([*"abcdef", "id 0"])


def test_another_fingerprint_begins_anew_with_the_first_block(tmp_path: Path) -> None:
    with OutputStore(tmp_path, "old") as store:
        store.append(*block(0, 3))
        mapped = store.array("logits")
    with OutputStore(tmp_path, "new") as store:
        assert len(store) == 0 and not store.has("id 0")
        check(OutputStore(tmp_path, "old"), 3)  # not yet
        store.append(["z"], {"mc_logits": np.ones((1, 2, 2))})
    assert OutputStore(tmp_path, "new").ids == ["z"]
    assert {path.name for path in tmp_path.glob("*.f32")} == {"mc_logits.f32"}
    assert mapped[:, 0].tolist() == [0.25, 1.25, 2.25]  # who had read it still can


def test_another_fingerprint_is_an_error_where_that_is_asked_for(tmp_path: Path) -> None:
    with OutputStore(tmp_path, "old") as store:
        store.append(*block(0, 3))
    with pytest.raises(DataError, match="of another model, other transforms or other options"):
        OutputStore(tmp_path, "new", other="raise")
    check(OutputStore(tmp_path, "old", other="raise"), 3)


def test_one_process_writes_and_others_read(tmp_path: Path) -> None:
    with OutputStore(tmp_path, "abc") as store:
        store.append(*block(0, 3))
        other = OutputStore(tmp_path, "abc")
        check(other, 3)
        with pytest.raises(DataError, match="another process is writing"):
            other.append(*block(3, 1))
        store.append(*block(3, 2))
    with (
        other,
        pytest.raises(DataError, match="stored already: id 3"),
    ):  # it sees what came meanwhile
        other.append(*block(3, 1))
    check(other, 5)


def test_a_writer_can_wait_for_another(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A lock of another file object is one, in this process as in another."""
    caplog.set_level("INFO")
    waits = threading.Event()
    caplog.handler.addFilter(lambda record: not waits.set())

    def wait_and_append() -> None:
        with OutputStore(tmp_path, "abc") as store:
            assert len(store) == 3
            store.become_writer(wait=True)
            store.append(*block(len(store), 2))

    with ThreadPoolExecutor(1) as threads, OutputStore(tmp_path, "abc") as store:
        store.append(*block(0, 3))
        waiting = threads.submit(wait_and_append)
        assert waits.wait(60)
        store.append(*block(3, 2))
        assert not waiting.done()
        store.close()
        waiting.result(60)
    check(OutputStore(tmp_path, "abc"), 7)
    assert "waiting for another process" in caplog.text


def test_a_file_system_without_locks_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: Any) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(output_store.process, "lock", unsupported)
    with OutputStore(tmp_path, "abc") as store:
        store.append(*block(0, 3))
    check(OutputStore(tmp_path, "abc"), 3)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    for content in ("[]", "{}", "not JSON", '{"fingerprint": "a", "lengths": {"../x": 1}}'):
        (tmp_path / "outputs.json").write_text(content)
        with pytest.raises(DataError, match=r"outputs\.json: expected the index"):
            OutputStore(tmp_path, "abc")
        assert (tmp_path / "outputs.json").read_text() == content


def test_a_later_format_is_an_error(tmp_path: Path) -> None:
    with OutputStore(tmp_path, "abc") as store:
        store.append(*block(0, 1))
    index = json.loads((tmp_path / "outputs.json").read_text())
    for changed in ({"format": "allencv_al outputs 2"}, {"byte_order": "middle"}):
        (tmp_path / "outputs.json").write_text(json.dumps({**index, **changed}))
        with pytest.raises(DataError, match="expected allencv_al outputs 1"):
            OutputStore(tmp_path, "abc")


def test_a_block_costs_what_it_holds(tmp_path: Path) -> None:
    """However many rows there are, the next block writes its own bytes and a short index."""
    ids = [f"a rather long id of one of very many items {number}" for number in range(20_000)]
    with OutputStore(tmp_path, "abc") as store:
        store.append(ids, {"x": np.zeros((len(ids), 8))})
        before = {path: (path.stat().st_ino, path.read_bytes()) for path in growing(tmp_path)}
        store.append(["one more"], {"x": np.ones((1, 8))})
    assert (tmp_path / "outputs.json").stat().st_size < 1000
    for path, (inode, content) in before.items():
        assert path.stat().st_ino == inode  # written to, not written anew
        assert path.read_bytes().startswith(content)
        assert path.stat().st_size - len(content) < 50


def growing(folder: Path) -> list[Path]:
    """The files that blocks are appended to."""
    return sorted([*folder.glob("*.f32"), *folder.glob("*.jsonl")])


# -- Kills ----------------------------------------------------------------------------------------


def states_of_a_killed_append(folder: Path) -> Iterator[None]:
    """Leave the folder as a kill could at every byte of the second block, one state after another.

    The second block is written file by file, and counts only with the index that comes last.
    """
    with OutputStore(folder, "abc") as store:
        store.append(*block(0, 2))
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        store.append(*block(2, 2))
        after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(FILES) | {"outputs.json", "outputs.lock"} == set(after)
    for place, name in enumerate(FILES):
        for length in range(len(before[name]), len(after[name]) + 1):
            for other in folder.iterdir():
                other.unlink()
            contents = {
                **{done: after[done] for done in FILES[:place]},
                name: after[name][:length],
                **{later: before[later] for later in FILES[place + 1 :]},
                "outputs.json": before["outputs.json"],
                ".tmp-0123456789abcdef.json": after["outputs.json"][:length],
            }
            for other_name, content in contents.items():
                (folder / other_name).write_bytes(content)
            yield


def test_a_kill_at_any_byte_leaves_the_blocks_before(tmp_path: Path) -> None:
    count = 0
    for _ in states_of_a_killed_append(tmp_path):
        store = OutputStore(tmp_path, "abc")
        check(store, 2)
        assert set(store.unreadable) == {"bad 0"}
        with store:
            ids, arrays, unreadable = block(2, 3)  # another block than the one that was killed
            store.append(ids, arrays, unreadable)
        again = OutputStore(tmp_path, "abc")
        check(again, 5)
        assert set(again.unreadable) == {"bad 0", "bad 2"}
        assert not list(tmp_path.glob(".tmp-*"))
        count += 1
    assert count > 80


def test_a_kill_of_the_very_first_append_leaves_nothing(tmp_path: Path) -> None:
    with OutputStore(tmp_path, "abc") as store:
        store.append(*block(0, 2))
    contents = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for place, name in enumerate(FILES):
        for length in range(len(contents[name]) + 1):
            for path in tmp_path.iterdir():
                path.unlink()
            for done in FILES[:place]:
                (tmp_path / done).write_bytes(contents[done])
            (tmp_path / name).write_bytes(contents[name][:length])
            with OutputStore(tmp_path, "abc") as store:
                assert len(store) == 0
                store.append(*block(0, 3))
            check(OutputStore(tmp_path, "abc"), 3)


@pytest.mark.parametrize("name", [*FILES, "outputs.json"])
def test_a_file_cut_from_outside_is_an_error_that_names_it(tmp_path: Path, name: str) -> None:
    """No kill does that: what counts was on the disk before the index said so."""
    with OutputStore(tmp_path, "abc") as store:
        store.append(*block(0, 2))
    content = (tmp_path / name).read_bytes()
    lengths = len(content.rstrip()) if name == "outputs.json" else len(content)
    for length in range(lengths):
        (tmp_path / name).write_bytes(content[:length])
        with pytest.raises(DataError, match=name):
            OutputStore(tmp_path, "abc")
    (tmp_path / name).unlink()
    if name == "outputs.json":
        assert len(OutputStore(tmp_path, "abc")) == 0
    else:
        with pytest.raises(DataError, match=f"{name}: expected .* bytes, found 0"):
            OutputStore(tmp_path, "abc")


def test_ids_changed_from_outside_are_an_error(tmp_path: Path) -> None:
    with OutputStore(tmp_path, "abc") as store:
        store.append(*block(0, 2))
    content = (tmp_path / "ids.jsonl").read_bytes()
    for changed in (content.replace(b"id 1", b"id 0"), content.replace(b'"', b"'")):
        (tmp_path / "ids.jsonl").write_bytes(changed)
        with pytest.raises(DataError, match=r"ids\.jsonl.* changed from outside"):
            OutputStore(tmp_path, "abc")


@pytest.mark.parametrize("failing", range(5))
def test_a_full_disk_leaves_the_blocks_before_and_the_store_usable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    calls = 0
    fsync = os.fsync

    def full(handle: int) -> None:
        nonlocal calls
        calls += 1
        if calls == failing + 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(handle)

    with OutputStore(tmp_path, "abc") as store:
        store.append(*block(0, 2))
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left on device") as caught:
            store.append(*block(2, 2))
        assert not isinstance(caught.value, DataError) and str(tmp_path) in str(caught.value)
        check(store, 2)
        check(OutputStore(tmp_path, "abc"), 2)
        store.append(*block(2, 3))
    check(OutputStore(tmp_path, "abc"), 5)


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file"), OutputStore(tmp_path / "file", "abc") as store:
        store.append(*block(0, 1))


APPENDING = """
import sys
import threading
from pathlib import Path
sys.path.insert(0, {tests!r})
from allencv_al.selection.pool import output_store
from allencv_al.selection.pool.output_store import OutputStore
from test_output_store import block
with OutputStore(Path({folder!r}), "abc") as store:
    print("ready", flush=True)
    while True:
        store.append(*block(len(store), 50))
"""


def test_kill_9_at_random_moments_loses_no_finished_block(tmp_path: Path) -> None:
    """A process that only appends is killed again and again, and goes on where it stopped."""
    generator = random.Random(0)
    folder = tmp_path / "outputs"
    code = APPENDING.format(tests=str(Path(__file__).parent), folder=str(folder))
    rows = 0
    for _ in range(6):
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(generator.uniform(0.02, 0.2))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        store = OutputStore(folder, "abc")
        assert len(store) >= rows
        assert len(store) % 50 == 0
        rows = len(store)
        check(store, rows) if rows else None
        assert len(store.unreadable) == rows // 50
    assert rows > 0
