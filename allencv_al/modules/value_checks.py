"""One place for each rule about constructor values: Python callers and configs hear the same."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from allencv_al.common.config_check import ConfigView, Fault
from allencv_al.common.errors import ConfigurationError
from allencv_al.modules.weights import reading_enabled

Problem = tuple[str, str]
"""The name of an argument (empty for all of it), and what is wrong."""


def raise_problems(problems: Iterable[Problem]) -> None:
    """Raise one error for all problems; for constructors.

    Raises:
        ConfigurationError: There is a problem; one line for each.
    """
    lines = [f"{argument}: {message}" if argument else message for argument, message in problems]
    if lines:
        raise ConfigurationError("\n".join(lines))


def faults_from(config: ConfigView, problems: Callable[..., Iterable[Problem]]) -> Iterator[Fault]:
    """Yield the problems of a config's values, as a component's `config_faults` should.

    Args:
        config: The component's arguments.
        problems: A function whose parameters bear the names of constructor parameters. None is
            passed for a value of a wrong type, so that the others are still checked.
    """
    names = inspect.signature(problems).parameters
    values = {name: config.get(name) if config.sound(name) else None for name in names}
    for argument, message in problems(**values):
        yield config.fault(argument, message)


def not_positive(**values: int | Sequence[int] | None) -> Iterator[Problem]:
    """Yield the values, or the lists that hold a value, below 1."""
    for name, value in values.items():
        for item in value if isinstance(value, Sequence) else [value]:
            if item is not None and item < 1:
                yield name, f"expected at least 1, found {item}"


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
