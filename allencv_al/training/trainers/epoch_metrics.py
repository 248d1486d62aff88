"""The metrics of an epoch, named as in AllenNLP, and what they cost in time and memory."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import torch

from allencv_al.common.errors import ConfigurationError
from allencv_al.common.process import peak_bytes

BYTES_PER_MB = 1 << 20

# What differs between two runs that are otherwise bit-equal
MEASURED_KEYS = ("training_duration", "peak_")


def with_prefix(prefix: str, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metrics with a prefix before each name, as JSON values."""
    return {f"{prefix}_{name}": to_json(value) for name, value in metrics.items()}


def scalars(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return the metrics that are one number, which alone can choose an epoch or make a curve."""
    return {
        name: float(value)
        for name, value in metrics.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def require_numbers(metrics: Mapping[str, Any], names: Sequence[str]) -> None:
    """Raise a ConfigurationError if one of these metrics is there but is not one number."""
    for name in names:
        if name in metrics and name not in scalars(metrics):
            raise ConfigurationError(
                f"validation_metric: {name!r} is not one number, so no epoch can be the best by "
                f"it; these are: {', '.join(sorted(scalars(metrics)))}"
            )


def to_json(value: Any) -> Any:
    """Return `value` as strict JSON: tensors become lists, what is not finite becomes null."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def duration(seconds: float) -> str:
    """Return a duration as AllenNLP writes it (`0:01:23.456000`)."""
    return str(timedelta(seconds=seconds))


def peak_memory() -> dict[str, float]:
    """Return the most memory that was used so far, in MB, of this process and each GPU of it."""
    peaks: dict[str, float] = {}
    cpu = peak_bytes()
    if cpu is not None:
        peaks["peak_cpu_memory_MB"] = cpu / BYTES_PER_MB
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            used = torch.cuda.max_memory_allocated(index)
            if used:
                peaks[f"peak_gpu_{index}_memory_MB"] = used / BYTES_PER_MB
    return peaks


def without_measurements(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return what two bit-equal runs have in common: neither durations nor memory."""
    return {name: v for name, v in metrics.items() if not name.startswith(MEASURED_KEYS)}
