"""Pixels of all modes and color spaces."""

from __future__ import annotations

import logging
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.pictures import encoded, gray16, photo
from PIL import Image, ImageCms

from allencv_al.common.errors import ImageDecodeError
from allencv_al.data import image_pixels
from allencv_al.data.image_io import load_image, load_mask, load_reduced

CASES = Path(__file__).parent / "cases" / "images"
COLORS = [(180, 60, 60), (60, 180, 60), (60, 60, 180), (200, 170, 120)]
PIXELS = np.array(COLORS, np.uint8).reshape(2, 2, 3)
ADOBE_RGB = [(208, 57, 57), (0, 181, 42), (57, 57, 185), (212, 172, 118)]
DISPLAY_P3 = [(197, 43, 51), (0, 185, 22), (57, 57, 189), (207, 170, 113)]

SRGB = b"sRGB", b"\0"
PRIMARIES = {
    "srgb": (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06),
    "p3": (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
    "adobe": (0.3127, 0.329, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06),
    "prophoto": (0.3457, 0.3585, 0.7347, 0.2653, 0.1596, 0.8404, 0.0366, 0.0001),
}


def profile(name: str) -> bytes:
    with Image.open(CASES / f"{name}.png") as image:
        content = image.info["icc_profile"]
    assert isinstance(content, bytes)
    return content


def gama(value: int) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">I", value)


def chrm(name: str) -> tuple[bytes, bytes]:
    return b"cHRM", struct.pack(">8I", *(round(100_000 * value) for value in PRIMARIES[name]))


def iccp(name: str) -> tuple[bytes, bytes]:
    return b"iCCP", b"x\0\0" + zlib.compress(profile(name))


def png(pixels: np.ndarray, *chunks: tuple[bytes, bytes], depth: int = 8) -> bytes:
    """Write a PNG of two pixels a side or more, with chunks before its pixels."""
    height, width, channels = pixels.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    stored = pixels.astype(">u2" if depth == 16 else "u1")
    rows = b"".join(b"\0" + row.tobytes() for row in stored)
    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    written = [(b"IHDR", head), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
        for name, content in written
    )


def shown(source: Any, **options: Any) -> np.ndarray:
    return load_image(source, **options).reshape(-1, 3).astype(int)


# ICC profiles


@pytest.mark.parametrize(
    ("name", "expected"), [("adobe_rgb", ADOBE_RGB), ("display_p3", DISPLAY_P3)]
)
@pytest.mark.parametrize(("extension", "tolerance"), [("png", 0), ("jpg", 3)])
def test_a_profile_of_a_file_is_followed(
    name: str, extension: str, expected: list[tuple[int, int, int]], tolerance: int
) -> None:
    image = load_image(CASES / f"{name}.{extension}").astype(int)
    height, width = image.shape[:2]
    found = image[height // 4 :: height // 2, width // 4 :: width // 2].reshape(-1, 3)
    assert np.abs(found - expected).max() <= tolerance
    reduced = load_reduced(CASES / f"{name}.{extension}", 16)
    assert np.abs(reduced[2, 2].astype(int) - expected[0]).max() <= tolerance


@pytest.mark.parametrize("format", ["TIFF", "WEBP", "PNG", "AVIF"])
def test_each_format_that_holds_a_profile_is_converted(format: str) -> None:
    options: dict[str, Any] = {"lossless": True} if format == "WEBP" else {}
    options = {"quality": 100} if format == "AVIF" else options
    image = Image.new("RGB", (16, 16), COLORS[0])
    content = encoded(image, format, icc_profile=profile("display_p3"), **options)
    assert np.abs(shown(content)[0] - DISPLAY_P3[0]).max() <= (3 if format == "AVIF" else 0)


def test_raw_colors_are_the_values_of_the_file() -> None:
    for source in (CASES / "adobe_rgb.png", CASES / "gamma1.png"):
        with Image.open(source) as image:
            assert np.array_equal(load_image(source, raw_colors=True), np.asarray(image))
    reduced = load_reduced(CASES / "adobe_rgb.png", 8, raw_colors=True)
    assert reduced[0, 0].tolist() == list(COLORS[0])


def test_the_profile_of_a_palette_and_of_alpha_is_followed_before_they_lie_on_white() -> None:
    icc = profile("display_p3")
    rgba = np.dstack([PIXELS, np.array([[255, 0], [255, 255]], np.uint8)])
    found = shown(encoded(Image.fromarray(rgba), "PNG", icc_profile=icc))
    assert found.tolist() == [list(c) for c in (DISPLAY_P3[0], (255,) * 3, *DISPLAY_P3[2:])]
    palette = Image.fromarray(PIXELS).quantize(4)
    assert shown(encoded(palette, "PNG", icc_profile=icc)).tolist() == [list(c) for c in DISPLAY_P3]


def test_an_srgb_profile_changes_nothing_and_is_recognized() -> None:
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert image_pixels._transform(icc, "RGB") is None
    content = encoded(Image.fromarray(PIXELS), "PNG", icc_profile=icc)
    assert np.array_equal(load_image(content), PIXELS)


def test_the_transform_of_a_profile_is_made_once() -> None:
    image_pixels._transform.cache_clear()
    for _ in range(3):
        load_image(CASES / "adobe_rgb.png")
    assert image_pixels._transform.cache_info().misses == 1


def test_a_gray_image_with_a_profile_of_colors_stays_as_it_is() -> None:
    gray = np.array([[10, 200]], np.uint8)
    content = encoded(Image.fromarray(gray), "PNG", icc_profile=profile("adobe_rgb"))
    assert load_image(content)[0, :, 0].tolist() == [10, 200]


@pytest.mark.parametrize("damage", ["cut", "zeros", "text", "empty"])
def test_a_broken_profile_costs_a_warning_and_not_the_image(
    damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    icc = profile("adobe_rgb")
    broken = {"cut": icc[:200], "zeros": bytes(200), "text": b"no profile", "empty": b""}[damage]
    content = encoded(Image.fromarray(PIXELS), "TIFF", icc_profile=broken)
    image_pixels._transform.cache_clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert np.array_equal(load_image(content), PIXELS)
    assert len(caplog.records) == (damage != "empty")


def test_a_mask_is_never_converted() -> None:
    gray = np.array([[1, 2], [3, 4]], np.uint8)
    assert np.array_equal(load_mask(png(gray[..., None], gama(100_000))), gray)


# What a PNG says without a profile; the values are those that Chromium shows


def test_gamma_1_is_brighter() -> None:
    image = load_image(CASES / "gamma1.png")
    assert image[0, 0].tolist() == [239, 96, 96]


POWER_22 = [(181, 57, 57), (57, 181, 57), (57, 57, 181), (201, 172, 121)]
POWER_20 = [(187, 67, 67), (67, 187, 67), (67, 67, 187), (206, 178, 130)]
POWER_24 = [(176, 49, 49), (49, 176, 49), (49, 49, 176), (197, 165, 113)]
PROPHOTO = [(255, 0, 75), (0, 209, 11), (0, 76, 205), (242, 178, 129)]
P3_WITH_SRGB_CURVE = [(196, 47, 54), (0, 183, 30), (60, 60, 187), (206, 169, 112)]
LINEAR_P3 = [(233, 128, 131), (101, 221, 123), (133, 133, 225), (232, 213, 179)]


def cicp(*numbers: int) -> tuple[bytes, bytes]:
    return b"cICP", bytes((*numbers, 0, 1))


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([gama(45455)], COLORS),
        ([gama(47600)], COLORS),  # within 5 %
        ([gama(50000)], POWER_20),
        ([gama(0)], COLORS),
        ([gama(100_000), SRGB], COLORS),
        ([SRGB, gama(100_000)], COLORS),
        ([chrm("p3")], COLORS),
        ([gama(45455), chrm("srgb")], POWER_22),
        ([gama(45455), chrm("p3")], DISPLAY_P3),
        ([gama(45455), chrm("adobe")], ADOBE_RGB),
        ([gama(55556), chrm("prophoto")], PROPHOTO),
        ([iccp("adobe_rgb"), gama(100_000)], ADOBE_RGB),
        ([cicp(12, 13)], P3_WITH_SRGB_CURVE),
        ([cicp(1, 13), iccp("adobe_rgb")], COLORS),
        ([cicp(1, 1)], POWER_24),
        ([cicp(12, 8)], LINEAR_P3),
    ],
)
def test_png_colors_are_those_of_chromium(
    chunks: list[tuple[bytes, bytes]], expected: list[tuple[int, int, int]]
) -> None:
    assert np.abs(shown(png(PIXELS, *chunks)) - expected).max() <= 1


def test_gamma_of_gray_of_16_bits_and_of_alpha() -> None:
    gray = np.array([[[180], [60]], [[20], [200]]])
    for content in (png(gray, gama(100_000)), png(gray * 257, gama(100_000), depth=16)):
        assert shown(content)[:, 0].tolist() == [219, 133, 79, 229]
    rgba = np.dstack([PIXELS, np.array([[255, 128], [0, 64]])])
    expected = [(219, 133, 133), (194, 237, 194), (255, 255, 255), (249, 245, 237)]
    for content in (png(rgba, gama(100_000)), png(rgba * 257, gama(100_000), depth=16)):
        assert np.abs(shown(content) - expected).max() <= 1


def test_hdr_of_cicp_is_used_as_it_is_stored_and_said(caplog: pytest.LogCaptureFixture) -> None:
    image_pixels._cicp_space.cache_clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            content = png(PIXELS, cicp(9, 16))
            assert np.array_equal(load_image(content), PIXELS)
    assert [record.message for record in caplog.records if "16" in record.message]
    assert len(caplog.records) == 1


@pytest.mark.parametrize(("depth", "scale"), [(2, 85), (4, 17), (8, 1), (16, 1 / 257)])
def test_a_transparent_gray_is_white_at_every_depth(depth: int, scale: float) -> None:
    values = np.array([[0, 1, 2, 3]]) * (1 if depth < 16 else 257)
    if depth < 8:
        bits = "".join(f"{value:0{depth}b}" for value in values[0])
        packed = np.array([[[int(bits[i : i + 8], 2)] for i in range(0, len(bits), 8)]])
        content = png(packed, (b"tRNS", struct.pack(">H", 2)))
        head = struct.pack(">IIBBBBB", 4, 1, depth, 0, 0, 0, 0)
        crc = struct.pack(">I", zlib.crc32(b"IHDR" + head))
        content = content[:16] + head + crc + content[33:]
    else:
        content = png(values[..., None], (b"tRNS", struct.pack(">H", values[0, 2])), depth=depth)
    expected = [round(value * scale) for value in values[0]]
    expected[2] = 255
    assert load_image(content)[0, :, 0].tolist() == expected


def test_the_transparent_gray_of_16_bits_of_a_file() -> None:
    assert load_image(CASES / "gray16_trns.png")[0, 0].tolist() == [255] * 3


def test_a_cmyk_jpeg_without_a_profile_keeps_its_colors() -> None:
    content = encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=95)
    assert np.abs(shown(content)[0] - [255, 0, 0]).max() <= 3


def press_profile() -> bytes:
    """Return a profile of a press: cyan is Lab (60, -30, -40), the other inks are black."""
    corners = []
    for index in range(16):  # C M Y K, the last fastest
        cyan, others = index & 8, index & 7
        lab = (0, 0, 0) if others else (60, -30, -40) if cyan else (100, 0, 0)
        corners.append([round(lab[0] * 2.55), lab[1] + 128, lab[2] + 128])
    straight = bytes(range(256))
    matrix = struct.pack(">9i", *(65536 if place % 4 == 0 else 0 for place in range(9)))
    table = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + matrix + straight * 4
    table += bytes(np.array(corners, np.uint8)) + straight * 3
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    start = 128 + 4 + 2 * 12
    places = [(b"A2B0", start, len(table)), (b"wtpt", start + len(table), len(white))]
    tags = struct.pack(">I", 2) + b"".join(name + struct.pack(">II", *at) for name, *at in places)
    head = struct.pack(">I", start + len(table) + len(white)) + b"lcms" + bytes((2, 64, 0, 0))
    head += b"prtrCMYKLab " + bytes(12) + b"acsp"
    head = head.ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + tags + table + white


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_of_a_press_is_converted_by_its_profile(format: str) -> None:
    icc = press_profile()
    cyan = encoded(Image.new("CMYK", (16, 16), (255, 0, 0, 0)), format, icc_profile=icc)
    paper = encoded(Image.new("CMYK", (16, 16)), format, icc_profile=icc)
    assert np.abs(shown(cyan)[0] - [0, 161, 214]).max() <= 4
    assert np.abs(shown(paper)[0] - [255, 255, 255]).max() <= 2
    assert np.abs(shown(cyan, raw_colors=True)[0] - [0, 255, 255]).max() <= 3


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
