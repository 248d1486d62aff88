"""The one file of a run: whole or nothing, for several threads and processes."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from allencv_al.common.errors import DataError
from allencv_al.common.files.atomic_file import unflushed
from allencv_al.labels import database as database_module
from allencv_al.labels.label_store import LabelStore, NewLabel
from allencv_al.labels.run_database import RunDatabase


def label(id: str = "a", name: str = "cat") -> NewLabel:
    return NewLabel(id, name, annotator="me", round=0, source="test")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "run.sqlite"


@pytest.fixture
def database(path: Path) -> Iterator[RunDatabase]:
    with RunDatabase(path) as database:
        yield database


def ids(database: RunDatabase) -> list[str]:
    return [event.id for event in LabelStore(database).events()]


def open_descriptors(path: Path) -> int:
    links = [Path(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")]  # noqa: PTH208
    return sum(os.path.realpath(link).startswith(str(path)) for link in links)


needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no /proc")


def test_what_is_written_is_there_when_it_is_opened_again(path: Path) -> None:
    with RunDatabase(path) as database:
        LabelStore(database).add([label("a"), label("b")])
    with RunDatabase(path, create=False) as database:
        assert ids(database) == ["a", "b"]


def test_closing_leaves_one_file(path: Path) -> None:
    with RunDatabase(path) as database:
        LabelStore(database).add([label()])
        assert len(list(path.parent.iterdir())) == 3, "the log and its index are in use"
    assert list(path.parent.iterdir()) == [path]


def test_every_thread_writes_with_full_durability(database: RunDatabase) -> None:
    def settings() -> list[object]:
        return [
            database.rows(f"PRAGMA {name}")[0][0]
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        ]

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(settings).result() == settings() == ["wal", 2, 1, 30_000]


def test_transactions_wait_for_no_disk_where_files_do_not(tmp_path: Path) -> None:
    with unflushed(), RunDatabase(tmp_path / "run.sqlite") as database:
        assert database.rows("PRAGMA synchronous") == [(1,)]


@needs_proc
def test_the_entries_of_new_folders_and_of_the_file_are_flushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    fsync = os.fsync

    def record(handle: int) -> None:
        flushed.append(os.path.realpath(f"/proc/self/fd/{handle}"))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", record)
    RunDatabase(tmp_path / "a" / "b" / "run.sqlite").close()
    assert flushed == [str(tmp_path), str(tmp_path / "a"), str(tmp_path / "a" / "b")]


def test_a_block_that_raises_writes_nothing(database: RunDatabase) -> None:
    with pytest.raises(KeyError), database.transaction():
        LabelStore(database).add([label()])
        raise KeyError
    assert ids(database) == []
    LabelStore(database).add([label("b")])
    assert ids(database) == ["b"]


def test_an_inner_block_that_raises_takes_back_its_own_part_only(database: RunDatabase) -> None:
    store = LabelStore(database)
    with database.transaction():
        store.add([label("a")])
        with pytest.raises(KeyError), database.transaction():
            store.add([label("b")])
            with database.transaction():
                store.add([label("c")])
            raise KeyError
        store.add([label("d")])
    assert ids(database) == ["a", "d"]


def test_an_inner_block_counts_only_with_the_outer_one(database: RunDatabase) -> None:
    with pytest.raises(KeyError), database.transaction():
        with database.transaction():
            LabelStore(database).add([label()])
        raise KeyError
    assert ids(database) == []


def test_threads_lose_nothing_and_leave_no_connection_behind(database: RunDatabase) -> None:
    store = LabelStore(database)
    barrier = threading.Barrier(8)

    def write(thread: int) -> None:
        barrier.wait()
        for number in range(10):
            store.add([label(f"{thread}/{number}")])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    assert sorted(ids(database)) == sorted(f"{t}/{n}" for t in range(8) for n in range(10))
    if Path("/proc/self/fd").is_dir():
        log = database.path.with_name("run.sqlite-wal")  # each connection opens it for itself
        assert open_descriptors(log) == 1, "that of this thread"


def test_a_closed_database_says_so_in_every_thread(path: Path) -> None:
    database = RunDatabase(path)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(ids, database).result() == []
        database.close()
        with pytest.raises(ValueError, match=r"run\.sqlite: the database is closed"):
            pool.submit(ids, database).result()
    with pytest.raises(ValueError, match="closed"), database.transaction():
        pass
    database.close()


@needs_proc
def test_a_forgotten_database_closes_itself(path: Path) -> None:
    database = RunDatabase(path)
    assert open_descriptors(path)
    del database
    assert not open_descriptors(path)


FORK = """
import os, sys
from allencv_al.labels.run_database import RunDatabase
from allencv_al.labels.label_store import LabelStore, NewLabel

def write(who, count):
    for number in range(count):
        LabelStore(database).add([NewLabel(f"{who}/{number}", "cat", who, 0, "test")])

database = RunDatabase(sys.argv[1])
write("me", 1)
ready, go = os.pipe(), os.pipe()
pid = os.fork()
if pid == 0:
    write("child", 20)
    os.write(ready[1], b"1")
    os.read(go[0], 1)
    write("child", 20)
    os._exit(0)  # without closing anything, as a kill would, and multiprocessing does
write("parent", 20)
os.read(ready[0], 1)
database.close()  # as the last one it would take the log away with it
os.write(go[1], b"1")
assert os.waitpid(pid, 0)[1] == 0
with RunDatabase(sys.argv[1]) as database:
    assert len(LabelStore(database).events()) == 61, len(LabelStore(database).events())
    assert database.rows("PRAGMA integrity_check") == [("ok",)]
"""

FORK_WITHIN = """
import os, sys
from allencv_al.labels.run_database import RunDatabase
from allencv_al.labels.label_store import LabelStore, NewLabel

database = RunDatabase(sys.argv[1])
store = LabelStore(database)
with database.transaction():
    store.add([NewLabel("a", "cat", "me", 0, "test")])
    pid = os.fork()
    if pid == 0:
        try:
            store.events()
        except ValueError as error:
            sys.exit(0 if "forked while a transaction was under way" in str(error) else 1)
        sys.exit(1)
    assert os.waitpid(pid, 0)[1] == 0
    store.add([NewLabel("b", "cat", "me", 0, "test")])
assert [event.id for event in store.events()] == ["a", "b"]
assert database.rows("PRAGMA integrity_check") == [("ok",)]
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.parametrize("script", [FORK, FORK_WITHIN], ids=["between", "within"])
def test_a_fork_spoils_nothing(path: Path, script: str) -> None:
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


CREATE = """
import sys
from allencv_al.labels.run_database import RunDatabase
from allencv_al.labels.label_store import LabelStore, NewLabel

sys.stdin.read()  # until all are ready
with RunDatabase(sys.argv[1]) as database:
    LabelStore(database).add([NewLabel("a", "cat", "me", 0, "test")])
"""


def test_processes_that_create_it_at_the_same_time_share_it(path: Path) -> None:
    command = [sys.executable, "-c", CREATE, str(path)]
    started = [subprocess.Popen(command, stdin=subprocess.PIPE) for _ in range(4)]
    for process in started:
        assert process.stdin is not None
        process.stdin.close()
    assert [process.wait() for process in started] == [0, 0, 0, 0]
    with RunDatabase(path, create=False) as database:
        assert [event.supersedes for event in LabelStore(database).events()] == [None, 1, 2, 3]


def test_a_missing_file_is_not_made_unasked(path: Path) -> None:
    with pytest.raises(DataError, match=r"run\.sqlite: expected the database of a run, found noth"):
        RunDatabase(path, create=False)
    assert not path.parent.exists()


def test_a_file_that_was_taken_away_is_not_quietly_made_again(database: RunDatabase) -> None:
    database.path.rename(database.path.with_name("elsewhere"))
    with ThreadPoolExecutor(1) as pool, pytest.raises(DataError, match="cannot be opened"):
        pool.submit(ids, database).result()


def test_what_a_kill_left_before_the_tables_were_there_is_taken_up(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    with pytest.raises(DataError, match="found an empty one"):
        RunDatabase(path, create=False)
    with RunDatabase(path) as database:
        assert ids(database) == []


def test_a_folder_in_its_place_is_a_message(path: Path) -> None:
    path.mkdir(parents=True)
    for create in (True, False):
        with pytest.raises(DataError, match="found a folder"):
            RunDatabase(path, create)


def test_another_file_in_its_place_is_a_message_and_stays(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("labels,\n" * 1000, encoding="utf-8")
    with pytest.raises(DataError, match="found a file of another kind"):
        RunDatabase(path)
    assert path.read_text(encoding="utf-8") == "labels,\n" * 1000


def test_the_database_of_another_program_is_a_message_and_stays(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE photos (name)")
    other.close()
    content = path.read_bytes()
    with pytest.raises(DataError, match="found that of another program"):
        RunDatabase(path)
    assert path.read_bytes() == content


def test_a_newer_version_is_a_message(path: Path) -> None:
    with RunDatabase(path) as database:
        database.connection.execute("PRAGMA user_version = 7")
    with pytest.raises(DataError, match=r"newer version .* of version 7; .* up to 1\)"):
        RunDatabase(path)


@pytest.mark.parametrize("damage", ["garbage", "cut short"])
def test_a_damaged_file_is_a_message(path: Path, damage: str) -> None:
    with RunDatabase(path) as database:
        LabelStore(database).add([label(f"a rather long name of an item/{n}") for n in range(500)])
    content = path.read_bytes()
    half = len(content) // 2 // 4096 * 4096
    rest = b"" if damage == "cut short" else b"\xa5" * (len(content) - half)
    path.write_bytes(content[:half] + rest)
    with (
        pytest.raises(DataError, match=r"run\.sqlite: the database is damaged \(SQLite: .*malf"),
        RunDatabase(path) as database,
    ):
        ids(database)


def test_a_full_disk_is_an_error_of_the_machine_and_loses_nothing(database: RunDatabase) -> None:
    store = LabelStore(database)
    store.add([label("a")])
    pages = database.rows("PRAGMA page_count")[0][0]
    database.connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(OSError, match="No space left on device") as caught:
        store.add([label(f"{n}" * 5000) for n in range(10)])
    assert caught.value.filename == str(database.path)
    assert ids(database) == ["a"]
    database.connection.execute("PRAGMA max_page_count = 100000")
    store.add([label("b")])
    assert ids(database) == ["a", "b"]


def test_who_waits_too_long_for_another_process_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    RunDatabase(path).close()
    monkeypatch.setattr(database_module, "_BUSY_SECONDS", 0.05)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with RunDatabase(path) as database:
        assert ids(database) == [], "reading does not wait"
        with pytest.raises(DataError, match="another process holds the database"):
            LabelStore(database).add([label()])
        other.execute("ROLLBACK")
        LabelStore(database).add([label()])
    other.close()


@pytest.fixture
def not_writable(path: Path) -> Iterator[Path]:
    """A run that this process may read, but not write."""
    folder = Path(tempfile.mkdtemp())  # the parents of tmp_path keep other users out
    path = folder / "run.sqlite"
    with RunDatabase(path) as database:
        LabelStore(database).add([label()])
    folder.chmod(0o555)
    path.chmod(0o444)
    is_root = os.geteuid() == 0  # whom no mode stops
    try:
        if is_root:
            os.seteuid(65534)
        yield path
    finally:
        if is_root:
            os.seteuid(0)
        folder.chmod(0o755)
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()


@pytest.mark.skipif(os.name == "nt", reason="modes of POSIX")
def test_a_finished_run_can_be_read_where_nothing_can_be_written(not_writable: Path) -> None:
    with RunDatabase(not_writable, create=False) as database:
        assert ids(database) == ["a"]
        with pytest.raises(DataError, match="cannot be written; are the file and its folder"):
            LabelStore(database).add([label()])
    assert list(not_writable.parent.iterdir()) == [not_writable]


@pytest.mark.skipif(os.name == "nt", reason="modes of POSIX")
def test_a_run_is_not_begun_where_nothing_can_be_written(not_writable: Path) -> None:
    with pytest.raises(DataError, match="cannot be opened; are the file and its folder yours"):
        RunDatabase(not_writable.with_name("new.sqlite"))


@pytest.fixture
def read_only(path: Path) -> Iterator[Callable[[], None]]:
    """Return a function that puts the folder of the database on a read-only file system."""
    folder = str(path.parent)

    def mount(*words: str) -> bool:
        found = shutil.which("mount")
        return (
            found is not None
            and not subprocess.run([found, *words], capture_output=True).returncode
        )

    def protect() -> None:
        if not mount("--bind", folder, folder):
            pytest.skip("this user may not mount")
        assert mount("-o", "remount,ro,bind", folder)

    yield protect
    subprocess.run(["umount", folder], capture_output=True)


@pytest.mark.parametrize("was_killed", [False, True])
def test_labels_are_read_from_a_read_only_file_system(
    path: Path, was_killed: bool, read_only: Callable[[], None]
) -> None:
    with RunDatabase(path) as database:
        LabelStore(database).add([label("a")])
        if was_killed:  # its log is not taken in, so that the newest label is in there alone
            copy = path.parent.with_name("copy")
            LabelStore(database).add([label("b")])
            shutil.copytree(path.parent, copy)
    if was_killed:
        shutil.rmtree(path.parent)
        copy.rename(path.parent)
        assert path.with_name("run.sqlite-wal").stat().st_size > 0
    read_only()
    with RunDatabase(path, create=False) as database:
        assert ids(database) == (["a", "b"] if was_killed else ["a"])
    with pytest.raises(OSError, match="Read-only"):
        (path.parent / "new").touch()
