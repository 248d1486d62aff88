"""One process at a time works on a run."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from typing import Any

import pytest

from allencv_al.active_learning.run_lock import LOCK_NAME, locked_run_folder, run_lock
from allencv_al.common.errors import DataError


def in_a_child(action: Any) -> int:
    """Run a function in a forked process, and return its exit code: 7 for a DataError."""
    child = os.fork()
    if not child:
        try:
            action()
        except DataError:
            os._exit(7)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_another_process_is_refused_while_the_block_lasts(tmp_path: Path) -> None:
    def take() -> None:
        with run_lock(tmp_path):
            pass

    with run_lock(tmp_path):
        assert in_a_child(take) == 7
    assert in_a_child(take) == 0


def test_a_run_that_is_worked_on_is_not_replaced(tmp_path: Path) -> None:
    opened: list[str] = []

    def replace() -> None:
        with locked_run_folder(tmp_path, lambda: (tmp_path / "replaced").touch()):
            pass

    with locked_run_folder(tmp_path, lambda: opened.append("first")):
        assert in_a_child(replace) == 7
        assert not (tmp_path / "replaced").exists()
    assert in_a_child(replace) == 0
    assert (tmp_path / "replaced").exists() and opened == ["first"]


def test_a_folder_that_does_not_lock_is_taken_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    with run_lock(tmp_path):
        assert (tmp_path / LOCK_NAME).exists()
