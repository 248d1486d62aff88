"""The errors a user can cause, in one tree.

::

    AllenCVError                 one message, no traceback on the command line; .exit_code
    ├── ConfigurationError       a config, an option or a constructor argument is wrong      2
    │   └── ConfigurationFaults  ... several of them, each with its path                     2
    ├── ComponentError           a component of the user's own breaks its contract            2
    ├── DataError                a data set is missing, empty or not what it should be       2
    │   └── LabelConflict        ... or labels that others have changed (label_store.py)     2
    ├── ImageDecodeError         one image cannot be read                                    2
    ├── WeightsError             a weights file is absent or does not fit                    2
    ├── ArchiveError             a model archive is damaged, foreign or unsafe               2
    ├── CheckpointError          a checkpoint cannot be written or read                      1
    ├── TrainingError            training cannot continue (NaN loss, out of memory)          1
    ├── WaitingForLabels         an annotator must label first (labels/annotators/)          3
    └── TrainingInterrupted      a signal ended the training (training/interruption.py) 130, 143
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

PROBLEMS_SHOWN = 10


class AllenCVError(Exception):
    """The root of the tree: a mistake that a message can explain, so no traceback is shown."""

    exit_code = 2


class ConfigurationError(AllenCVError):
    """A config, an option or a constructor argument is wrong."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a config.

    Args:
        path: Its place, as dotted keys and list indices (`trainer.optimizer.lr`).
        message: The finding and the remedy.
    """

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class ConfigurationFaults(ConfigurationError):  # noqa: N818  several faults, one error
    """Everything that is wrong with a config, one line each.

    Args:
        faults: At least one fault, in the order of the config.
        source: The thing that was checked, such as a file, for the head line.
    """

    def __init__(self, faults: Sequence[Fault], source: str = "the configuration") -> None:
        self.faults = tuple(faults)
        self.source = source
        count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        super().__init__(
            "\n".join([f"{count} in {source}:", *(f"  {fault}" for fault in self.faults)])
        )

    def __reduce__(self) -> tuple[type[ConfigurationFaults], tuple[tuple[Fault, ...], str]]:
        return type(self), (self.faults, self.source)  # comes back whole from a worker process


class ComponentError(AllenCVError):
    """A component of the user's own, such as a strategy, returns or lacks something.

    The message names the component, what it returned and what is expected of it.
    """


class DataError(AllenCVError):
    """A data set is missing, empty or not what it should be."""


def raise_problems(where: object, problems: Iterable[str], remedy: str = "") -> None:
    """Raise one DataError that lists the first problems and counts the rest; do nothing for none.

    Args:
        where: The file or component that the problems belong to.
        problems: One line for each problem.
        remedy: The last line of the message.
    """
    listed = list(problems)
    if not listed:
        return
    count = "1 problem" if len(listed) == 1 else f"{len(listed)} problems"
    lines = [f"{where}: {count}:", *(f"  {problem}" for problem in listed[:PROBLEMS_SHOWN])]
    if len(listed) > PROBLEMS_SHOWN:
        lines.append(f"  ... and {len(listed) - PROBLEMS_SHOWN} more")
    raise DataError("\n".join([*lines, remedy] if remedy else lines))


class ImageDecodeError(AllenCVError):
    """One image cannot be read.

    Args:
        source: The file, or a placeholder for it (`<12 kB of bytes>`).
        cause: Why, in the decoder's words or ours.
    """

    def __init__(self, source: str, cause: str) -> None:
        self.source = source
        self.cause = cause
        super().__init__(f"{source}: cannot be read as an image: {cause}")

    def __reduce__(self) -> tuple[type[ImageDecodeError], tuple[str, str]]:
        return type(self), (self.source, self.cause)  # comes back whole from a worker process


class WeightsError(AllenCVError):
    """A weights file is absent or does not fit the module."""


class ArchiveError(AllenCVError):
    """A model archive is damaged, foreign or unsafe."""


class CheckpointError(AllenCVError):
    """A checkpoint cannot be written or read."""

    exit_code = 1


class TrainingError(AllenCVError):
    """Training cannot continue."""

    exit_code = 1


# Faults of the machine, not of one file: whatever is read next would fail as well. Too many open
# files, no memory, a full or broken disk, a network file system that is gone.
# Permissions and names belong to one file, and are that file's fault.
_MACHINE_NAMES = (
    *("EMFILE", "ENFILE", "ENOMEM", "ENOBUFS", "EIO", "EREMOTEIO", "ENODEV", "ENXIO", "ESTALE"),
    *("ENOSPC", "EDQUOT"),
    *("ENOTCONN", "ECONNABORTED", "ECONNRESET", "ETIMEDOUT", "ESHUTDOWN"),
    *("ENETDOWN", "ENETUNREACH", "EHOSTDOWN", "EHOSTUNREACH"),
)
# A path that is not there, not ours, or of another kind: the user can name another
_OF_PATHS = frozenset(
    (
        *(errno.ENOENT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR),
        *(errno.EEXIST, errno.ENOTEMPTY, errno.ENAMETOOLONG, errno.ELOOP),
    )
)
_MACHINE_NUMBERS = frozenset(
    getattr(errno, name) for name in _MACHINE_NAMES if hasattr(errno, name)
)


def is_machine_fault(error: BaseException) -> bool:
    """Return whether an error is the machine's, so that it must not be counted as a file's."""
    return isinstance(error, MemoryError) or (
        isinstance(error, OSError) and error.errno in _MACHINE_NUMBERS
    )


def is_of_a_path(error: OSError) -> bool:
    """Return whether an error is that of a path the user named and can correct."""
    return error.errno in _OF_PATHS


def machine_fault(error: BaseException, name: str) -> OSError | None:
    """Return a fault of the machine under its own name, and None for any other error.

    Args:
        error: The raised error.
        name: The file that was being read.
    """
    if not is_machine_fault(error):
        return None
    number = error.errno if isinstance(error, OSError) else errno.ENOMEM
    return OSError(number, os.strerror(number or 0), name)
