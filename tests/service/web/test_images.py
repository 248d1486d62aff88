"""Images that strangers send are known by their headers."""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from PIL import Image

from allencv_al.common.errors import ImageDecodeError
from allencv_al.service.web.errors import WebError
from allencv_al.service.web.images import check_image


def encoded(width: int, height: int, kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height)).save(buffer, kind)
    return buffer.getvalue()


def bomb(width: int, height: int) -> bytes:
    """Return a PNG of a few bytes that says it is large."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    pixels = struct.pack(">I", 10) + b"IDAT" + bytes(14)
    return b"\x89PNG\r\n\x1a\n" + chunk + pixels


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
def test_an_image_may_have_as_many_pixels_as_the_limit(kind: str) -> None:
    check_image(encoded(20, 5, kind), 100)
    with pytest.raises(WebError, match=r"at most 99 pixels, found 20x5") as raised:
        check_image(encoded(20, 5, kind), 99)
    assert raised.value.status == 413


@pytest.mark.parametrize("side", [10_000, 60_000, 2**31 - 1])
def test_a_bomb_is_known_before_it_is_decoded(side: int) -> None:
    with pytest.raises(WebError) as raised:
        check_image(bomb(side, side), 40_000_000)
    assert raised.value.status == 413


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"no image", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"<!doctype html>"),
        *(b"GIF89a<script>alert(1)</script>", b"%PDF-1.7", b"PK\x03\x04", b"\0" * 1_000),
    ],
)
def test_what_is_no_image_is_an_error(content: bytes) -> None:
    with pytest.raises((ImageDecodeError, WebError)):
        check_image(content, 40_000_000)
