"""Formats and layouts: what is read, and what a refusal says."""

from __future__ import annotations

import io
import shutil
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from allencv_al.common.errors import ImageDecodeError
from allencv_al.data import image_formats
from allencv_al.data.image_io import image_size, load_image, load_mask, load_reduced

CASES = Path(__file__).parent / "cases" / "images"
QUADRANTS = np.array([[(180, 60, 60), (60, 180, 60)], [(60, 60, 180), (200, 170, 120)]], np.uint8)
SIZE = 12  # of a picture, in pixels

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR, LAB = 0, 1, 2, 3, 5, 6, 8
RAW, DEFLATE = 1, 8


def tiff(
    values: np.ndarray,
    photometric: int,
    *,
    compression: int = RAW,
    planar: bool = False,
    order: str = "<",
    tags: dict[int, tuple[int, ...]] | None = None,
) -> bytes:
    """Write `[H, W, C]` as a TIFF file of one strip, or of one a channel."""
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    height, width, channels = values.shape
    stored = values.astype(values.dtype.newbyteorder(order))
    strips = [stored[..., c].tobytes() for c in range(channels)] if planar else [stored.tobytes()]
    if compression == DEFLATE:
        strips = [zlib.compress(strip) for strip in strips]
    starts = np.cumsum([8, *map(len, strips)]).tolist()
    entries = {
        256: (width,),
        257: (height,),
        258: (values.dtype.itemsize * 8,) * channels,
        259: (compression,),
        262: (photometric,),
        273: tuple(starts[:-1]),
        277: (channels,),
        278: (height,),
        279: tuple(map(len, strips)),
        284: (2 if planar else 1,),
        339: (kind,) * channels,
        **(tags or {}),
    }
    place = starts[-1] + 2 + 12 * len(entries) + 4
    directory, behind = b"", b""
    for tag, numbers in sorted(entries.items()):
        code, letter = (3, "H") if max(numbers) < 65536 and tag not in (273, 279) else (4, "I")
        packed = struct.pack(f"{order}{len(numbers)}{letter}", *numbers)
        if len(packed) > 4:
            packed, behind = struct.pack(f"{order}I", place + len(behind)), behind + packed
        directory += struct.pack(f"{order}HHI", tag, code, len(numbers)) + packed.ljust(4, b"\0")
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", starts[-1])
    count = struct.pack(f"{order}H", len(entries))
    return head + b"".join(strips) + count + directory + b"\0" * 4 + behind


def spread(quadrants: np.ndarray) -> np.ndarray:
    """Return a picture of four quarters, as `[H, W, C]`."""
    return quadrants.repeat(SIZE // 2, axis=0).repeat(SIZE // 2, axis=1).reshape(SIZE, SIZE, -1)


def quarters(image: np.ndarray) -> list[list[int]]:
    """Return the colors of the four quarters, left to right, top to bottom."""
    height, width = image.shape[:2]
    rows, columns = (height // 4, 3 * height // 4), (width // 4, 3 * width // 4)
    return [image[row, column].tolist() for row in rows for column in columns]


COLORS = spread(QUADRANTS)
GRAY = spread(QUADRANTS[..., 0])
COLORS_SHOWN = [[180, 60, 60], [60, 180, 60], [60, 60, 180], [200, 170, 120]]
GRAY_SHOWN = [[value] * 3 for value in (180, 60, 60, 200)]


@pytest.mark.parametrize(
    "name", ["rgb16_planar", "rgb8_planar", "palette_colormap_8bit", "palette_colormap_16bit"]
)
def test_planes_and_colormaps_give_their_colors(name: str) -> None:
    assert quarters(load_image(CASES / f"{name}.tif")) == COLORS_SHOWN


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [RAW, DEFLATE])
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_rgb_of_8_and_16_bits_in_each_order_and_arrangement(
    order: str, compression: int, planar: bool, alpha: bool, kind: str
) -> None:
    # 3 in the low byte: two bytes that are not alike show when they are swapped
    values = COLORS if kind == "u1" else COLORS.astype("u2") * 256 + 3
    tags = None
    if alpha:
        values = np.dstack([values, np.full_like(values[..., :1], np.iinfo(kind).max)])
        tags = {338: (2,)}
    content = tiff(values, RGB, compression=compression, planar=planar, order=order, tags=tags)
    assert quarters(load_image(content)) == COLORS_SHOWN


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [RAW, DEFLATE])
@pytest.mark.parametrize(
    "values",
    [
        GRAY,
        GRAY.astype("u2") * 257,
        GRAY.astype("i2"),
        GRAY.astype("i4"),
        GRAY.astype("i4") * 257,
        GRAY.astype("f4"),
        GRAY.astype("f4") / 255,
    ],
    ids=["u8", "u16", "i16 of 8 bits", "i32 of 8 bits", "i32 of 16 bits", "f 0..255", "f 0..1"],
)
def test_gray_of_each_kind_and_byte_order(values: np.ndarray, compression: int, order: str) -> None:
    content = tiff(values, BLACK_IS_ZERO, compression=compression, order=order)
    assert quarters(load_image(content)) == GRAY_SHOWN


@pytest.mark.parametrize(
    "values", [255 - GRAY, 65535 - GRAY.astype("u2") * 257, 1 - GRAY.astype("f4") / 255]
)
def test_white_is_zero_is_not_a_negative(values: np.ndarray) -> None:
    assert quarters(load_image(tiff(values, WHITE_IS_ZERO))) == GRAY_SHOWN


def test_float_a_little_above_1_is_clipped() -> None:
    with Image.open(CASES / "float_max_1.03.tif") as image:
        stored = np.asarray(image)
    assert 1 < stored.max() < 1.04
    expected = np.rint(stored.clip(0, 1) * 255)
    assert np.array_equal(load_image(CASES / "float_max_1.03.tif")[..., 0], expected)


def test_32_bit_integers_of_8_bits_are_what_they_are() -> None:
    assert load_image(CASES / "int32_0_255.tif")[0, 0].tolist() == [180] * 3


def test_lab_becomes_its_colors() -> None:
    lab = np.array([[(136, 0, 0), (0, 0, 0)], [(255, 0, 0), (136, 60, 236)]], np.uint8)
    shown = quarters(load_image(tiff(spread(lab), LAB)))
    assert np.abs(np.array(shown[:3]) - [[127] * 3, [0] * 3, [255] * 3]).max() <= 1
    red, green, blue = shown[3]
    assert red > green
    assert blue > green  # a is positive, and 236 is a negative b


@pytest.mark.parametrize("compression", [RAW, DEFLATE])
def test_cmyk_planes_of_8_bits_give_their_colors(compression: int) -> None:
    inks = np.dstack([255 - COLORS, np.zeros_like(GRAY)])
    content = tiff(inks, CMYK, planar=True, compression=compression)
    assert quarters(load_image(content)) == COLORS_SHOWN


def test_ycbcr_of_one_chroma_a_pixel_gives_its_colors() -> None:
    content = tiff(spread(ycbcr(QUADRANTS)), YCBCR, tags={530: (1, 1)})
    assert np.abs(np.array(quarters(load_image(content))) - COLORS_SHOWN).max() <= 3


def test_ycbcr_of_one_chroma_for_four_pixels_gives_its_colors() -> None:
    small = spread(ycbcr(QUADRANTS))[::2, ::2]
    units = np.dstack([small[..., [0, 0, 0, 0]], small[..., 1:]])  # Y of 2 x 2 pixels, Cb, Cr
    content = tiff(
        units,
        YCBCR,
        compression=DEFLATE,
        tags={
            256: (SIZE,),
            257: (SIZE,),
            258: (8, 8, 8),
            277: (3,),
            278: (SIZE,),
            339: (1, 1, 1),
            530: (2, 2),
        },
    )
    assert np.abs(np.array(quarters(load_image(content))) - COLORS_SHOWN).max() <= 3


def ycbcr(colors: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(colors).convert("YCbCr"))


@pytest.mark.parametrize(
    ("content", "layout"),
    [
        (tiff(COLORS.astype("f4"), RGB), "TIFF, 3 x 32-bit float"),
        (tiff(COLORS.astype("f8"), RGB, planar=True), "3 x 64-bit float, in separate planes"),
        (tiff(COLORS.astype("u4"), RGB), "TIFF, 3 x 32-bit integer"),
        (tiff(np.dstack([COLORS, COLORS[..., :2]]), BLACK_IS_ZERO), "TIFF, 5 x 8-bit integer"),
        (tiff(np.dstack([GRAY, GRAY]), BLACK_IS_ZERO, planar=True), "2 x 8-bit integer, in separ"),
        (tiff(GRAY.view("i1"), BLACK_IS_ZERO), "TIFF, 1 x 8-bit signed integer"),
        (tiff(GRAY.astype("u2"), PALETTE), "1 x 16-bit integer, palette"),
        (tiff(GRAY.astype("f2"), BLACK_IS_ZERO), "1 x 16-bit float"),
        (tiff(COLORS, RGB, tags={259: (34712,)}), "3 x 8-bit integer, compression 34712"),
        (tiff(COLORS.astype("u2"), LAB), "3 x 16-bit integer, Lab"),
        (tiff(spread(ycbcr(QUADRANTS)), YCBCR, tags={530: (2, 2)}), "3 x 8-bit integer, YCbCr"),
        (tiff(np.dstack([COLORS, GRAY]).astype("u2"), CMYK, planar=True), "4 x 16-bit integer, CM"),
        (tiff(GRAY.astype("u2"), WHITE_IS_ZERO, order=">"), "white is zero, big-endian"),
    ],
)
def test_a_layout_that_would_come_out_wrong_is_refused_by_its_name(
    content: bytes, layout: str
) -> None:
    with pytest.raises(ImageDecodeError) as caught:
        load_image(content)
    assert layout in caught.value.cause
    assert "this layout cannot be read" in caught.value.cause


@pytest.mark.parametrize("name", ["five_bands_uint8", "gray_int8_signed"])
def test_the_layouts_of_files_are_named(name: str) -> None:
    with pytest.raises(ImageDecodeError, match=r"it is TIFF, \d x 8-bit (signed )?integer"):
        load_image(CASES / f"{name}.tif")


@pytest.mark.parametrize(
    "values",
    [
        GRAY.astype("i2") * 128,  # what is white?
        GRAY.astype("i4") * 5,  # 10 bits, or 16 bits of a dark picture?
        GRAY.astype("f4") / 100,
        np.where(GRAY == 180, np.nan, GRAY / 255).astype("f4"),
        np.where(GRAY == 180, np.inf, GRAY / 255).astype("f4"),
        (GRAY.astype("f4") - 127) / 127,
    ],
    ids=["signed 16", "10 bits in 32", "0..2", "NaN", "infinite", "-1..1"],
)
def test_values_of_unknown_white_are_refused_with_their_range(
    values: np.ndarray,
) -> None:
    with pytest.raises(ImageDecodeError, match=r"gray from .* to .*, expected 0\.\."):
        load_image(tiff(values, BLACK_IS_ZERO))


@pytest.mark.parametrize("damage", [b"II*\0\xff\xff\xff\x7f", b"II*\0\x08\0\0\0\xff\xff", b"MM\0+"])
def test_damaged_tags_are_named(damage: bytes) -> None:
    with pytest.raises(ImageDecodeError, match=r"it is (Big)?TIFF"):
        load_image(damage + bytes(40))


def test_a_cut_file_is_named_with_its_layout() -> None:
    content = io.BytesIO()
    Image.fromarray(COLORS).save(content, "TIFF", compression="tiff_lzw")
    whole = content.getvalue()
    strips = whole[: len(whole) // 3]
    with pytest.raises(ImageDecodeError, match="TIFF"):
        load_image(strips)


def test_a_mask_of_signed_bytes_is_refused_too() -> None:
    with pytest.raises(ImageDecodeError, match="8-bit signed"):
        load_mask(tiff(GRAY.view("i1"), BLACK_IS_ZERO))
    assert load_mask(tiff(GRAY.astype("i4"), BLACK_IS_ZERO))[0, 0] == 180


@pytest.fixture
def without_heif(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    image_formats._can_read_heif.cache_clear()
    yield
    image_formats._can_read_heif.cache_clear()


@pytest.mark.usefixtures("without_heif")
@pytest.mark.parametrize("name", ["IMG_0001.HEIC", "photo.jpg", "photo"])
def test_heic_is_named_with_the_extra_that_reads_it(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    shutil.copy(CASES / "IMG_0001.HEIC", path)
    for read in (load_image, load_mask, image_size, lambda file: load_reduced(file, 8)):
        for source in (path, path.read_bytes()):
            with pytest.raises(ImageDecodeError, match=r'HEIC.*pip install "allencv-al\[heif\]"'):
                read(source)


def test_heic_is_read_where_the_extra_is_installed(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    pixels = np.zeros((64, 96, 3), np.uint8)
    pixels[:32, :48] = (200, 60, 60)
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "photo.jpg"
    pillow_heif.from_pillow(Image.fromarray(pixels)).save(path, quality=95)
    image = load_image(path)
    assert image.shape == (64, 96, 3)
    assert np.abs(image[8, 8].astype(int) - (200, 60, 60)).max() <= 6
    assert np.array_equal(load_image(path.read_bytes()), image)
    assert image_size(path) == (96, 64)


def test_damaged_heic_is_named_where_the_extra_is_installed() -> None:
    pytest.importorskip("pillow_heif")
    with pytest.raises(ImageDecodeError, match=r"HEIC, damaged or newer.*allencv-al\[heif\]"):
        load_image(CASES / "IMG_0001.HEIC")


def test_avif_is_read_under_any_name(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    Image.new("RGB", (32, 16), (200, 60, 60)).save(path, "AVIF")
    assert load_image(path).shape == (16, 32, 3)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(ImageDecodeError, match="AVIF"):
        load_image(path)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"%PDF-1.7 ...", "PDF"),
        (b"  <!DOCTYPE html><html>", "HTML"),
        (b"\xef\xbb\xbf<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"8BPS\0\x01", "PSD"),
        (b"PF\n2 2\n-1.0\n" + bytes(48), "PFM, 3 x 32-bit float"),
        (bytes(128) + b"DICM" + bytes(20), "DICOM"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", r"video \(MP4"),
        (b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", r"video \(MP4 or QuickTime"),
        (b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom", "CR3"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS"),
        (b"\xff\x0a\xfa\x1f", "JPEG XL"),
    ],
)
def test_what_is_no_image_is_named(content: bytes, name: str) -> None:
    with pytest.raises(ImageDecodeError, match=f"it is .*{name}.*none of the known formats"):
        load_image(content)


def test_ppm_of_1023_and_float_pfm() -> None:
    values = np.array([[0, 511, 1023]], ">u2")
    content = b"P5\n3 1\n1023\n" + values.tobytes()
    assert np.abs(load_image(content)[0, :, 0].astype(int) - [0, 127, 255]).max() <= 1
    wide = np.repeat(values[..., None], 3, axis=2)
    content = b"P6\n3 1\n1023\n" + wide.tobytes()
    assert np.abs(load_image(content)[0, :, 2].astype(int) - [0, 127, 255]).max() <= 1
    floats = np.array([[0, 0.5, 1]], "<f4")
    assert load_image(b"Pf\n3 1\n-1.0\n" + floats.tobytes())[0, :, 0].tolist() == [0, 128, 255]


def test_jpeg_2000_of_16_bits_is_scaled() -> None:
    values = np.linspace(0, 65535, 64, dtype=np.uint16).reshape(8, 8)
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "JPEG2000")
    found = load_image(stream.getvalue())[..., 0].astype(float)
    assert np.abs(found - values / 257).max() <= 0.6
