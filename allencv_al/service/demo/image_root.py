"""The one folder from which old clients may name images by path."""

from __future__ import annotations

from pathlib import Path

from allencv_al.common.errors import ConfigurationError, DataError, is_machine_fault
from allencv_al.service.web.containment import contained

_REFUSED = "there is no such image below --image-root"


class ImageRoot:
    """Reads the images of one folder; symbolic links that lead out of it are refused.

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

        Args:
            name: A path as it was sent: relative to the folder, or absolute.

        Raises:
            DataError: It is not in the folder, cannot be read, or is too large.
        """
        path = contained(self._root, name)
        if path is None:  # outside, absent, not a file: the answer does not reveal which
            raise DataError(_REFUSED)
        try:
            with path.open("rb") as file:
                content = file.read(self._max_bytes + 1)
        except OSError as error:
            if is_machine_fault(error):
                raise
            raise DataError(_REFUSED) from None
        if len(content) > self._max_bytes:
            raise DataError(f"the image has more than {self._max_bytes} bytes")
        return content
