"""One process at a time works on a run."""

from __future__ import annotations

import errno
import fcntl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from allencv_al.active_learning.run_lock import LOCK_NAME, locked_run_folder, run_lock

ANOTHER = """
import sys
from pathlib import Path
from allencv_al.active_learning.run_lock import locked_run_folder
from allencv_al.common.errors import DataError

folder = Path(sys.argv[1])
try:
    with locked_run_folder(folder, lambda: (folder / "replaced").touch()):
        pass
except DataError as error:
    sys.exit(f"refused: {error}")
"""


def another_process(folder: Path) -> str:
    """Have another process replace the run in a folder; return what it complains of."""
    command = [sys.executable, "-c", ANOTHER, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr


def test_a_run_that_is_worked_on_is_neither_shared_nor_replaced(tmp_path: Path) -> None:
    opened: list[str] = []
    with locked_run_folder(tmp_path, lambda: opened.append("first")):
        message = f"refused: {tmp_path}: another process is at work on this run; wait for it or"
        assert another_process(tmp_path).startswith(message)
        assert not (tmp_path / "replaced").exists()
    assert another_process(tmp_path) == ""
    assert (tmp_path / "replaced").exists() and opened == ["first"]


def test_a_folder_that_does_not_lock_is_taken_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    with run_lock(tmp_path):
        assert (tmp_path / LOCK_NAME).exists()
