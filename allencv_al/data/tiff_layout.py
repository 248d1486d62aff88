"""TIFF files hold numbers in many ways: which come out right, and what the others are called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import IO, Any

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from allencv_al.common.errors import is_machine_fault

_BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _PLANAR = 258, 259, 262, 277, 284
_COLORMAP, _SAMPLE_FORMAT, _SUBSAMPLING = 320, 339, 530

_WHITE_IS_ZERO, _YCBCR = 0, 6
_SEPARATE_PLANES = 2
_SIGNED = 2
_KINDS = {1: "integer", 2: "signed integer", 3: "float", 5: "complex integer", 6: "complex float"}
_PHOTOMETRICS = {0: "white is zero", 3: "palette", 5: "CMYK", 6: "YCbCr", 8: "Lab", 9: "ICC Lab"}
# Those that Pillow's libtiff reads; another one is why a file cannot be read, so it is named
_KNOWN_COMPRESSIONS = {1, 2, 3, 4, 5, 6, 7, 8, 32773, 32946, 34925, 50000, 50001}
_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_BYTES_OF_DECODER = 12  # for a pixel, at most: four for each channel

# libtiff gives numbers in the byte order of this machine, whatever that of the file is
_NATIVE_MODES = {"I;16BS": "I;16NS", "I;32BS": "I;32NS", "F;32BF": "F;32NF"}


UNREAD = "this layout cannot be read; save it anew as PNG, or as TIFF with 8 or 16 bits a channel"


class FormatError(ValueError):
    """A file that is no image, or one of a format, a layout or a size that cannot be read."""


def is_white_zero(image: Image.Image) -> bool:
    """Return whether the numbers of a TIFF file grow from white to black."""
    return isinstance(image, TiffImageFile) and image.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO


def declared_bits(image: Image.Image) -> int | None:
    """Return the bits of a TIFF file's first sample; None for another format."""
    if not isinstance(image, TiffImageFile):
        return None
    return int(_numbers(image.tag_v2, _BITS)[0])


def is_signed(image: Image.Image) -> bool:
    """Return whether a TIFF file says that its numbers have a sign."""
    return isinstance(image, TiffImageFile) and _SIGNED in _numbers(image.tag_v2, _SAMPLE_FORMAT)


def layout_name(tags: Mapping[int, Any], big_endian: bool = False) -> str:
    """Return what a layout is called in messages, such as `TIFF, 3 x 32-bit float`.

    Args:
        tags: The tags of the file's first page.
        big_endian: Whether the file says so.
    """
    bits, kinds = _numbers(tags, _BITS), _numbers(tags, _SAMPLE_FORMAT)
    count = tags.get(_SAMPLES, len(bits))
    kind = _KINDS.get(kinds[0], f"sample format {kinds[0]}")
    parts = [f"TIFF, {count} x {bits[0]}-bit {kind}"]
    if len(set(bits)) > 1 or len(set(kinds)) > 1:
        parts = [f"TIFF, {count} samples of {', '.join(map(str, bits))} bits"]
    photometric = tags.get(_PHOTOMETRIC)
    if photometric in _PHOTOMETRICS:
        parts.append(_PHOTOMETRICS[photometric])
    if tags.get(_PLANAR) == _SEPARATE_PLANES:
        parts.append("in separate planes")
    compression = tags.get(_COMPRESSION, 1)
    if compression not in _KNOWN_COMPRESSIONS:
        parts.append(f"compression {compression}")
    if big_endian:
        parts.append("big-endian")
    return ", ".join(parts)


def unread_layout(stream: IO[bytes]) -> str | None:
    """Return the name of a TIFF file's layout, and None for another file.

    Args:
        stream: The file; it is read from its start.
    """
    stream.seek(0)
    header = stream.read(16)
    if not header.startswith(_MAGIC):
        return None
    if header.startswith(b"MM\0+"):
        return "BigTIFF, big-endian"
    try:
        tags = ImageFileDirectory_v2(header if header[2:3] == b"+" else header[:8])
        stream.seek(tags.next)
        tags.load(stream)
        return layout_name(tags, header.startswith(b"MM"))
    except Exception as error:  # whatever damaged tags lead to
        if is_machine_fault(error):
            raise
        return "TIFF with damaged tags"


def load(image: Image.Image) -> None:
    """Decode an image; an error names the layout of a TIFF file.

    Raises:
        FormatError: The pixels of a TIFF file cannot be decoded.
        MemoryError: There is not as much memory as the image takes.
        Exception: Those of another format cannot.
    """
    try:
        image.load()
    except Exception as error:
        # WebP and JPEG 2000 say of missing memory that the file is broken; this raises it
        np.empty(_BYTES_OF_DECODER * image.width * image.height, np.uint8)
        if not isinstance(image, TiffImageFile) or is_machine_fault(error):
            raise
        raise FormatError(f"it is {layout_name(image.tag_v2)}: {error}") from error


def mend(image: TiffImageFile) -> None:
    """Make what Pillow has opened come out right, or refuse it by its name.

    Args:
        image: Opened, and not loaded yet.

    Raises:
        FormatError: The numbers of this layout would come out wrong.
    """
    tags = image.tag_v2
    bits = _numbers(tags, _BITS)
    raw = bool(image.tile) and image.tile[0].codec_name == "raw"
    separate = tags.get(_PLANAR) == _SEPARATE_PLANES and len(bits) > 1
    subsampled = tags.get(_PHOTOMETRIC) == _YCBCR and tuple(tags.get(_SUBSAMPLING, (2, 2))) != (
        1,
        1,
    )
    planes = ("RGB", "RGBA") if bits[0] == 16 else ("RGB", "RGBA", "CMYK")
    if (
        (bits[0] == 8 and is_signed(image))
        or (raw and separate and (image.mode not in planes or len(bits) != len(image.mode)))
        or (raw and subsampled)
    ):
        raise FormatError(f"it is {layout_name(tags)}: {UNREAD}")
    if raw and separate and bits[0] == 16:
        order = "B" if tags.prefix == b"MM" else "L"
        _set_raw_modes(image, lambda mode: f"{mode};16{order}")
    elif not raw:
        _set_raw_modes(image, lambda mode: _NATIVE_MODES.get(mode, mode))
    _mend_colormap(image)


def _set_raw_modes(image: TiffImageFile, change: Callable[[str], str]) -> None:
    tiles = []
    for tile in image.tile:
        assert isinstance(tile.args, tuple)
        tiles.append(tile._replace(args=(change(tile.args[0]), *tile.args[1:])))
    image.tile = tiles


def _mend_colormap(image: TiffImageFile) -> None:
    """Take a colormap of 16-bit numbers that are all below 256 as what its writer meant: 8 bits."""
    colors = image.tag_v2.get(_COLORMAP)
    if image.mode in ("P", "PA") and colors and max(colors) < 256:  # the rule of libtiff
        count = len(colors) // 3
        planes = (colors[:count], colors[count : 2 * count], colors[2 * count :])
        image.putpalette([value for entry in zip(*planes, strict=True) for value in entry])


def _numbers(tags: Mapping[int, Any], tag: int) -> tuple[int, ...]:
    value = tags.get(tag, 1)
    return tuple(value) if isinstance(value, tuple) else (value,)
