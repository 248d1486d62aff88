"""Files, bytes, PIL images and arrays to pixels: the only place that decodes.

Whatever goes wrong while a picture is read, the caller sees one error, `ImageDecodeError`. On
damaged files Pillow's decoders raise `OSError`, `ValueError`, `SyntaxError`, `RuntimeError`,
`DecompressionBombError` and more, so `Exception` is caught: here, and only here.
"""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from allencv_al.common.errors import ImageDecodeError, machine_fault
from allencv_al.data.drawn_masks import DrawnMask
from allencv_al.data.image_formats import FormatError, cicp, load, opened
from allencv_al.data.image_pixels import WIDE_GRAY, on_white, orientation, rgb_pixels, upright

logger = logging.getLogger(__name__)

ImageInput = str | Path | bytes | NDArray[np.uint8] | Image.Image

DEFAULT_MAX_PIXELS = 64_000_000  # phones take photographs of 48 and 50 million

# A JPEG that is decoded at a part of its size takes little memory, but its file is read as a whole
_MOST_REDUCED = 4

_LATE_EXIF_BYTES = 1 << 16

_FORMATS_OF_PAGES = ("TIFF", "GIF", "PNG", "WEBP", "AVIF")
_PAGES = "it has several pages or frames, and the first one was read"
_said: set[str] = set()

_PILLOW_WARNINGS = ("ignore", None, Warning, re.compile(r"PIL(\.|$)"), 0)


def load_image(
    source: ImageInput, max_pixels: int = DEFAULT_MAX_PIXELS, raw_colors: bool = False
) -> NDArray[np.uint8]:
    """Read an image as an upright RGB array.

    The EXIF orientation is applied. Colors come in sRGB, as browsers show them: an ICC profile, or
    what a PNG says in cICP, or gAMA and cHRM, is followed. Gray of 16 bits is scaled to 8, not
    clipped. Float gray must lie in 0..1 (taken as 0..255) or in 0..255. Transparent pixels are laid
    on white, as most pages and viewers show them, because the color stored under them is
    arbitrary; an alpha channel that is the same everywhere tells no pixel from another and is
    dropped. An animation gives its first frame, a document its first page. Pillow's own limit holds
    besides `max_pixels`: twice `PIL.Image.MAX_IMAGE_PIXELS`.

    Args:
        source: A path, the bytes of a file, a PIL image, or a uint8 array `[H, W]`, `[H, W, 1]`,
            `[H, W, 3]` (RGB) or `[H, W, 4]` (RGBA). An RGB array is returned as it is.
        max_pixels: Refuse a larger picture, by its header, before any pixel is decoded.
        raw_colors: Return the values as they are stored, whatever colors the file says they are.

    Returns:
        uint8 array `[H, W, 3]`, RGB.

    Raises:
        ImageDecodeError: It cannot be read; the message names the source and the cause.
        OSError: The machine cannot read any file: too many are open, memory or a disk is missing.
    """
    if isinstance(source, np.ndarray):
        return _rgb_from_array(source)
    with _decoding(source), opened(source) as image:
        return _pixels(image, source, max_pixels, raw_colors)


def load_reduced(
    source: ImageInput,
    side: int,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    raw_colors: bool = False,
    above: int = 0,
) -> NDArray[np.uint8]:
    """Read an image as `load_image` does, at a smaller size where that saves work.

    A JPEG is decoded at a half, a quarter or an eighth of its size, as long as neither side falls
    below `side`; other formats come at full size.

    Args:
        source: As for `load_image`.
        side: Pixels that each side keeps at least, if it has them.
        max_pixels: Refuse a picture that is larger when it is decoded, by its header. In the file
            it may have four times as many.
        raw_colors: As for `load_image`.
        above: A JPEG of no more pixels comes at full size.

    Returns:
        uint8 array `[H, W, 3]`, RGB.

    Raises:
        ImageDecodeError: It cannot be read; the message names the source and the cause.
        OSError: The machine cannot read any file.
    """
    if isinstance(source, np.ndarray | Image.Image):
        return load_image(source, max_pixels, raw_colors)
    with _decoding(source), opened(source) as image:
        if image.width * image.height > above:
            _check_size(image, _MOST_REDUCED * max_pixels)
            image.draft(None, (side, side))
        return _pixels(image, source, max_pixels, raw_colors)


def image_size(source: str | Path | bytes) -> tuple[int, int]:
    """Return width and height as the header of an image says, nothing decoded.

    What follows the header may still be damaged.

    Args:
        source: A path, or the bytes of a file.

    Raises:
        ImageDecodeError: It is empty, or none of the known raster formats.
        OSError: The machine cannot read any file.
    """
    with _decoding(source), opened(source) as image:
        return image.size


@dataclass(frozen=True, slots=True)
class ImageFrame:
    """The size of an image as its file stores it, and the turn that makes it upright.

    Args:
        width: Width of the stored pixels.
        height: Height of the stored pixels.
        orientation: EXIF orientation, 1..8; 1 where the stored pixels are upright.
    """

    width: int
    height: int
    orientation: int = 1

    @property
    def upright_size(self) -> tuple[int, int]:
        """Width and height as `load_image` returns the image."""
        # 5 to 8 exchange rows and columns
        return (self.height, self.width) if self.orientation > 4 else (self.width, self.height)


def image_frame(source: str | Path | bytes) -> ImageFrame:
    """Return size and orientation as the header of an image says, nothing decoded.

    Args:
        source: A path, or the bytes of a file.

    Raises:
        ImageDecodeError: It is empty, or none of the known raster formats.
        OSError: The machine cannot read any file.
    """
    with _decoding(source), opened(source) as image:
        turned = image.format != "PNG" or "exif" in image.info or _has_late_exif(image)
        return ImageFrame(*image.size, orientation(image) if turned else 1)


def load_mask(
    source: ImageInput | NDArray[np.integer[Any]] | DrawnMask,
    max_pixels: int = DEFAULT_MAX_PIXELS,
) -> NDArray[np.uint8]:
    """Read a mask as one class index per pixel.

    Args:
        source: A palette picture (its indices are the classes), a gray one (its values are), a
            1-bit one (0 and 1), an RGB one whose three channels are equal, an integer array
            `[H, W]`, or a mask that is drawn from regions. Class indices are 0..255.
        max_pixels: Refuse a larger picture, by its header, before any pixel is decoded.

    Returns:
        uint8 array `[H, W]`.

    Raises:
        ImageDecodeError: It cannot be read, or does not hold one class index per pixel.
        OSError: The machine cannot read any file.
    """
    if isinstance(source, np.ndarray):
        return _class_indices(source, _array_name(source))
    if isinstance(source, DrawnMask):
        try:
            return source.pixels()
        except ValueError as error:
            raise ImageDecodeError(source.name, str(error)) from None
    with _decoding(source), opened(source) as image:
        _check_size(image, max_pixels)
        load(image)
        turned = upright(image)
        if turned.mode in ("LA", "PA", "RGBA"):
            turned = turned.convert(turned.mode[:-1])
        return _class_indices(np.array(turned), source_name(source))


def source_name(source: ImageInput | DrawnMask) -> str:
    """Return the name of a source for error messages."""
    if isinstance(source, DrawnMask):
        return source.name
    if isinstance(source, np.ndarray):
        return _array_name(source)
    if isinstance(source, Image.Image):
        return str(getattr(source, "filename", "") or "<PIL image>")
    if isinstance(source, bytes):
        return f"<{len(source)} bytes>"
    return str(source)


@contextmanager
def _decoding(source: ImageInput) -> Iterator[None]:
    """Raise any failure as an ImageDecodeError, and silence Pillow's warnings.

    A fault of the machine stays an `OSError` under its own name.
    """
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
        name = source_name(source)
        fault = machine_fault(error, name) or _reading_fault(error, source)
        if fault is not None:
            raise fault from error
        raise ImageDecodeError(name, _cause(error)) from error
    finally:
        filters.remove(_PILLOW_WARNINGS)


def _reading_fault(error: Exception, source: ImageInput) -> OSError | None:
    """Return the machine's fault behind a decoder's, which reads the file itself in C."""
    if not isinstance(source, str | Path) or (isinstance(error, OSError) and error.errno):
        return None
    try:
        with Path(source).open("rb") as file:
            while file.read(1 << 20):
                pass
    except OSError as reading:
        return machine_fault(reading, str(source))
    return None


def _cause(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    if isinstance(error, FormatError):
        return str(error)
    if isinstance(error, Image.DecompressionBombError):
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        return f"it has more pixels than Pillow decodes ({most:,}), whatever max_pixels says"
    return f"{type(error).__name__}: {error}"


def _pixels(
    image: Image.Image, source: ImageInput, max_pixels: int, raw_colors: bool
) -> NDArray[np.uint8]:
    _check_size(image, max_pixels)
    wide = _wide_kind(image)
    color_chunk = None if raw_colors else cicp(image)
    load(image)
    pixels = rgb_pixels(upright(image), raw_colors, color_chunk)
    if wide is not None:
        _say_once(wide, source)
    if image.format in _FORMATS_OF_PAGES and _PAGES not in _said and _has_pages(image):
        _say_once(_PAGES, source)
    return pixels


def _check_size(image: Image.Image, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise FormatError(
            f"{width}x{height} is {width * height:,} pixels, more than max_pixels "
            f"({max_pixels:,}); a dataset reader takes more with a higher max_pixels"
        )
    if width * height == 0:
        raise FormatError(f"it has no pixels ({width}x{height})")


def _wide_kind(image: Image.Image) -> str | None:
    """Return the note on an image of more than 8 bits a channel, before it is loaded."""
    if image.mode == "F":
        return "float values were scaled to 8 bits"
    tiles = image.tile if isinstance(image, ImageFile.ImageFile) else []
    if image.mode in WIDE_GRAY or any(";16" in str(tile.args) for tile in tiles[:1]):
        return "values of more than 8 bits were scaled to 8 bits"
    return None


def _has_late_exif(image: Image.Image) -> bool:
    """Return whether a PNG may have its EXIF behind its pixels, where Pillow decodes them first."""
    stream = image.fp if isinstance(image, ImageFile.ImageFile) else None
    if stream is None:
        return True
    place = stream.tell()
    stream.seek(max(0, stream.seek(0, os.SEEK_END) - _LATE_EXIF_BYTES))
    tail = stream.read()
    stream.seek(place)
    return b"eXIf" in tail


def _has_pages(image: Image.Image) -> bool:
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception:  # what follows the first page may be damaged
        return False


def _say_once(what: str, source: ImageInput) -> None:
    if what not in _said:
        _said.add(what)
        logger.info("%s: %s (said once)", source_name(source), what)


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
        return np.repeat(array.reshape((*array.shape[:2], 1)), 3, axis=2)
    if channels == 4:
        image = Image.fromarray(np.ascontiguousarray(array))
        return np.array(on_white(image.convert("RGB"), image.getchannel("A")))
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
