"""Pixels of every mode as upright RGB of 8 bits."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
import pytest
from fixtures.pictures import encoded, gray16, photo
from PIL import Image

from allencv_al.common.errors import ImageDecodeError
from allencv_al.data.image_io import (
    load_image,
)


def test_gray_one_channel_and_alpha_arrays_become_rgb() -> None:
    gray = photo()[:, :, 1]
    expected = np.stack([gray] * 3, axis=2)
    assert np.array_equal(load_image(gray), expected)
    assert np.array_equal(load_image(gray[:, :, None]), expected)
    opaque = np.dstack([photo(), np.full(photo().shape[:2], 255, np.uint8)])
    assert np.array_equal(load_image(opaque), photo())


@pytest.mark.parametrize("format", ["PNG", "TIFF", "PPM"])
def test_16_bit_gray_is_scaled_not_clipped(format: str) -> None:
    loaded = load_image(encoded(Image.fromarray(gray16()), format))
    assert loaded.shape == (8, 8, 3)
    assert np.abs(loaded.astype(float) - gray16()[:, :, None] / 257).max() <= 0.5


def test_16_bit_gray_reaches_black_and_white() -> None:
    ends = np.array([[0, 65535]], dtype=np.uint16)
    assert load_image(Image.fromarray(ends))[0, :, 0].tolist() == [0, 255]


def test_a_12_bit_tiff_is_scaled_by_its_own_depth() -> None:
    # 4 pixels, 12 bits each, packed: 0x000 0x800 0xFFF 0x400
    pixels = bytes.fromhex("000800fff400")
    tags = [(256, 3, 4), (257, 3, 1), (258, 3, 12), (259, 3, 1), (262, 3, 1), (273, 4, 110)]
    tags += [(277, 3, 1), (278, 3, 1)]
    tags.append((279, 4, len(pixels)))
    ifd = struct.pack("<H", len(tags))
    for tag, kind, value in tags:
        ifd += struct.pack("<HHI", tag, kind, 1) + struct.pack(
            "<HH" if kind == 3 else "<I", *((value, 0) if kind == 3 else (value,))
        )
    data = b"II*\x00" + struct.pack("<I", 8) + ifd + struct.pack("<I", 0)
    data = data.ljust(110, b"\0")
    data = data.replace(
        struct.pack("<HHII", 273, 4, 1, 110), struct.pack("<HHII", 273, 4, 1, len(data))
    )
    assert load_image(data + pixels)[0, :, 0].tolist() == [0, 128, 255, 64]


def test_16_bit_rgb_png_is_scaled() -> None:
    wide = np.repeat(np.array([[0, 0x80FF, 0xFFFF]], dtype=">u2")[:, :, None], 3, axis=2)
    raw = b"\0" + wide.tobytes()
    chunks = [
        b"IHDR" + struct.pack(">IIBBBBB", 3, 1, 16, 2, 0, 0, 0),
        b"IDAT" + zlib.compress(raw),
        b"IEND",
    ]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks
    )
    assert np.abs(load_image(data)[0, :, 0].astype(int) - [0, 128, 255]).max() <= 1


def test_float_gray_in_0_to_1_and_0_to_255_is_read() -> None:
    unit = np.array([[0.0, 0.5, 1.0]], dtype=np.float32)
    assert load_image(encoded(Image.fromarray(unit), "TIFF"))[0, :, 0].tolist() == [0, 128, 255]
    wide = np.array([[0.0, 1.6, 255.0]], dtype=np.float32)
    assert load_image(encoded(Image.fromarray(wide), "TIFF"))[0, :, 0].tolist() == [0, 2, 255]


@pytest.mark.parametrize(
    "values",
    [
        np.array([[-3.0, 1.0]], np.float32),
        np.array([[0.0, np.nan]], np.float32),
        np.array([[0.0, 1e6]], np.float32),
        np.array([[-1, 5]], np.int32),
        np.array([[0, 70000]], np.int32),
    ],
)
def test_gray_without_a_known_range_is_refused_with_its_range(values: np.ndarray) -> None:
    with pytest.raises(ImageDecodeError, match=r"gray from .* to .*, expected 0\.\."):
        load_image(encoded(Image.fromarray(values), "TIFF"))


def test_gray_and_1_bit_become_rgb() -> None:
    gray = Image.fromarray(photo()[:, :, 1])
    assert np.array_equal(load_image(encoded(gray, "PNG")), np.stack([np.asarray(gray)] * 3, 2))
    bits = np.array([[True, False, True]])
    assert load_image(encoded(Image.fromarray(bits), "PNG"))[0].tolist() == [
        [255] * 3,
        [0] * 3,
        [255] * 3,
    ]


def test_palette_becomes_its_colors() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    assert load_image(encoded(image, "PNG"))[0].tolist() == [[10, 20, 30], [200, 100, 50]]


def test_transparent_pixels_are_laid_on_white() -> None:
    rgba = np.array([[[10, 20, 30, 255], [0, 0, 0, 0], [0, 100, 200, 128]]], np.uint8)
    expected = [[10, 20, 30], [255, 255, 255], [127, 177, 227]]
    for source in (encoded(Image.fromarray(rgba), "PNG"), rgba):
        assert np.abs(load_image(source)[0].astype(int) - expected).max() <= 1
    la = np.array([[[10, 255], [0, 0]]], np.uint8)
    assert load_image(encoded(Image.fromarray(la), "PNG"))[0].tolist() == [[10] * 3, [255] * 3]


def test_a_transparent_palette_entry_and_a_transparent_color_become_white() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    data = encoded(image, "PNG", transparency=1)
    assert load_image(data)[0].tolist() == [[10, 20, 30], [255] * 3]
    image = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
    data = encoded(image, "PNG", transparency=(4, 5, 6))
    assert load_image(data)[0].tolist() == [[1, 2, 3], [255] * 3]


@pytest.mark.parametrize("alpha", [0, 128, 255])
def test_an_alpha_that_is_the_same_everywhere_is_dropped(alpha: int) -> None:
    rgba = np.dstack([photo(), np.full(photo().shape[:2], alpha, np.uint8)])
    assert np.array_equal(load_image(encoded(Image.fromarray(rgba), "PNG")), photo())


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_is_not_inverted(format: str) -> None:
    image = Image.fromarray(photo()).convert("CMYK")
    options = {"quality": 95} if format == "JPEG" else {}
    loaded = load_image(encoded(image, format, **options)).astype(int)
    assert np.abs(loaded - photo()).mean() < 6


def test_an_adobe_cmyk_jpeg_is_not_a_negative() -> None:
    # Adobe's JPEGs store CMYK inverted.
    data = encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=95)
    assert b"Adobe" in data
    assert np.abs(load_image(data)[8, 8].astype(int) - [255, 0, 0]).max() <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_each_exif_orientation_comes_upright(orientation: int, format: str) -> None:
    stored = {  # how a camera stores the upright picture under that tag
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }[orientation](photo())
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {"JPEG": {"quality": 95, "subsampling": 0}}.get(format, {})
    if format == "WEBP":
        options = {"lossless": True}
    data = encoded(Image.fromarray(np.ascontiguousarray(stored)), format, exif=exif, **options)
    loaded = load_image(data)
    assert loaded.shape == photo().shape
    assert np.abs(loaded.astype(int) - photo()).mean() < 6


@pytest.mark.parametrize("tag_value", [0, 9, 77])
def test_an_unknown_orientation_is_ignored(tag_value: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = tag_value
    assert load_image(encoded(Image.fromarray(photo()), "PNG", exif=exif)).shape == photo().shape


def test_damaged_exif_does_not_cost_the_picture() -> None:
    data = encoded(
        Image.fromarray(photo()), "PNG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff" + b"\1" * 9
    )
    assert np.array_equal(load_image(data), photo())
