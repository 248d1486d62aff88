"""Files, bytes, PIL images and arrays to pixels: the only place that decodes.

Whatever goes wrong while a picture is read, the caller sees one error, `ImageDecodeError`. On
damaged files Pillow's decoders raise `OSError`, `ValueError`, `SyntaxError`, `RuntimeError`,
`DecompressionBombError` and more, so `Exception` is caught: here, and only here.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from allencv_al.common.errors import ImageDecodeError

ImageInput = str | Path | bytes | NDArray[np.uint8] | Image.Image

DEFAULT_MAX_PIXELS = 40_000_000

# Pillow also knows formats that start another program (EPS: Ghostscript), have no magic number
# (TGA: any file may "open") or hold further files inside (ICO, ICNS): none of them is asked for.
# HEIF is found when the user has registered a Pillow plugin for it.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000", "DIB", "HEIF")

_ORIENTATION_TAG = 0x0112
_TIFF_BITS_TAG = 258
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_WIDE_GRAY = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")
_PILLOW_WARNINGS = ("ignore", None, Warning, re.compile(r"PIL(\.|$)"), 0)


def load_image(source: ImageInput, max_pixels: int = DEFAULT_MAX_PIXELS) -> NDArray[np.uint8]:
    """Read a picture as an upright RGB array.

    The EXIF orientation is applied. Gray of 16 bits is scaled to 8, not clipped. Float gray must
    lie in 0..1 (taken as 0..255) or in 0..255. Transparent pixels are laid on white, as most pages
    and viewers show them, because the color stored under them is arbitrary; an alpha channel that
    is the same everywhere tells no pixel from another and is dropped. An animation gives its first
    frame. Pillow's own limit holds besides `max_pixels`: twice `PIL.Image.MAX_IMAGE_PIXELS`.

    Args:
        source: A path, the bytes of a file, a PIL image, or a uint8 array `[H, W]`, `[H, W, 1]`,
            `[H, W, 3]` (RGB) or `[H, W, 4]` (RGBA). An RGB array is returned as it is.
        max_pixels: Refuse a larger picture, by its header, before any pixel is decoded.

    Returns:
        uint8 array `[H, W, 3]`, RGB.

    Raises:
        ImageDecodeError: It cannot be read; the message names the source and the cause.
    """
    if isinstance(source, np.ndarray):
        return _rgb_from_array(source)
    with _decoding(source), _opened(source) as image:
        return _to_rgb(_upright(_loaded(image, max_pixels)))


def load_reduced(
    source: ImageInput, side: int, max_pixels: int = DEFAULT_MAX_PIXELS
) -> NDArray[np.uint8]:
    """Read a picture as `load_image` does, at a smaller size where that saves work.

    A JPEG is decoded at a half, a quarter or an eighth of its size, as long as neither side falls
    below `side`; other formats come at full size.

    Args:
        source: As for `load_image`.
        side: How many pixels each side keeps at least, if it has them.
        max_pixels: Refuse a larger picture, by its header, before any pixel is decoded.

    Returns:
        uint8 array `[H, W, 3]`, RGB.

    Raises:
        ImageDecodeError: It cannot be read; the message names the source and the cause.
    """
    if isinstance(source, np.ndarray | Image.Image):
        return load_image(source, max_pixels)
    with _decoding(source), _opened(source) as image:
        _check_size(image, max_pixels)
        image.draft(None, (side, side))
        return _to_rgb(_upright(_loaded(image, max_pixels)))


def image_size(source: str | Path | bytes) -> tuple[int, int]:
    """Return width and height as the header of an image says, nothing decoded.

    What follows the header may still be damaged.

    Args:
        source: A path, or the bytes of a file.

    Raises:
        ImageDecodeError: It is empty, or none of the known raster formats.
    """
    with _decoding(source), _opened(source) as image:
        return image.size


def load_mask(
    source: ImageInput | NDArray[np.integer[Any]], max_pixels: int = DEFAULT_MAX_PIXELS
) -> NDArray[np.uint8]:
    """Read a mask as one class index per pixel.

    Args:
        source: A palette picture (its indices are the classes), a gray one (its values are), a
            1-bit one (0 and 1), an RGB one whose three channels are equal, or an integer array
            `[H, W]`. Class indices are 0..255.
        max_pixels: Refuse a larger picture, by its header, before any pixel is decoded.

    Returns:
        uint8 array `[H, W]`.

    Raises:
        ImageDecodeError: It cannot be read, or does not hold one class index per pixel.
    """
    if isinstance(source, np.ndarray):
        return _class_indices(source, _array_name(source))
    with _decoding(source), _opened(source) as image:
        upright = _upright(_loaded(image, max_pixels))
        if upright.mode in ("LA", "PA", "RGBA"):
            upright = upright.convert(upright.mode[:-1])
        return _class_indices(np.array(upright), source_name(source))


def source_name(source: ImageInput) -> str:
    """Return what an error calls this source."""
    if isinstance(source, np.ndarray):
        return _array_name(source)
    if isinstance(source, Image.Image):
        return str(getattr(source, "filename", "") or "<PIL image>")
    if isinstance(source, bytes):
        return f"<{len(source)} bytes>"
    return str(source)


@contextmanager
def _decoding(source: ImageInput) -> Iterator[None]:
    """Turn any failure into the one error, and keep Pillow's warnings from the caller."""
    # Neither warnings.catch_warnings (it swaps the list under other threads that decode) nor a
    # filter left behind (the user's own Pillow code would lose its warnings): an entry is put in
    # and the same list loses one equal entry, which is safe in any interleaving.
    filters = cast("list[Any]", warnings.filters)
    filters.insert(0, _PILLOW_WARNINGS)
    try:
        yield
    except ImageDecodeError:
        raise
    except Exception as error:
        raise ImageDecodeError(source_name(source), _cause(error, source)) from error
    finally:
        filters.remove(_PILLOW_WARNINGS)


def _cause(error: Exception, source: ImageInput) -> str:
    if isinstance(error, UnidentifiedImageError):
        if _is_empty(source):
            return "it is empty (0 bytes)"
        return "it is none of the known formats (JPEG, PNG, WebP, GIF, BMP, TIFF, PPM, AVIF ...)"
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    return f"{type(error).__name__}: {error}"


def _is_empty(source: ImageInput) -> bool:
    if isinstance(source, bytes):
        return not source
    return isinstance(source, str | Path) and Path(source).stat().st_size == 0


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


@contextmanager
def _opened(source: str | Path | bytes | Image.Image) -> Iterator[Image.Image]:
    if isinstance(source, Image.Image):
        yield source  # the caller's own: not closed
    else:
        stream = io.BytesIO(source) if isinstance(source, bytes) else source
        with Image.open(stream, formats=_formats()) as image:
            yield image


def _loaded(image: Image.Image, max_pixels: int) -> Image.Image:
    _check_size(image, max_pixels)
    image.load()
    return image


def _check_size(image: Image.Image, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise ValueError(
            f"{width}x{height} is {width * height:,} pixels, more than max_pixels ({max_pixels:,})"
        )
    if width * height == 0:
        raise ValueError(f"it has no pixels ({width}x{height})")


def _upright(image: Image.Image) -> Image.Image:
    # After load(): TIFF turns itself there and drops its tag, PNG may hold its EXIF at the end.
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG)
    except Exception:  # damaged EXIF beside sound pixels: the picture is still worth having
        return image
    method = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return image if method is None else image.transpose(method)


def _to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode in _WIDE_GRAY:
        return _repeat_gray(_eight_bits(image))
    if image.has_transparency_data:
        image = _without_alpha(image.convert("RGBA"))
    elif image.mode != "RGB":
        image = image.convert("RGB")
    return np.array(image)


def _without_alpha(image: Image.Image) -> Image.Image:
    alpha = image.getchannel("A")
    lowest, highest = alpha.getextrema()
    if lowest == highest:
        return image.convert("RGB")
    page = Image.new("RGB", image.size, "white")
    page.paste(image, mask=alpha)
    return page


def _eight_bits(image: Image.Image) -> NDArray[np.uint8]:
    values = np.asarray(image)
    lowest, highest = values.min(), values.max()  # NaN fails both comparisons below
    if image.mode == "F":
        if lowest >= 0 and highest <= 255:
            factor = 255.0 if highest <= 1 else 1.0
            return np.rint(values * factor).astype(np.uint8)
        raise ValueError(f"float gray from {lowest} to {highest}, expected 0..1 or 0..255")
    if lowest < 0 or highest > 65535:
        raise ValueError(f"integer gray from {lowest} to {highest}, expected 0..65535 (16 bits)")
    white = 2 ** _declared_bits(image) - 1
    scaled = (values.astype(np.uint32) * 255 + white // 2) // white
    eight_bits: NDArray[np.uint8] = np.minimum(scaled, 255).astype(np.uint8)
    return eight_bits


def _declared_bits(image: Image.Image) -> int:
    """Return the depth of wide gray: Pillow leaves a TIFF of 12 bits in the lower 12 of 16."""
    bits = getattr(image, "tag_v2", {}).get(_TIFF_BITS_TAG)
    return 12 if bits in (12, (12,)) else 16


def _repeat_gray(gray: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(gray[:, :, None], 3, axis=2)


def _array_name(array: NDArray[Any]) -> str:
    return f"<{array.dtype} array {list(array.shape)}>"


def _rgb_from_array(array: NDArray[Any]) -> NDArray[np.uint8]:
    if array.dtype != np.uint8:
        raise ImageDecodeError(
            _array_name(array), "expected dtype uint8 with values 0..255 (RGB, not normalized)"
        )
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or channels not in (1, 3, 4):
        hint = ""
        if array.ndim == 3 and array.shape[0] in (1, 3, 4):
            hint = "; this looks like channels first: transpose(1, 2, 0)"
        raise ImageDecodeError(
            _array_name(array), f"expected shape [H, W, 3], [H, W], [H, W, 1] or [H, W, 4]{hint}"
        )
    if array.size == 0:
        raise ImageDecodeError(_array_name(array), "it has no pixels")
    if channels == 1:
        return _repeat_gray(array.reshape(array.shape[:2]))
    if channels == 4:
        return np.array(_without_alpha(Image.fromarray(np.ascontiguousarray(array))))
    return np.ascontiguousarray(array)


def _class_indices(values: NDArray[Any], name: str) -> NDArray[np.uint8]:
    if values.ndim == 3 and values.shape[2] == 3 and (values == values[:, :, :1]).all():
        values = values[:, :, 0]
    if values.ndim != 2:
        raise ImageDecodeError(
            name,
            "expected one class index per pixel (a palette, gray or 1-bit picture), found colors",
        )
    if values.dtype.kind not in "iub":
        raise ImageDecodeError(name, f"expected integer class indices, found {values.dtype}")
    if values.size and (values.min() < 0 or values.max() > 255):
        raise ImageDecodeError(
            name, f"expected class indices 0..255, found {values.min()}..{values.max()}"
        )
    return np.ascontiguousarray(values, dtype=np.uint8)
