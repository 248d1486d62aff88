"""Images that strangers send: what their headers say, before anything is decoded."""

from __future__ import annotations

import io
import warnings

from PIL import Image, UnidentifiedImageError

from allencv_al.service.web.errors import WebError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")


def check_image(content: bytes, max_pixels: int) -> None:
    """Raise unless bytes are an image of a known raster format and size, by their header.

    Nothing is decoded; what follows the header may still be damaged.

    Args:
        content: What was sent.
        max_pixels: The most pixels it may have.

    Raises:
        WebError: It is empty, of another kind (SVG and HTML are), or too large.
    """
    if not content:
        raise WebError(422, "not_an_image", "expected an image, found nothing")
    try:
        width, height = _size(content)
    except UnidentifiedImageError:
        raise WebError(
            422, "not_an_image", f"expected an image ({', '.join(FORMATS)}), found something else"
        ) from None
    except Image.DecompressionBombError:
        raise _too_large(f"more than twice {Image.MAX_IMAGE_PIXELS:,}", max_pixels) from None
    except Exception as error:  # Pillow raises many kinds on what is damaged
        raise WebError(
            422, "not_an_image", f"the image is damaged: {type(error).__name__}"
        ) from None
    if width * height > max_pixels:
        raise _too_large(f"{width}x{height}", max_pixels)


def _size(content: bytes) -> tuple[int, int]:
    with warnings.catch_warnings(action="ignore"):
        image = Image.open(io.BytesIO(content), formats=_known())
    return image.size


def _known() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _too_large(found: str, max_pixels: int) -> WebError:
    return WebError(
        413, "too_many_pixels", f"expected an image of at most {max_pixels:,} pixels, found {found}"
    )
