"""Opening a file as an image: which formats, what the others are called, and what to install."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, cast

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from allencv_al.data.tiff_layout import UNREAD, FormatError, mend, unread_layout

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
