"""Numeric precision: what a device does natively, and how a forward pass runs in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal

import torch

from allencv_al.common.errors import ConfigurationError

Precision = Literal["auto", "fp32", "bf16", "fp16", "mixed"]

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
# Names that torch.cpu.get_capabilities gives to bfloat16 matrix instructions (x86, then Arm)
_NATIVE_BF16 = ("avx512_bf16", "amx_bf16", "bf16", "arm_bf16")


def has_native_bf16(device: torch.device) -> bool:
    """Return whether `device` multiplies bfloat16 matrices in hardware."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(bool(capabilities.get(name)) for name in _NATIVE_BF16)


@contextmanager
def deterministic_algorithms(enabled: bool) -> Iterator[None]:
    """Use only bit-reproducible operations of torch within a `with` block."""
    if not enabled:
        yield
        return
    before = torch.are_deterministic_algorithms_enabled()
    benchmark = torch.backends.cudnn.benchmark
    # cuBLAS reads it when it is first used; torch refuses deterministic products without it
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False  # its choice of algorithms depends on timing
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        torch.backends.cudnn.benchmark = benchmark


class StepPrecision:
    """Number format of the forward pass on a device, and scaling of its gradients.

    Args:
        precision: "fp32", "bf16", "fp16" (CUDA only), "auto": bf16 where the device has it in
            hardware, else fp32, or "mixed": fp16 on a GPU, bf16 on the CPU. Parameters and
            optimizer state stay float32 in every case.
        device: Device of the model.
        grad_scaling: Scale the loss under fp16, whose small gradients vanish otherwise.

    Raises:
        ConfigurationError: If fp16 is asked for on a CPU.
    """

    def __init__(
        self, precision: Precision, device: torch.device, grad_scaling: bool = True
    ) -> None:
        if precision == "auto":
            # Emulated bf16 is slower than fp32 and less exact
            precision = "bf16" if has_native_bf16(device) else "fp32"
        elif precision == "mixed":
            precision = "fp16" if device.type == "cuda" else "bf16"
        if precision == "fp16" and device.type == "cpu":
            raise ConfigurationError(
                "precision: fp16 needs a GPU, found the CPU; use bf16, fp32 or auto"
            )
        self.name = precision
        # bf16 has the range of fp32, so that only fp16 needs a scaler
        self.is_mixed = precision != "fp32"
        self.dtype = _DTYPES.get(precision)
        self._autocast: AbstractContextManager[object] = nullcontext()
        if self.is_mixed:
            self._autocast = torch.autocast(device.type, self.dtype)
        self.scaler: torch.amp.GradScaler | None = None
        if precision == "fp16" and grad_scaling:
            self.scaler = torch.amp.GradScaler(device.type)

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context in which the forward pass runs; it is not reentrant."""
        return self._autocast
