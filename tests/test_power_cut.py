"""The helper that the tests of durability stand on says what a strict file system could leave."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from power_cut import Kind, Log, Tree, record


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


def fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)


def last(log: Log, kind: Kind) -> Tree:
    return log.cuts(kind)[-1].tree


def test_nothing_that_was_not_flushed_survives(root: Path) -> None:
    (root / "old").write_text("old")
    with record(root) as log:
        (root / "old").write_text("new")
        (root / "file").write_text("content")
        (root / "folder").mkdir()
    assert last(log, "flushed") == {"old": b"old"}
    assert last(log, "names") == {"old": b"old", "file": b"", "folder": {}}
    assert last(log, "everything") == {"old": b"new", "file": b"content", "folder": {}}


def test_a_file_needs_its_own_flush_and_that_of_its_folder(root: Path) -> None:
    with record(root) as log:
        (root / "file").write_text("content")
        fsync(root)
        empty = last(log, "flushed")
        fsync(root / "file")
        (root / "other").write_text("content")
        fsync(root / "other")
    assert empty == {"file": b""}
    assert last(log, "flushed") == {"file": b"content"}
    assert last(log, "names") == {"file": b"content", "other": b"content"}


def test_folders_above_need_a_flush_too(root: Path) -> None:
    file = root / "a" / "b" / "file"
    with record(root) as log:
        file.parent.mkdir(parents=True)
        file.write_text("content")
        for path in (file, root / "a" / "b", root / "a"):
            fsync(path)
        nothing = last(log, "flushed")
        fsync(root)
    assert nothing == {}
    assert last(log, "flushed") == {"a": {"b": {"file": b"content"}}}


def test_a_rename_and_an_unlink_count_with_the_folder(root: Path) -> None:
    (root / "f").write_text("old")
    (root / "gone").write_text("x")
    with record(root) as log:
        (root / "t").write_text("new")
        (root / "t").replace(root / "f")
        (root / "gone").unlink()
        unflushed = {kind: last_now(log, kind) for kind in ("flushed", "names", "everything")}
        fsync(root)
    assert unflushed["flushed"] == {"f": b"old", "gone": b"x"}
    assert unflushed["names"] == {"f": b""}  # the classic: an empty file in place of the old one
    assert unflushed["everything"] == {"f": b"new"}
    assert last(log, "flushed") == {"f": b""}


def last_now(log: Log, kind: Kind) -> Tree:
    log.promise("now")
    return last(log, kind)


def test_each_moment_is_there_once_and_in_order(root: Path) -> None:
    with record(root) as log:
        for text in ("1", "2"):
            (root / "t").write_text(text)
            fsync(root / "t")
            (root / "t").replace(root / "f")
            fsync(root)
            log.promise(text)
    trees = [(cut.tree, cut.promised) for cut in log.cuts("flushed")]
    assert trees == [
        ({}, ()),
        ({"f": b"1"}, ()),
        ({"f": b"1"}, ("1",)),
        ({"f": b"2"}, ("1",)),
        ({"f": b"2"}, ("1", "2")),
    ]
    names = [cut.tree for cut in log.cuts("everything")]
    assert {"f": b"1", "t": b"2"} in names
    assert len(log.cuts("everything")) > len(trees)


def test_a_cut_is_restored(root: Path, tmp_path: Path) -> None:
    (root / "link").symlink_to("f")
    (root / "empty").mkdir()
    (root / "f").write_text("x")
    with record(root) as log:
        pass
    target = tmp_path / "after"
    (target / "before").mkdir(parents=True)
    assert log.cuts()[-1].restore(target) == target
    assert sorted(path.name for path in target.iterdir()) == ["empty", "f", "link"]
    assert (target / "link").read_text() == "x"


def test_what_is_made_and_removed_does_not_come_back_as_another_file(root: Path) -> None:
    """A file system gives the inode number of a removed file to the next one."""
    with record(root) as log:
        for number in range(20):
            (root / "t").write_text(f"flushed {number}")
            fsync(root / "t")
            (root / "t").unlink()
        (root / "f").write_text("never flushed")
        fsync(root)
    assert last(log, "flushed") == {"f": b""}
    assert last(log, "everything") == {"f": b"never flushed"}


def test_each_step_of_removing_a_folder_is_seen(root: Path) -> None:
    (root / "folder" / "sub").mkdir(parents=True)
    (root / "folder" / "sub" / "f").touch()
    with record(root) as log:
        shutil.rmtree(root / "folder")
    assert [cut.tree for cut in log.cuts("names")] == [
        {"folder": {"sub": {"f": b""}}},
        {"folder": {"sub": {}}},
        {"folder": {}},
        {},
    ]
    assert last(log, "flushed") == {"folder": {"sub": {"f": b""}}}


def test_a_database_holds_what_was_committed(root: Path, tmp_path: Path) -> None:
    with (
        record(root) as log,
        closing(sqlite3.connect(root / "d.sqlite", isolation_level=None)) as connection,
    ):
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (x)")
        connection.execute("INSERT INTO t VALUES (1)")
        log.promise("without its name")
        fsync(root)
        connection.execute("BEGIN")
        connection.execute("INSERT INTO t VALUES (2)")
        log.promise("open")
        connection.execute("COMMIT")
        log.promise("committed")
    found = {}
    for cut in log.cuts("flushed"):
        path = cut.restore(tmp_path / "after") / "d.sqlite"
        if path.exists():
            with closing(sqlite3.connect(path)) as connection:
                rows = connection.execute("SELECT x FROM t").fetchall()
            found[cut.promised[-1:]] = [x for (x,) in rows]
    assert found == {
        ("without its name",): [1],
        ("open",): [1],
        ("committed",): [1, 2],
    }


def test_other_threads_are_seen_and_other_folders_are_not(root: Path, tmp_path: Path) -> None:
    def write() -> None:
        for folder in (root, tmp_path):
            (folder / "f").write_text("x")
            fsync(folder / "f")
            fsync(folder)

    with record(root) as log:
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
    fsync(tmp_path)  # nothing records any longer
    assert last(log, "flushed") == {"f": b"x"}
    assert all(str(tmp_path / "f") not in cut.moment for cut in log.cuts("everything"))


def test_recordings_do_not_nest(root: Path) -> None:
    with record(root), pytest.raises(RuntimeError, match="one recording at a time"), record(root):
        pass
