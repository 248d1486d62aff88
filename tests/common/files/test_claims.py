"""Leases: one holder at a time, and none for ever."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from allencv_al.common.files.claims import lease


def test_one_process_holds_it_and_gives_it_back(tmp_path: Path) -> None:
    path = tmp_path / "7"
    with lease(path) as first, lease(path) as second:
        assert (first, second) == (True, False)
    assert list(tmp_path.iterdir()) == []
    with lease(path) as again:
        assert again


def test_that_of_a_process_that_has_ended_is_taken_over_at_once(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    path = tmp_path / "7"
    path.write_text(f"{socket.gethostname()} {ended.pid} token")
    with lease(path) as is_held:
        assert is_held
    assert list(tmp_path.iterdir()) == []


def test_that_of_another_machine_ends_by_its_age(tmp_path: Path) -> None:
    path = tmp_path / "7"
    path.write_text(f"another-machine {os.getpid()} token")
    with lease(path, 60) as is_held:
        assert not is_held
    os.utime(path, (time.time() - 61, time.time() - 61))
    with lease(path, 60) as is_held:
        assert is_held


def test_it_is_renewed_while_it_is_held(tmp_path: Path) -> None:
    path = tmp_path / "7"
    with lease(path, 0.04):
        made = path.stat().st_mtime_ns
        until = time.monotonic() + 5
        while path.stat().st_mtime_ns == made:
            assert time.monotonic() < until
            time.sleep(0.01)


def test_of_many_at_once_one_takes_over(tmp_path: Path) -> None:
    path = tmp_path / "7"
    path.write_text("another-machine 1 token")
    os.utime(path, (1, 1))
    held: list[bool] = []
    all_tried = threading.Barrier(8)

    def try_it() -> None:
        with lease(path) as is_held:
            held.append(is_held)
            all_tried.wait()

    threads = [threading.Thread(target=try_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(held) == 1


def test_what_another_has_taken_over_is_not_given_back(tmp_path: Path) -> None:
    path = tmp_path / "7"
    with lease(path):
        path.write_text("another-machine 1 token")
    assert path.read_text() == "another-machine 1 token"
