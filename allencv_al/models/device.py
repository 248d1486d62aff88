"""The device of a model, and denormal numbers on a CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from allencv_al.common.errors import ConfigurationError


def resolve_device(cuda_device: int | str | None) -> torch.device:
    """Return the device that a `cuda_device` option names.

    Args:
        cuda_device: -1 is the CPU, n the n-th GPU, "auto" (or None) the first GPU if there is one.

    Raises:
        ConfigurationError: That GPU is not there.
    """
    fault = device_fault(cuda_device)
    if fault is not None:
        raise ConfigurationError(f"cuda_device: {fault}")
    if cuda_device is None or cuda_device == "auto":
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    return torch.device("cpu") if cuda_device == -1 else torch.device("cuda", int(cuda_device))


def device_fault(cuda_device: int | str | None) -> str | None:
    """Return what is wrong with a `cuda_device` option on this machine, or None."""
    if cuda_device is None or cuda_device == "auto" or cuda_device == -1:
        return None
    if type(cuda_device) is not int or cuda_device < -1:
        return f'expected -1 (CPU), the number of a GPU or "auto", found {cuda_device!r}'
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if cuda_device < count:
        return None
    found = f"torch finds {count} GPU(s)" if count else "torch finds no GPU"
    return f'GPU {cuda_device} was asked for, but {found} here; use -1 for the CPU or "auto"'


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
