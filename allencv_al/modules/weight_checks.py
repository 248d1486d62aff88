"""Rules about constructor values of modules, beside those of `common.value_checks`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from allencv_al.common.config.value_checks import Problem as Problem
from allencv_al.common.config.value_checks import faults_from as faults_from
from allencv_al.common.config.value_checks import not_positive as not_positive
from allencv_al.common.config.value_checks import raise_problems as raise_problems
from allencv_al.modules.weights import reading_enabled


def not_below_one(**values: float | Sequence[float] | None) -> Iterator[Problem]:
    """Yield the values, or the lists that hold a value, outside 0 <= value < 1."""
    for name, value in values.items():
        for item in value if isinstance(value, Sequence) else [value]:
            if item is not None and not 0 <= item < 1:
                yield name, f"expected a number from 0 to below 1, found {item}"


def no_such_file(**paths: Path | str | None) -> Iterator[Problem]:
    """Yield the weights files that are absent, unless weights are not to be read now."""
    for name, path in paths.items():
        if path is not None and reading_enabled() and not Path(path).is_file():
            yield name, f"no such file: {path}"


def wrong_lengths(num_layers: int | None, **values: object) -> Iterator[Problem]:
    """Yield the per-layer lists that do not hold one value for each layer."""
    for name, value in values.items():
        if num_layers and isinstance(value, (list, tuple)) and len(value) != num_layers:
            yield name, f"expected {num_layers} values (num_layers), found {len(value)}"
