"""The one folder from which old clients may name images by path."""

from __future__ import annotations

import stat
from pathlib import Path

from allencv_al.common.errors import ConfigurationError, DataError

_REFUSED = "there is no such image below --image-root"


def contained(root: Path, name: str) -> Path:
    """Return the file that a name means, if it lies in the folder; the only place that decides so.

    Args:
        root: The folder, without symbolic links in its own path (`Path.resolve`).
        name: A path as it was sent: relative to the folder, or absolute. Symbolic links are
            followed first, so that one which leads outside is refused.

    Raises:
        DataError: It is outside, absent, or no plain file. The message is the same for all, so
            that nobody learns what lies outside.
    """
    try:
        path = (root / name).resolve(strict=True)
        is_inside = path.is_relative_to(root) and stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError, RuntimeError):  # absent; a zero byte; links in a circle
        is_inside = False
    if not is_inside:
        raise DataError(_REFUSED)
    return path


class ImageRoot:
    """Reads the images of one folder.

    Args:
        folder: The folder, with all below it.
        max_bytes: The largest file that is read.

    Raises:
        ConfigurationError: It is no folder.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        if not folder.is_dir():
            raise ConfigurationError(f"--image-root: expected a folder, found none at {folder}")
        self._root = folder.resolve()
        self._max_bytes = max_bytes

    def read(self, name: str) -> bytes:
        """Return the content of an image.

        Raises:
            DataError: It is not in the folder, cannot be read, or is too large.
        """
        path = contained(self._root, name)
        try:
            with path.open("rb") as file:
                content = file.read(self._max_bytes + 1)
        except OSError:
            raise DataError(_REFUSED) from None
        if len(content) > self._max_bytes:
            raise DataError(f"the image has more than {self._max_bytes} bytes")
        return content
