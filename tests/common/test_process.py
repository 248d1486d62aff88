"""Locks and figures of the system, and that nothing else asks Unix for them."""

from __future__ import annotations

import ast
import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from allencv_al.common import process
from allencv_al.common.process import interrupts_outside_imports

ONLY_UNIX = ("fcntl", "resource", "pwd", "grp", "termios")
NAMES_ONLY_UNIX_HAS = {
    *("os.chown", "os.fork", "os.forkpty", "os.geteuid", "os.getgid", "os.getpgid", "os.getuid"),
    *("os.killpg", "os.mkfifo", "os.register_at_fork", "os.sched_getaffinity", "os.setsid"),
    *("signal.SIGALRM", "signal.SIGCHLD", "signal.SIGHUP", "signal.SIGKILL", "signal.SIGSTOP"),
    *("signal.pthread_kill", "signal.pthread_sigmask", "signal.setitimer", "signal.sigwait"),
}
QUESTIONS = ("hasattr(os", "hasattr(signal", "sys.platform", "os.name")
PACKAGE = Path(process.__file__).parents[1]

# Other packages may ask for them, and are imported before they are taken away
PROGRAM = """
import importlib, pkgutil, sys
import flask, matplotlib.pyplot, multiprocessing.pool, numpy, pydantic, prometheus_client, rich
import scipy.optimize, sklearn.linear_model, torch, torchvision, waitress.server, yaml, fsspec
import albumentations, torch.utils.data, safetensors.torch
for name in sys.argv[1:]:
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
from allencv_al.common import process
print(process.most_open_files())
"""


def test_no_other_module_imports_what_only_unix_has() -> None:
    users = [
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Import) and any(name.name in ONLY_UNIX for name in node.names))
        or (isinstance(node, ast.ImportFrom) and node.module in ONLY_UNIX)
    ]
    # `process` asks for them by `_module`; the worker starts without the package, and catches
    assert set(users) == {"common/config/sources/jsonnet_worker.py"}


def unasked(tree: ast.Module) -> list[str]:
    """Return uses of such names where nothing around them asks for the system."""
    return [
        f"line {node.lineno}: {ast.unparse(node)}"
        for part in ast.iter_child_nodes(tree)
        if not any(question in ast.unparse(part) for question in QUESTIONS)
        for node in ast.walk(part)
        if isinstance(node, ast.Attribute) and ast.unparse(node) in NAMES_ONLY_UNIX_HAS
    ]


def test_what_only_unix_has_is_asked_for() -> None:
    held = "signal.pthread_sigmask(signal.SIG_BLOCK, held)"
    assert unasked(ast.parse(f"def f():\n    {held}")) == ["line 2: signal.pthread_sigmask"]
    asked = f"def f():\n    if hasattr(signal, 'pthread_sigmask'):\n        {held}"
    assert unasked(ast.parse(asked)) == []
    found = {
        path.relative_to(PACKAGE).as_posix(): problems
        for path in PACKAGE.rglob("*.py")
        if re.search(r"\b(os|signal)\.", text := path.read_text(encoding="utf-8"))
        and (problems := unasked(ast.parse(text)))
    }
    assert found == {}


@pytest.mark.slow  # it imports all that the package may use, in a process of its own
def test_every_module_is_imported_without_what_only_unix_has() -> None:
    command = [sys.executable, "-c", PROGRAM, *ONLY_UNIX]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=200)
    lines = [line for line in run.stdout.split("\n") if line and "tensorboard" not in line]
    assert lines == ["None"]


def test_a_lock_keeps_others_out_until_it_is_released(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with path.open("w+") as first, path.open("w+") as second:
        process.lock(first)
        with pytest.raises(BlockingIOError):
            process.lock(second)
        process.unlock(first)
        process.lock(second, wait=True)


def test_on_windows_a_byte_behind_the_content_is_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int, int]] = []

    def locking(handle: int, mode: int, count: int) -> None:
        asked.append((mode, count, file.tell()))
        if len(asked) == 3:
            raise PermissionError(13, "Permission denied")

    fake = SimpleNamespace(locking=locking, LK_LOCK=1, LK_NBLCK=2, LK_UNLCK=0)
    monkeypatch.setattr(process, "fcntl", None)
    monkeypatch.setattr(process, "msvcrt", fake)
    with (tmp_path / "lock").open("w+b") as file:
        file.write(b"note")
        process.lock(file)
        process.unlock(file)
        with pytest.raises(BlockingIOError):
            process.lock(file, wait=True)
        assert file.tell() == 4
    assert asked == [(2, 1, 2**30), (0, 1, 2**30), (1, 1, 2**30)]


def test_a_process_runs_until_it_has_ended() -> None:
    assert process.is_running(os.getpid())
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert not process.is_running(ended.pid)


@pytest.mark.parametrize(
    ("handle", "error", "waited", "expected"),
    [
        (7, 0, 0x102, True),
        (7, 0, 0, False),  # it has ended, and another program still looks at it
        (0, 87, 0, False),
        (0, 5, 0, True),  # of another user
    ],
)
def test_on_windows_a_process_is_asked_for_without_a_signal(
    monkeypatch: pytest.MonkeyPatch, handle: int, error: int, waited: int, expected: bool
) -> None:
    closed: list[int | None] = []
    kernel = SimpleNamespace(
        OpenProcess=Mock(return_value=handle),
        WaitForSingleObject=lambda handle, ms: waited,
        CloseHandle=lambda handle: closed.append(handle.value),
    )
    ours = SimpleNamespace(
        WinDLL=lambda name, use_last_error: kernel,
        get_last_error=lambda: error,
        c_void_p=ctypes.c_void_p,
    )
    monkeypatch.setattr(process, "ctypes", ours)
    monkeypatch.setattr(process, "os", SimpleNamespace(name="nt"))
    assert process.is_running(42) == expected
    assert closed == ([handle] if handle else [])


def test_figures_of_this_process() -> None:
    peak = process.peak_bytes()
    assert peak is None or peak > 10_000_000
    files = process.most_open_files()
    assert files is None or files > 10


SCRIPT = """
import sys
from allencv_al.common.process import interrupts_outside_imports
try:
    with interrupts_outside_imports():
        import slow_library
        while True:
            pass
except KeyboardInterrupt:
    print("interrupted; the library is", "whole" if slow_library.WHOLE else "broken")
"""

# It swallows what comes during its import, as some libraries do.
LIBRARY = """
import time
print("importing", flush=True)
WHOLE = True
try:
    time.sleep(0.5)
except KeyboardInterrupt:
    WHOLE = False
"""


def test_an_interrupt_waits_for_the_import(tmp_path: Path) -> None:
    (tmp_path / "slow_library.py").write_text(LIBRARY)
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "importing\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()  # one that missed the signal would run for ever
        process.wait()
    assert (out, err) == ("interrupted; the library is whole\n", "")


def test_outside_imports_it_raises_at_once() -> None:
    with pytest.raises(KeyboardInterrupt), interrupts_outside_imports():
        signal.raise_signal(signal.SIGINT)
        time.sleep(60)


def test_the_handler_is_put_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with interrupts_outside_imports():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_a_handler_of_the_caller_s_own_stays() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupts_outside_imports():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("command", "redirection", "code", "said"),
    [
        ("token create --tokens tokens.json", ">&-", 1, "error: standard output: it is closed"),
        ("predict model.tar.gz -", "<&-", 2, "error: standard input: it is closed"),
        ("token create --tokens tokens.json", ">/dev/full", 1, "No space left"),
        ("export-labels nowhere --format csv", ">&- 2>&-", 2, ""),
    ],
)
def test_a_closed_stream_is_a_message(
    command: str, redirection: str, code: int, said: str, tmp_path: Path
) -> None:
    line = f"{sys.executable} -m allencv_al {command} {redirection}"
    done = subprocess.run(
        ["sh", "-c", line], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's own figure, by program")
def test_the_peak_of_a_child_is_not_that_of_its_parent() -> None:
    ballast = bytearray(b"x") * 2**28
    code = "from allencv_al.common.process import peak_bytes; print(peak_bytes())"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    parent = process.peak_bytes()
    assert parent is not None and len(ballast) < parent
    assert 2**22 < int(run.stdout) < len(ballast)


def test_without_any_figure_the_peak_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "resource", None)
    monkeypatch.setattr(process, "Path", lambda name: Path("/nowhere"))
    assert process.peak_bytes() is None
