"""Formats and layouts of image files: which can be read, what the others are called."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError
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

# Pillow also knows formats that start another program (EPS: Ghostscript), have no magic number
# (TGA: any file may "open") or hold further files inside (ICO, ICNS): none of them is asked for.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000", "DIB")
_NAMES = "JPEG, PNG, WebP, GIF, BMP, TIFF, PPM, AVIF ..."

# What else lies in folders of images, by its first bytes
_OTHERS = {
    b"%PDF": "PDF",
    b"8BPS": "PSD (Photoshop)",
    b"%!PS": "PostScript",
    b"PF\n": "PFM, 3 x 32-bit float",
    b"v/1\x01": "OpenEXR",
    b"#?RADIANCE": "Radiance HDR",
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"\0\0\x01\0": "ICO",
    b"PK\x03\x04": "ZIP",
    b"\x1f\x8b": "gzip",
    b"\x1aE\xdf\xa3": "video (Matroska or WebM)",
    b"<svg": "SVG",
    b"<?xml": "XML or SVG",
    b"<!doc": "HTML",
    b"<html": "HTML",
    b"version https://git-lfs": "a pointer of Git LFS (git lfs pull fetches the file)",
}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_AVIF_BRANDS = {b"avif", b"avis"}
_HEAD = 512
_BYTES_TO_OPEN = 128 << 20

_SCALED_GRAY = {"L;2": 85, "L;4": 17}


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


@contextmanager
def opened(source: str | Path | bytes | Image.Image) -> Iterator[Image.Image]:
    """Open an image, nothing decoded; a caller's own PIL image is not closed.

    Raises:
        FormatError: It is none that can be read; the message says what it is, where that is known.
        OSError: It cannot be opened.
    """
    if isinstance(source, Image.Image):
        yield source
        return
    with _open(source) as image:
        if isinstance(image, TiffImageFile):
            mend(image)
        elif image.format == "PNG":
            _mend_transparency(image)
        yield image


def cicp(image: Image.Image) -> bytes | None:
    """Return the content of a PNG's cICP chunk, which Pillow ignores; None where there is none.

    Args:
        image: Opened, and not loaded yet.
    """
    stream = cast("IO[bytes] | None", getattr(image, "fp", None))
    if image.format != "PNG" or stream is None:
        return None
    place = stream.tell()
    try:
        stream.seek(8)
        while len(head := stream.read(8)) == 8:
            length, name = struct.unpack(">I4s", head)
            if name == b"cICP":
                return stream.read(min(length, 8))
            if name in (b"IDAT", b"IEND", b"PLTE"):  # cICP stands before them
                return None
            stream.seek(length + 4, io.SEEK_CUR)
    finally:
        stream.seek(place)
    return None


def _open(source: str | Path | bytes) -> Image.Image:
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    formats = _formats()
    try:
        return Image.open(stream, formats=formats)
    except UnidentifiedImageError as error:
        with io.BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb") as file:
            head = file.read(_HEAD)
            layout = unread_layout(file)
        if not head:
            raise FormatError("it is empty (0 bytes)") from error
        if layout is not None:
            raise FormatError(f"it is {layout}: {UNREAD}") from error
        brands = _brands(head)
        if brands & _HEIF_BRANDS and not brands & _AVIF_BRANDS:
            return _open_heif(source)
        raise FormatError(_is_none_of_them(head, brands)) from error
    except OSError as error:
        if error.errno is None:
            np.empty(_BYTES_TO_OPEN, np.uint8)  # raises what WebP calls a damaged file
        raise


def _open_heif(source: str | Path | bytes) -> Image.Image:
    if not _can_read_heif():
        raise FormatError(
            'it is HEIC, as phones write it; to read it: pip install "allencv-al[heif]"'
        )
    try:
        return Image.open(
            io.BytesIO(source) if isinstance(source, bytes) else source, formats=("HEIF",)
        )
    except (UnidentifiedImageError, ValueError, RuntimeError, SyntaxError) as error:
        raise FormatError(
            "it is HEIC, damaged or newer than the installed pillow-heif (newest: pip install -U "
            f'"allencv-al[heif]"): {error}'
        ) from error


@cache
def _can_read_heif() -> bool:
    try:
        import pillow_heif
    except ImportError:
        return "HEIF" in Image.OPEN  # of another plugin that the user has registered
    pillow_heif.register_heif_opener()
    return True


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _brands(head: bytes) -> set[bytes]:
    """Return the brands of an ISO media file, which HEIC, AVIF and MP4 are."""
    if head[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return {head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))}


def _is_none_of_them(head: bytes, brands: set[bytes]) -> str:
    start = head.lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    found = next((name for magic, name in _OTHERS.items() if head.startswith(magic)), None)
    found = found or next(
        (name for magic, name in _OTHERS.items() if start.startswith(magic.lower())), None
    )
    if brands & _AVIF_BRANDS:
        found = "AVIF, damaged or more than this Pillow can read"
    elif b"crx " in brands:
        found = "a camera's raw file (CR3)"
    elif brands:
        found = "video (MP4 or QuickTime)"
    elif head[128:132] == b"DICM":
        found = "DICOM"
    known = f"none of the known formats ({_NAMES})"
    return f"it is {found}, {known}" if found else f"it is {known}"


def _mend_transparency(image: Image.Image) -> None:
    """Scale the transparent gray of a PNG of 2 or 4 bits as Pillow scales its pixels."""
    value = image.info.get("transparency")
    if isinstance(value, int) and image.mode == "L" and isinstance(image, ImageFile.ImageFile):
        mode = image.tile[0].args if image.tile else None
        image.info["transparency"] = value * _SCALED_GRAY.get(str(mode), 1)
