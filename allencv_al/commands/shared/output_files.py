"""Output files of commands: check them before the work starts, and open them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from allencv_al.common.errors import ConfigurationFaults, Fault

_OWN = (
    *("config.json", "model.tar.gz", "model.safetensors", "manifest.json", "metrics.json"),
    *("run.sqlite", "labeling.sqlite"),
)


@contextmanager
def open_output(path: Path | None) -> Iterator[TextIO]:
    """Open a text file that takes its name when the block succeeds; None is stdout."""
    if path is None:
        yield sys.stdout
        return
    from allencv_al.common.files.atomic_file import atomic_path

    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        yield file


def check_output_files(
    outputs: Mapping[str, Path | None], inputs: Iterable[str | Path] = ()
) -> None:
    """Raise if a file cannot be written, or would replace an input.

    Args:
        outputs: The files by option; None if the option was not given.
        inputs: Inputs of the command; a part such as `::train` is ignored.

    Raises:
        ConfigurationFaults: All faults, each with the option.
    """
    faults = list(output_faults(outputs, inputs))
    if faults:
        raise ConfigurationFaults(faults, "the output files")


def output_faults(
    outputs: Mapping[str, Path | None], inputs: Iterable[str | Path] = ()
) -> Iterator[Fault]:
    """Yield the faults that `check_output_files` raises."""
    from allencv_al.common.files.paths import split_path

    locations = [split_path(path)[0] for path in inputs]
    read = [file for path in locations for file in _files_of(path)]
    taken: dict[str, str] = {}
    for option, path in outputs.items():
        if path is None:
            continue
        problem = _problem(path)
        if problem is None and any(_is_same(path, other) for other in read):
            problem = f"{path} is an input, and would be replaced; name another file"
        elif problem is None and _is_image_below(path, locations):
            problem = f"{path} is one of the input images, and would be replaced"
        # Links count as what they lead to: the second output would replace the first
        first = taken.setdefault(os.path.realpath(path), option)
        if problem is None and first != option and not _is_special(path):
            problem = f"{path} is also the file of {first}; name another one"
        if problem is not None:
            yield Fault(option, problem)


def _files_of(path: Path) -> Iterator[Path]:
    """Yield an input and the files of the run or labeling that it is, or belongs to."""
    yield path
    folder = path.parent if path.name in _OWN else path
    for name in _OWN:
        yield folder / name


def _is_image_below(path: Path, folders: Iterable[Path]) -> bool:
    from allencv_al.data.dataset_readers.image_files import is_image_name

    if not is_image_name(path.name) or not path.exists():
        return False
    parents = path.resolve().parents
    return any(folder.is_dir() and folder.resolve() in parents for folder in folders)


def _problem(path: Path) -> str | None:
    try:
        if path.is_dir():
            return f"expected a file, found the folder {path}"
        if _is_special(path):
            return None
        # Folders that are absent will be made: the nearest one that exists must allow it
        folder = next(parent for parent in path.absolute().parents if parent.exists())
    except (OSError, ValueError) as error:  # the name is too long, or holds NUL
        reason = getattr(error, "strerror", None) or error
        return f"cannot be written: {str(path)[:200]!a}: {reason}"
    if not folder.is_dir():
        return f"cannot be written: {folder} is not a folder"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"cannot be written: no permission in the folder {folder}"
    return None


def _is_special(path: Path) -> bool:
    # /dev/stdout, a pipe: nothing is replaced there
    return path.exists() and not path.is_file()


def _is_same(path: Path, other: Path) -> bool:
    try:
        return not _is_special(path) and path.samefile(other)
    except (OSError, ValueError):
        return False
