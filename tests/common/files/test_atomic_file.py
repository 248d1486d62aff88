from __future__ import annotations

import errno
import json
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from power_cut import record

from allencv_al.common.files import atomic_file
from allencv_al.common.files.atomic_file import (
    TEMPORARY_PREFIX,
    atomic_directory,
    atomic_path,
    make_folder,
    remove,
    sweep_temporaries,
    unflushed,
    write_bytes,
    write_json,
    write_text,
)


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o027)
    yield
    os.umask(before)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- files ----------------------------------------------------------------------------------------


def test_what_is_written_is_there(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a" / "b.bin", b"\x00\xff")
    write_text(tmp_path / "t.txt", "ü\n")
    write_json(tmp_path / "j.json", {"b": [1, None], "a": "ü"})
    assert (tmp_path / "a" / "b.bin").read_bytes() == b"\x00\xff"
    assert (tmp_path / "t.txt").read_bytes() == "ü\n".encode()
    text = (tmp_path / "j.json").read_text(encoding="utf-8")
    assert text.startswith('{\n  "b"') and text.endswith("}\n") and "ü" in text
    assert names(tmp_path) == ["a", "j.json", "t.txt"]


def test_a_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "f"
    write_text(path, "old")
    write_text(path, "new")
    assert path.read_text() == "new"
    assert names(tmp_path) == ["f"]


def test_json_is_strict_and_the_old_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    write_json(path, 1)
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"loss": float("nan")})
    assert json.loads(path.read_text()) == 1
    assert names(tmp_path) == ["f.json"]


def test_an_error_while_writing_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "f.txt"
    write_text(path, "old")
    with pytest.raises(KeyboardInterrupt), atomic_path(path) as temporary:
        temporary.write_text("half")
        assert temporary.suffix == ".txt"
        assert path.read_text() == "old"
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert names(tmp_path) == ["f.txt"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "f"
    write_text(path, "old")
    owner = os if step == "fsync" else Path
    monkeypatch.setattr(owner, step, full)
    with pytest.raises(OSError, match="No space left"):
        write_text(path, "new")
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["f"]


def test_the_disk_is_told_before_and_after_the_name_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f"
    events = []
    real_sync, real_replace = os.fsync, Path.replace

    def sync(handle: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file"
        events.append(f"sync {kind}")
        real_sync(handle)

    def replace(self: Path, target: Path) -> Path:
        events.append("rename")
        return real_replace(self, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "replace", replace)
    write_text(path, "x")
    assert events == ["sync file", "rename", "sync folder"]
    events.clear()
    with atomic_directory(tmp_path / "d") as folder:
        (folder / "a").touch()
        (folder / "b").mkdir()
    assert events == ["sync file", "sync folder", "sync folder", "rename", "sync folder"]


def test_files_and_folders_have_the_modes_of_the_users_umask(tmp_path: Path, umask: None) -> None:
    write_text(tmp_path / "f", "x")
    with atomic_directory(tmp_path / "d"):
        pass
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "d").stat().st_mode) == 0o750


def test_a_pipe_or_a_device_is_written_to_not_replaced(tmp_path: Path) -> None:
    """`--output-file /dev/null`, by root, must not make a plain file of it."""
    pipe, link = tmp_path / "pipe", tmp_path / "stdout"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_text(pipe, "one ")
        write_text(link, "two")
        assert os.read(reader, 100) == b"one two"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.lstat().st_mode) and link.is_symlink()
    assert names(tmp_path) == ["pipe", "stdout"]


def test_a_kill_at_any_moment_leaves_the_old_file_or_the_new(tmp_path: Path) -> None:
    """A process that only writes is killed; what it leaves is whole, and its leftovers go."""
    path = tmp_path / "f.json"
    script = (
        "import sys; from allencv_al.common.files.atomic_file import write_json\n"
        "n = 0\n"
        "while True:\n"
        "    n += 1; write_json(sys.argv[1], [n] * 2000)\n"
        "    if n == 1: print('go', flush=True)\n"
    )
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "go\n"
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert len(set(json.loads(path.read_text()))) == 1
        sweep_temporaries(tmp_path)
        assert names(tmp_path) == ["f.json"]


# --- folders --------------------------------------------------------------------------------------


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    final = tmp_path / "x" / "d"
    with atomic_directory(final) as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "f").write_text("new")
        assert not final.exists()
    assert (final / "sub" / "f").read_text() == "new"
    assert names(tmp_path / "x") == ["d"]


def test_a_folder_is_replaced_with_all_its_files(tmp_path: Path) -> None:
    final = tmp_path / "d"
    for name in ("old", "new"):
        with atomic_directory(final) as folder:
            (folder / name).touch()
    assert names(final) == ["new"]
    assert names(tmp_path) == ["d"]


def test_an_error_leaves_the_old_folder(tmp_path: Path) -> None:
    final = tmp_path / "d"
    with atomic_directory(final) as folder:
        (folder / "old").touch()
    with pytest.raises(ZeroDivisionError), atomic_directory(final) as folder:
        (folder / "new").touch()
        raise ZeroDivisionError
    assert names(final) == ["old"]
    assert names(tmp_path) == ["d"]


def test_a_rename_that_fails_brings_the_old_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    final = tmp_path / "d"
    with atomic_directory(final) as folder:
        (folder / "old").touch()
    real = Path.replace

    def replace(self: Path, target: Path) -> Path:
        if (self / "new").exists():
            raise OSError(errno.EIO, "Input/output error")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(OSError, match="Input/output"), atomic_directory(final) as folder:
        (folder / "new").touch()
    assert names(final) == ["old"]
    assert names(tmp_path) == ["d"]


def test_sweeping_takes_leftovers_only(tmp_path: Path) -> None:
    (tmp_path / f"{TEMPORARY_PREFIX}a").touch()
    (tmp_path / f"{TEMPORARY_PREFIX}b").mkdir()
    (tmp_path / f"{TEMPORARY_PREFIX}b" / "f").touch()
    (tmp_path / f"{TEMPORARY_PREFIX}c").symlink_to(tmp_path / "kept")
    (tmp_path / "kept").mkdir()
    (tmp_path / ".tmp").touch()
    sweep_temporaries(tmp_path)
    assert names(tmp_path) == [".tmp", "kept"]
    sweep_temporaries(tmp_path / "absent")


def test_two_writers_do_not_meet(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "f") as one, atomic_path(tmp_path / "f") as other:
        assert one != other
        one.write_text("1")
        other.write_text("2")
    assert (tmp_path / "f").read_text() == "1"  # the outer block ends last
    assert names(tmp_path) == ["f"]


# --- power cuts -----------------------------------------------------------------------------------


def test_what_was_written_outlives_a_power_cut_with_the_folders_above_it(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    with record(root) as log:
        write_text(root / "a" / "b" / "f", "1")
        log.promise("1")
        write_text(root / "a" / "b" / "f", "2")
        log.promise("2")
        with atomic_directory(root / "c" / "d") as folder:
            (folder / "sub").mkdir()
            (folder / "sub" / "f").write_text("3")
        log.promise("3")
        remove(root / "a" / "b" / "f")
        log.promise("4")
    for kind in ("flushed", "names", "everything"):
        for cut in log.cuts(kind):
            after = cut.restore(tmp_path / "after")
            file, other = after / "a" / "b" / "f", after / "c" / "d" / "sub" / "f"
            assert other.is_file() == (after / "c" / "d").exists()
            assert not other.is_file() or other.read_text() == "3"
            assert "3" not in cut.promised or other.is_file()
            assert not file.exists() or file.read_text() in "12"
            if cut.promised in (("1",), ("1", "2")):
                assert file.read_text() >= cut.promised[-1]
            assert "4" not in cut.promised or not file.exists()


def test_a_folder_is_made_once_and_not_in_place_of_a_file(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    (tmp_path / "f").touch()
    with pytest.raises(FileExistsError):
        make_folder(tmp_path / "f")


# Folders inside of what a rename makes visible, of sample data, which can be written again, and of
# a storage that need not be a file system
UNFLUSHED = {"run_folder.py", "class_folders.py", "digits.py", "storage.py"}


def test_folders_are_made_so_that_they_outlive_a_power_cut() -> None:
    package = Path(atomic_file.__file__).parents[1]
    found = {
        path.name
        for path in package.rglob("*.py")
        if re.search(r"\.mkdir\(|makedirs\(", path.read_text(encoding="utf-8"))
    }
    assert found <= UNFLUSHED | {"atomic_file.py"}, "make folders with atomic_file.make_folder"


def test_only_within_a_block_that_is_unflushed_nothing_waits_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", flushed.append)
    with pytest.raises(ZeroDivisionError), unflushed():
        write_text(tmp_path / "new" / "a", "1")
        with atomic_directory(tmp_path / "folder") as temporary:
            (temporary / "b").touch()
        raise ZeroDivisionError
    assert flushed == [] and names(tmp_path) == ["folder", "new"]
    write_text(tmp_path / "a", "1")
    assert len(flushed) == 2, "the file, and the name in its folder"


# --- names that must be new -----------------------------------------------------------------------


def test_a_name_that_came_meanwhile_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError), atomic_path(tmp_path / "f", replaces=False) as temporary:
        temporary.write_text("mine")
        (tmp_path / "f").write_text("theirs")
    with pytest.raises(FileExistsError), atomic_directory(tmp_path / "d", replaces=False) as folder:
        (folder / "x").write_text("mine")
        (tmp_path / "d").mkdir()
        (tmp_path / "d" / "x").write_text("theirs")
    assert (tmp_path / "f").read_text() == (tmp_path / "d" / "x").read_text() == "theirs"
    assert names(tmp_path) == ["d", "f"]


def test_a_new_name_is_taken_also_where_a_disk_has_no_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "no links here")

    for number in range(2):
        with atomic_path(tmp_path / f"f{number}", replaces=False) as temporary:
            temporary.write_text("mine")
        monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(FileExistsError), atomic_path(tmp_path / "f1", replaces=False):
        pass
    with atomic_directory(tmp_path / "d", replaces=False) as folder:
        (folder / "x").write_text("mine")
    assert names(tmp_path) == ["d", "f0", "f1"]


def test_a_folder_that_is_named_in_the_last_moment_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def late(self: Path, target: Path) -> Path:
        target.mkdir()
        (target / "x").write_text("theirs")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", late)
    with pytest.raises(FileExistsError), atomic_directory(tmp_path / "d", replaces=False) as folder:
        (folder / "x").write_text("mine")
    assert (tmp_path / "d" / "x").read_text() == "theirs"
