"""Images as the page shows them: upright, RGB, encoded anew, so that only pixels are sent."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

from PIL import Image

from allencv_al.data.image_io import load_reduced

SIDES = {"full": 2048, "thumb": 256}
"""The most pixels of the longer side, by the name of a size."""

_QUALITY = 90


def picture(source: Path | bytes, size: str, max_pixels: int) -> bytes:
    """Return an image as JPEG, or as PNG where it is so small that every pixel counts.

    Args:
        source: A file or its content.
        size: `full` or `thumb`.
        max_pixels: The largest image that is decoded.

    Raises:
        ImageDecodeError: It cannot be read, or is too large.
    """
    side = SIDES[size]
    pixels = load_reduced(source, side, max_pixels)
    image = Image.fromarray(pixels)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    if max(image.size) <= _SMALL:
        image.save(buffer, "PNG")
    else:
        image.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()


def tag(source: Path | bytes, size: str) -> str:
    """Return what changes when the picture does, without decoding it.

    Raises:
        OSError: The file is gone.
    """
    if isinstance(source, bytes):
        of = hashlib.sha256(source).hexdigest()[:24]
    else:
        status = source.stat()
        of = f"{status.st_mtime_ns:x}-{status.st_size:x}"
    return f"{size}-{of}"


def kind_of(content: bytes) -> str:
    """Return the media type of what `picture` has returned."""
    return "image/png" if content.startswith(b"\x89PNG") else "image/jpeg"


_SMALL = 256
