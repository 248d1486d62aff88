"""Standard input and output that were closed by the caller (`<&-`, `>&-`)."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import IO

from overrides import overrides

from allencv_al.common.errors import DataError


class _ClosedOutput(io.TextIOBase):
    """Standard output that is closed: whatever is written to it fails with its name."""

    @overrides
    def writable(self) -> bool:
        return True

    # No @overrides: the signature of io's C method differs between Python 3.12 and 3.13
    def write(self, text: str, /) -> int:
        raise OSError(errno.EBADF, "it is closed", "standard output")


def standard_input() -> IO[bytes]:
    """Return the bytes of standard input.

    Raises:
        DataError: It is closed.
    """
    if sys.stdin is None or sys.stdin.closed:
        raise DataError("standard input: it is closed; expected lines on it")
    return sys.stdin.buffer


def replace_closed_streams() -> None:
    """Replace the standard streams that the process was started without.

    Python has None for them, and the first files that are opened would get their numbers: what is
    printed would go into these files.
    """
    if None not in (sys.stdin, sys.stdout, sys.stderr):
        return
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        continue
    os.close(number)
    if sys.stdout is None:
        sys.stdout = _ClosedOutput()
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123  to the end
