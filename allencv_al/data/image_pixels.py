"""A loaded Pillow image of any mode to upright, opaque RGB of 8 bits in sRGB."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from allencv_al.common.errors import is_machine_fault
from allencv_al.data.image_color import in_srgb
from allencv_al.data.image_formats import FormatError, declared_bits, is_signed, is_white_zero

_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
WIDE_GRAY = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")
_GRAY_MODES = ("1", "L", "LA", "La")

# Float gray of 0..1 may pass its ends by an eighth, as resampling and sharpening do. One whose
# brightest value lies between that and an eighth of 255 may be either kind: it is refused.
_OVERSHOOT = 0.125
_LEAST_WHITE_OF_255 = 32
_LEAST_WHITE_OF_16_BITS = 4096
_EXPECTED_INTEGERS = "expected 0..255 (8 bits) or 0..65535 (16 bits, some of them above 4095)"


def upright(image: Image.Image) -> Image.Image:
    """Return a loaded image turned as its EXIF orientation says."""
    # After load(): TIFF turns itself there and drops its tag, PNG may hold its EXIF at the end.
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG)
    except Exception as error:  # damaged EXIF beside sound pixels: the picture is worth having
        if is_machine_fault(error):
            raise
        return image
    method = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return image if method is None else image.transpose(method)


def rgb_pixels(
    image: Image.Image, raw_colors: bool = False, cicp: bytes | None = None
) -> NDArray[np.uint8]:
    """Return the pixels of a loaded image: uint8 `[H, W, 3]`, RGB, on white, in sRGB.

    Args:
        image: Any mode.
        raw_colors: Whether the file's values are taken as they are.
        cicp: The content of a PNG's cICP chunk.

    Raises:
        FormatError: The value of white is unknown.
    """
    colors, alpha = _parts(image)
    if not raw_colors or colors.mode == "LAB":
        colors = in_srgb(colors, image.info, cicp)
    if colors.mode != "RGB":
        colors = colors.convert("RGB")
    return np.array(colors if alpha is None else on_white(colors, alpha))


def on_white(colors: Image.Image, alpha: Image.Image) -> Image.Image:
    """Lay an RGB image on white, but for an alpha that is the same everywhere.

    Args:
        colors: The image, mode RGB.
        alpha: How opaque its pixels are, mode L.
    """
    lowest, highest = alpha.getextrema()
    if lowest == highest:
        return colors
    page = Image.new("RGB", colors.size, "white")
    page.paste(colors, mask=alpha)
    return page


def _parts(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Return the colors of 8 bits (L, RGB, CMYK or LAB), and how opaque they are if that varies."""
    if image.mode in WIDE_GRAY:
        gray = Image.fromarray(eight_bits(image))
        transparent = image.info.get("transparency")
        if not isinstance(transparent, int):
            return gray, None
        opaque = np.where(np.asarray(image) == transparent, np.uint8(0), np.uint8(255))
        return gray, Image.fromarray(opaque)
    if image.has_transparency_data:
        mode = "LA" if image.mode in _GRAY_MODES else "RGBA"
        both = image if image.mode == mode else image.convert(mode)
        if mode == "LA":
            return both.getchannel("L"), both.getchannel("A")
        return both.convert("RGB"), both.getchannel("A")
    if image.mode == "1":
        return image.convert("L"), None
    return (image if image.mode in ("L", "RGB", "CMYK", "LAB") else image.convert("RGB")), None


def eight_bits(image: Image.Image) -> NDArray[np.uint8]:
    """Return gray of more than 8 bits scaled to 8, not clipped.

    Args:
        image: Of one of the modes `WIDE_GRAY`.

    Raises:
        FormatError: Its values do not tell what is white.
    """
    values = np.asarray(image)
    lowest, highest = values.min(), values.max()  # NaN fails all comparisons
    gray = _floats(values, lowest, highest) if image.mode == "F" else _integers(image, values)
    return 255 - gray if is_white_zero(image) else gray


def _floats(values: NDArray[Any], lowest: Any, highest: Any) -> NDArray[np.uint8]:
    gray: NDArray[np.uint8]
    if lowest >= -_OVERSHOOT and highest <= 1 + _OVERSHOOT:
        gray = np.rint(np.clip(values, 0, 1) * 255.0).astype(np.uint8)
        return gray
    if lowest >= 0 and _LEAST_WHITE_OF_255 <= highest <= 255:
        gray = np.rint(values).astype(np.uint8)
        return gray
    raise FormatError(
        f"float gray from {lowest} to {highest}, expected 0..1 or 0..255 (some of it above "
        f"{_LEAST_WHITE_OF_255})"
    )


def _integers(image: Image.Image, values: NDArray[Any]) -> NDArray[np.uint8]:
    white = _white(image, int(values.min()), int(values.max()))
    scaled = (values.astype(np.uint32) * 255 + white // 2) // white
    eight: NDArray[np.uint8] = np.minimum(scaled, 255).astype(np.uint8)
    return eight


def _white(image: Image.Image, lowest: int, highest: int) -> int:
    bits = declared_bits(image)
    if image.mode != "I":  # Pillow leaves a TIFF of 12 bits in the lower 12 of 16
        return 4095 if bits == 12 else 65535
    if lowest >= 0 and highest <= 65535:
        if image.format in ("PPM", "PNG", "JPEG2000"):  # Pillow has scaled them to 16 bits
            return 65535
        if highest <= 255:
            return 255
        if highest >= _LEAST_WHITE_OF_16_BITS and not (bits == 16 and is_signed(image)):
            return 65535
    size = f"{bits}-bit " if bits else ""
    raise FormatError(f"{size}integer gray from {lowest} to {highest}, {_EXPECTED_INTEGERS}")
