"""Images as the text of a data URL, the form in which AllenCV's page sent them."""

from __future__ import annotations

import base64
import binascii
from urllib.parse import unquote_to_bytes

from allencv_al.common.errors import DataError

PREFIX = b"data:"
_SHOWN = 40  # characters of a type that an error repeats


def is_data_url(body: bytes) -> bool:
    """Return whether a body is the text of a data URL."""
    return body[: len(PREFIX)].lower() == PREFIX


def decode_data_url(text: bytes) -> bytes:
    """Return the bytes that a data URL of an image holds (RFC 2397).

    Args:
        text: `data:image/png;base64,...`, of any image type, with or without `;base64`. The type is
            ignored: the decoder detects the format from the bytes.

    Raises:
        DataError: It holds no image, or is cut off.
    """
    head, comma, data = text[len(PREFIX) :].partition(b",")
    kind, *parameters = (part.strip().lower() for part in head.split(b";"))
    if not comma:
        raise DataError("data URL: expected data:image/...;base64,..., found no comma")
    if not kind.startswith(b"image/") and kind not in (b"", b"application/octet-stream"):
        found = kind[:_SHOWN].decode("ascii", "backslashreplace")
        raise DataError(f"data URL: expected an image type such as image/png, found {found}")
    if b"base64" not in parameters:
        return unquote_to_bytes(data)
    try:
        # Some senders escape the signs + / = of base64, and old ones break its lines.
        plain = unquote_to_bytes(data) if b"%" in data else data
        return base64.b64decode(b"".join(plain.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError(f"data URL: its base64 cannot be decoded: {error}") from None
