"""Locks and figures of the system, and that nothing else asks Unix for them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from allencv_al.common import unix

# Other packages may ask for them, and are imported before they are taken away
PROGRAM = """
import importlib, pkgutil, sys
import flask, matplotlib.pyplot, multiprocessing.pool, numpy, pydantic, prometheus_client, rich
import scipy.optimize, sklearn.linear_model, torch, torchvision, waitress.server, yaml, fsspec
import albumentations, torch.utils.data, safetensors.torch
for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[name] = None
import allencv_al
failed = []
for found in pkgutil.walk_packages(allencv_al.__path__, "allencv_al."):
    if not found.name.endswith("__main__") and not found.name.endswith("server_simple"):
        try:
            importlib.import_module(found.name)
        except ImportError as error:
            failed.append(f"{found.name}: {error}")
print(*failed, sep="\\n")
from allencv_al.common import unix
print(unix.peak_bytes(), unix.most_open_files())
"""


def test_every_module_is_imported_without_what_only_unix_has() -> None:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=200
    )
    lines = [line for line in run.stdout.split("\n") if line and "tensorboard" not in line]
    assert lines == ["None None"]


def test_a_lock_keeps_others_out_until_it_is_released(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with path.open("w+") as first, path.open("w+") as second:
        unix.lock(first)
        with pytest.raises(BlockingIOError):
            unix.lock(second)
        unix.unlock(first)
        unix.lock(second, wait=True)


def test_on_windows_a_byte_behind_the_content_is_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int, int]] = []

    def locking(handle: int, mode: int, count: int) -> None:
        asked.append((mode, count, file.tell()))
        if len(asked) == 3:
            raise PermissionError(13, "Permission denied")

    fake = SimpleNamespace(locking=locking, LK_LOCK=1, LK_NBLCK=2, LK_UNLCK=0)
    monkeypatch.setattr(unix, "fcntl", None)
    monkeypatch.setattr(unix, "msvcrt", fake)
    with (tmp_path / "lock").open("w+b") as file:
        file.write(b"note")
        unix.lock(file)
        unix.unlock(file)
        with pytest.raises(BlockingIOError):
            unix.lock(file, wait=True)
        assert file.tell() == 4
    assert asked == [(2, 1, 2**30), (0, 1, 2**30), (1, 1, 2**30)]


def test_figures_of_this_process() -> None:
    peak = unix.peak_bytes()
    assert peak is None or peak > 10_000_000
    files = unix.most_open_files()
    assert files is None or files > 10
