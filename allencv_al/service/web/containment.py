"""The only place that decides whether a file lies in a folder."""

from __future__ import annotations

import stat
from pathlib import Path

from allencv_al.common.errors import is_machine_fault


def contained(root: Path, name: str) -> Path | None:
    """Return the plain file that a name means, if it lies in the folder; else None.

    Args:
        root: The folder, without symbolic links in its own path (`Path.resolve`).
        name: A path as it was sent: relative to the folder, or absolute. Symbolic links are
            followed first, so that one which leads outside is refused.
    """
    try:
        path = (root / name).resolve(strict=True)
        is_inside = path.is_relative_to(root) and stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError, RuntimeError) as error:  # absent; a zero byte; links in a circle
        if is_machine_fault(error):
            raise
        return None
    return path if is_inside else None
