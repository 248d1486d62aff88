"""One process at a time works on a run."""

from __future__ import annotations

import errno
import fcntl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from allencv_al.common.errors import DataError
from allencv_al.common.files.run_lock import (
    LOCK_NAME,
    check_not_locked,
    is_locked,
    locked_folder,
    run_lock,
)

ANOTHER = """
import sys
from pathlib import Path
from allencv_al.common.errors import DataError
from allencv_al.common.files.run_lock import run_lock

try:
    with run_lock(Path(sys.argv[1])):
        pass
except DataError as error:
    sys.exit(f"refused: {error}")
"""


def another_process(folder: Path) -> str:
    """Have another process lock a folder; return what it complains of."""
    command = [sys.executable, "-c", ANOTHER, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr


def test_another_process_is_kept_out_for_as_long_as_the_block_lasts(tmp_path: Path) -> None:
    with run_lock(tmp_path):
        message = f"refused: {tmp_path}: another process is at work on this run; wait for it or"
        assert another_process(tmp_path).startswith(message)
    assert another_process(tmp_path) == ""
    assert list(tmp_path.iterdir()) == []


def test_looking_whether_it_is_locked_does_not_end_the_lock(tmp_path: Path) -> None:
    assert not is_locked(tmp_path) and not is_locked(tmp_path / "absent")
    with run_lock(tmp_path):
        assert is_locked(tmp_path)
        with pytest.raises(DataError, match="another process is at work"):
            check_not_locked(tmp_path)
        assert another_process(tmp_path) != ""
    assert not is_locked(tmp_path)


def test_the_same_process_is_kept_out_too(tmp_path: Path) -> None:
    (tmp_path / "other name").symlink_to(tmp_path)
    with run_lock(tmp_path):
        with (
            pytest.raises(DataError, match="this process is at work on this run already"),
            run_lock(tmp_path / "other name"),
        ):
            pass
        assert another_process(tmp_path) != ""


def test_a_lock_file_that_was_removed_in_between_is_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, waiting = fcntl.lockf, [True]

    def slow(*arguments: Any) -> None:
        if waiting:
            waiting.clear()
            (tmp_path / LOCK_NAME).unlink()
        lock(*arguments)

    monkeypatch.setattr(fcntl, "lockf", slow)
    with run_lock(tmp_path):
        assert another_process(tmp_path) != ""


def test_a_folder_is_made_for_its_lock_and_removed_if_nothing_came_into_it(tmp_path: Path) -> None:
    for content in ((), ("results.json",)):
        with locked_folder(tmp_path / "a" / "b"):
            assert is_locked(tmp_path / "a" / "b")
            for name in content:
                (tmp_path / "a" / "b" / name).touch()
        found = {path.name for path in tmp_path.rglob("*")}
        assert found == ({"a", "b", *content} if content else set())


def test_a_folder_that_does_not_lock_is_taken_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    with run_lock(tmp_path):
        assert (tmp_path / LOCK_NAME).exists()
