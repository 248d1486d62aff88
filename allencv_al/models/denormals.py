"""Numbers too small for a CPU to compute with at its usual speed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Flush denormal numbers (below 1.2e-38) to zero on the CPU, within a `with` block.

    Weights that decay pass through them on their way to 0, and a CPU multiplies them some fifty
    times slower than others.
    """
    if _flushes_denormals() or not torch.set_flush_denormal(True):
        yield
        return
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def _flushes_denormals() -> bool:
    return bool(torch.full((1,), 1e-38, dtype=torch.float32).mul(0.01) == 0)
