"""Faults of the machine, not of one file: whatever is read next would fail as well."""

from __future__ import annotations

import errno
import os

# Too many open files, no memory, a full or broken disk, a network file system that is gone.
# Permissions and names belong to one file, and are that file's fault.
_NAMES = (
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
_NUMBERS = frozenset(getattr(errno, name) for name in _NAMES if hasattr(errno, name))


def is_machine_fault(error: BaseException) -> bool:
    """Return whether an error is the machine's, so that it must not be counted as a file's."""
    return isinstance(error, MemoryError) or (
        isinstance(error, OSError) and error.errno in _NUMBERS
    )


def is_of_a_path(error: OSError) -> bool:
    """Return whether an error is that of a path the user named and can correct."""
    return error.errno in _OF_PATHS


def machine_fault(error: BaseException, name: str) -> OSError | None:
    """Return a fault of the machine under its own name, and None for any other error.

    Args:
        error: What was raised.
        name: The file that was being read.
    """
    if not is_machine_fault(error):
        return None
    number = error.errno if isinstance(error, OSError) else errno.ENOMEM
    return OSError(number, os.strerror(number or 0), name)
