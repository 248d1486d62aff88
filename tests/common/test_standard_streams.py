"""Commands whose standard streams somebody has closed."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("command", "redirection", "code", "said"),
    [
        ("describe", ">&-", 1, "error: standard output: it is closed"),
        ("predict model.tar.gz -", "<&-", 2, "error: standard input: it is closed"),
        ("describe", ">/dev/full", 1, "No space left"),
        ("export-labels nowhere --format csv", ">&- 2>&-", 2, ""),
    ],
)
def test_a_closed_stream_is_a_message(command: str, redirection: str, code: int, said: str) -> None:
    line = f"{sys.executable} -m allencv_al {command} {redirection}"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=120)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr
