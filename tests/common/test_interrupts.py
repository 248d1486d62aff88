"""An interrupt never lands inside an import, and is never lost."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from allencv_al.common.interrupts import interrupts_outside_imports

SCRIPT = """
import sys
from allencv_al.common.interrupts import interrupts_outside_imports
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
    assert process.stdout is not None
    assert process.stdout.readline() == "importing\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
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
