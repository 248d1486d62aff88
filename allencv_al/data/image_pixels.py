"""A loaded Pillow image of any mode to upright, opaque RGB of 8 bits in sRGB."""

from __future__ import annotations

import io
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from allencv_al.common.errors import is_machine_fault
from allencv_al.data.image_formats import FormatError, declared_bits, is_signed, is_white_zero

logger = logging.getLogger(__name__)

_SPACES = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}
_PROFILE_CLASSES = ("scnr", "mntr", "prtr", "spac")  # not those that link or name colors
_NO_DIFFERENCE = 2  # levels; the sRGB profiles of different makers differ by as much
_STRIP = 1 << 18  # pixels that are computed at once in float32

_Matrix = NDArray[np.float64]
_SRGB_CHROMATICITIES = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
# Bradford's, as ICC profiles adapt one white to another
_CONES = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_SRGB_GAMMA = 1 / 2.2
_SAME_GAMMA = 0.05  # libpng and Chromium take a gamma that is as near to 1 / 2.2 for sRGB's

# cICP: numbers of ITU-T H.273
_PRIMARIES = {
    1: _SRGB_CHROMATICITIES,
    5: (0.3127, 0.329, 0.64, 0.33, 0.29, 0.6, 0.15, 0.06),
    6: (0.3127, 0.329, 0.63, 0.34, 0.31, 0.595, 0.155, 0.07),
    9: (0.3127, 0.329, 0.708, 0.292, 0.17, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
    12: (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
}
# Those of television (1, 6, 14, 15) are shown with 2.4, as BT.1886 says of displays
_POWERS = {1: 2.4, 4: 2.2, 5: 2.8, 6: 2.4, 8: 1.0, 14: 2.4, 15: 2.4}
_SRGB_CURVE = 13

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


@dataclass(frozen=True)
class ColorSpace:
    """Color space of stored values other than sRGB.

    Args:
        curve: The light of each value 0..255, 0..1.
        to_srgb: From the file's light to that of sRGB `[3, 3]`; None where the colors are the same.
    """

    curve: NDArray[np.float64]
    to_srgb: _Matrix | None


def in_srgb(image: Image.Image, info: Mapping[Any, Any], cicp: bytes | None = None) -> Image.Image:
    """Return an image in sRGB; unchanged if its file names no other color space.

    Args:
        image: Of mode L, RGB, CMYK or LAB, without transparency.
        info: Its file's metadata, as Pillow gives it.
        cicp: The content of a PNG's cICP chunk; it goes before all others.
    """
    if image.mode == "LAB":
        return _lab_transform().apply(image)
    space = None if cicp is None else _cicp_space(cicp)
    profile = info.get("icc_profile")
    if space is None and isinstance(profile, bytes) and profile and image.mode in _SPACES:
        transform = _transform(profile, image.mode)
        return image if transform is None else transform.apply(image)
    if space is None and "srgb" not in info and "gamma" in info:
        space = _png_space(info["gamma"], info.get("chromaticity"))
    return image if space is None else _from_space(image, space)


@lru_cache(maxsize=32)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return the transform from a profile's colors to sRGB; None where it changes nothing."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        kind, space = source.profile.device_class, source.profile.xcolor_space.strip()
        if kind.strip() not in _PROFILE_CLASSES:
            raise ImageCms.PyCMSError(f'expected the profile of a device, found class "{kind}"')
        if space != _SPACES[mode]:
            return None  # a gray image with an RGB profile, as some programs write
        transform = ImageCms.buildTransform(source, _srgb(), mode, "RGB")
        grid = _grid(mode)
        changed, unchanged = np.array(transform.apply(grid)), np.array(grid.convert("RGB"))
        difference = np.abs(changed.astype(np.int16) - unchanged).max()
    except Exception as error:
        if is_machine_fault(error):
            raise
        logger.warning("a broken ICC profile was ignored (said once for each): %s", error)
        return None
    return None if difference <= _NO_DIFFERENCE else transform


@cache
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


@cache
def _lab_transform() -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(ImageCms.createProfile("LAB"), _srgb(), "LAB", "RGB")


def _grid(mode: str) -> Image.Image:
    """Return an image with a grid of colors over the whole space."""
    steps = np.arange(0, 256, 17, dtype=np.uint8)
    if mode == "L":
        return Image.fromarray(steps[None])
    axes = np.meshgrid(*[steps] * 3)
    return Image.fromarray(np.stack([axis.ravel() for axis in axes], 1)[None]).convert(mode)


@lru_cache(maxsize=32)
def _png_space(gamma: float, chromaticity: tuple[float, ...] | None) -> ColorSpace | None:
    """Return the space of a PNG's gAMA and cHRM; cHRM without gAMA says nothing, as in Chromium."""
    if gamma <= 0:
        return None
    matrix = None
    if chromaticity is None:
        if abs(gamma / _SRGB_GAMMA - 1) <= _SAME_GAMMA:
            return None
    else:
        matrix = _to_srgb_matrix(chromaticity)
    with np.errstate(under="ignore"):
        return ColorSpace(np.power(np.arange(256) / 255, 1 / gamma), matrix)


@lru_cache(maxsize=32)
def _cicp_space(cicp: bytes) -> ColorSpace | None:
    if len(cicp) != 4:
        return None
    primaries, curve, matrix_coefficients, full_range = cicp
    if (primaries, curve) == (1, _SRGB_CURVE) or matrix_coefficients or not full_range:
        return _SRGB
    values = np.arange(256) / 255
    if curve in _POWERS:
        light = values ** _POWERS[curve]
    elif curve == _SRGB_CURVE:
        light = _srgb_light(values)
    else:
        logger.warning(
            "a PNG with the transfer curve %d of cICP (16 and 18 are HDR): its colors were used as "
            "they are stored (said once)",
            curve,
        )
        return _SRGB
    known = _PRIMARIES.get(primaries)
    return _SRGB if known is None else ColorSpace(light, _to_srgb_matrix(known))


def _srgb_light(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


_SRGB = ColorSpace(_srgb_light(np.arange(256) / 255), None)


@cache
def _srgb_values() -> NDArray[np.uint8]:
    """Return the sRGB value of light 0..65535."""
    light = np.arange(65536) / 65535
    values = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    rounded: NDArray[np.uint8] = np.rint(values * 255).astype(np.uint8)
    return rounded


def _from_space(image: Image.Image, space: ColorSpace) -> Image.Image:
    if space is _SRGB or image.mode not in ("L", "RGB"):
        return image
    if space.to_srgb is None or image.mode == "L":
        table = _srgb_values()[np.rint(space.curve * 65535).astype(np.uint16)].tolist()
        return image.point(table * len(image.getbands()))
    pixels = np.array(image)
    flat = pixels.reshape(-1, 3)
    curve = space.curve.astype(np.float32)
    matrix = space.to_srgb.T.astype(np.float32)
    for start in range(0, len(flat), _STRIP):
        part = flat[start : start + _STRIP]
        light = np.clip(curve[part] @ matrix, 0, 1) * np.float32(65535)
        part[:] = _srgb_values()[np.rint(light).astype(np.uint16)]
    return Image.fromarray(pixels)


def _to_srgb_matrix(chromaticities: tuple[float, ...]) -> _Matrix | None:
    """Return the matrix between two lights, from x and y of white, red, green and blue."""
    try:
        matrix = np.linalg.inv(_to_xyz(_SRGB_CHROMATICITIES)) @ _to_xyz(chromaticities)
    except (np.linalg.LinAlgError, ZeroDivisionError):
        return None
    if not np.isfinite(matrix).all() or np.abs(matrix - np.eye(3)).max() < 1e-3:
        return None
    return matrix


def _to_xyz(chromaticities: tuple[float, ...]) -> _Matrix:
    """Return the matrix from a space's light to XYZ under sRGB's white."""
    white, *primaries = (
        np.array([x / y, 1.0, (1 - x - y) / y])
        for x, y in zip(chromaticities[::2], chromaticities[1::2], strict=True)
    )
    columns = np.stack(primaries, axis=1)
    matrix = columns * np.linalg.solve(columns, white)
    x, y = _SRGB_CHROMATICITIES[:2]
    target = np.array([x / y, 1.0, (1 - x - y) / y])
    scale = np.diag((_CONES @ target) / (_CONES @ white))
    adapted: _Matrix = np.linalg.inv(_CONES) @ scale @ _CONES @ matrix
    return adapted


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation of an image, 1 (upright) where it has none that can be read."""
    try:
        found = image.getexif().get(_ORIENTATION_TAG)
    except Exception as error:  # damaged EXIF beside sound pixels: the picture is worth having
        if is_machine_fault(error):
            raise
        return 1
    return found if isinstance(found, int) and found in _UPRIGHT else 1


def upright(image: Image.Image) -> Image.Image:
    """Return a loaded image turned as its EXIF orientation says."""
    # After load(): TIFF turns itself there and drops its tag, PNG may hold its EXIF at the end.
    method = _UPRIGHT.get(orientation(image))
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
        alpha: Opacity of its pixels, mode L.
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
