"""Images that strangers send: what their headers say, before anything is decoded."""

from __future__ import annotations

from PIL import Image

from allencv_al.common.errors import ImageDecodeError
from allencv_al.data.image_io import image_size
from allencv_al.service.web.errors import WebError


def check_image(content: bytes, max_pixels: int) -> None:
    """Raise unless bytes are an image of a known raster format and size, by their header.

    Nothing is decoded; what follows the header may still be damaged.

    Args:
        content: What was sent.
        max_pixels: The most pixels it may have.

    Raises:
        ImageDecodeError: It is empty or of another kind (SVG and HTML are).
        WebError: It is too large (413).
    """
    try:
        width, height = image_size(content)
    except ImageDecodeError as error:
        if isinstance(error.__cause__, Image.DecompressionBombError):
            raise _too_large("far more", max_pixels) from None
        raise
    if width * height > max_pixels:
        raise _too_large(f"{width}x{height}", max_pixels)


def _too_large(found: str, max_pixels: int) -> WebError:
    return WebError(
        413, "too_many_pixels", f"expected an image of at most {max_pixels:,} pixels, found {found}"
    )
