"""Sources of images in requests: data URLs, and files below the folder of `--image-root`."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from urllib.parse import unquote_to_bytes

from allencv_al.common.errors import ConfigurationError, DataError, is_machine_fault
from allencv_al.service.web.served_files import contained

_DATA_URL = b"data:"
_SHOWN = 40  # characters of a media type that an error repeats
_REFUSED = "there is no such image below --image-root"


def is_data_url(body: bytes) -> bool:
    """Return whether a body is a data URL."""
    return body[: len(_DATA_URL)].lower() == _DATA_URL


def decode_data_url(text: bytes) -> bytes:
    """Decode the data URL of an image (RFC 2397).

    Args:
        text: `data:image/png;base64,...`, of any image type, with or without `;base64`. The type is
            ignored: the decoder detects the format from the bytes.

    Raises:
        DataError: The type is not that of an image, or the base64 is invalid.
    """
    head, comma, data = text[len(_DATA_URL) :].partition(b",")
    kind, *parameters = (part.strip().lower() for part in head.split(b";"))
    if not comma:
        raise DataError("data URL: expected data:image/...;base64,..., found no comma")
    if not kind.startswith(b"image/") and kind not in (b"", b"application/octet-stream"):
        found = kind[:_SHOWN].decode("ascii", "backslashreplace")
        raise DataError(f"data URL: expected an image type such as image/png, found {found}")
    if b"base64" not in parameters:
        return unquote_to_bytes(data)
    try:
        # Some clients percent-encode + / =, and old ones break the lines.
        plain = unquote_to_bytes(data) if b"%" in data else data
        return base64.b64decode(b"".join(plain.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError(f"data URL: invalid base64: {error}") from None


class ImageRoot:
    """Reads image files below one folder; symbolic links that lead outside are refused.

    Args:
        folder: The folder.
        max_bytes: Largest file in bytes.

    Raises:
        ConfigurationError: It is not a folder.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        if not folder.is_dir():
            raise ConfigurationError(f"--image-root: expected a folder, found none at {folder}")
        self._root = folder.resolve()
        self._max_bytes = max_bytes

    def read(self, name: str) -> bytes:
        """Read an image.

        Args:
            name: A path from a request: relative to the folder, or absolute.

        Raises:
            DataError: The image is not in the folder, cannot be read, or is too large.
        """
        path = contained(self._root, name)
        if path is None:  # outside, absent or not a file: the response must not reveal which
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
