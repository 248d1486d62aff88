from __future__ import annotations

import csv
import errno
import io
import logging
import os
import re
import struct
import subprocess
import sys
import tarfile
import threading
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.pictures import encoded, gray16, photo
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from allencv_al.common.errors import ImageDecodeError
from allencv_al.data import image_io
from allencv_al.data.image_io import (
    image_size,
    load_image,
    load_mask,
    load_reduced,
    source_name,
)

RNG = np.random.default_rng(7)


def png_header(width: int, height: int) -> bytes:
    """A valid PNG of that size whose pixel data is missing."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    idat = b"IDAT"
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (chunk, idat)
    )


# What a source may be


def test_a_path_a_string_bytes_and_a_pil_image_give_the_same_pixels(tmp_path: Path) -> None:
    path = tmp_path / "é 猫.png"
    path.write_bytes(encoded(Image.fromarray(photo()), "PNG"))
    for source in (path, str(path), path.read_bytes(), Image.fromarray(photo()), Image.open(path)):
        assert np.array_equal(load_image(source), photo())


def test_pixels_are_writable_so_that_torch_can_take_them(tmp_path: Path) -> None:
    assert load_image(encoded(Image.fromarray(photo()), "PNG")).flags.writeable
    assert load_image(encoded(Image.fromarray(photo()), "PNG")).flags.c_contiguous


def test_a_pil_image_of_the_caller_stays_open_and_unchanged() -> None:
    image = Image.open(io.BytesIO(encoded(Image.fromarray(photo()).convert("P"), "GIF")))
    load_image(image)
    assert image.mode == "P"
    assert image.getpixel((0, 0)) is not None


def test_an_rgb_array_is_taken_as_it_is() -> None:
    array = photo()
    assert load_image(array) is array


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (photo().astype(np.float32) / 255, "expected dtype uint8 with values 0..255"),
        (photo().astype(np.int64), "expected dtype uint8"),
        (photo().transpose(2, 0, 1), r"channels first: transpose\(1, 2, 0\)"),
        (np.zeros((4, 4, 2), np.uint8), r"uint8 array \[4, 4, 2\].*expected shape"),
        (np.zeros((2, 4, 4, 3), np.uint8), "expected shape"),
        (np.zeros((0, 4, 3), np.uint8), "no pixels"),
    ],
)
def test_an_array_that_is_no_picture_says_what_would_be_right(
    array: np.ndarray, message: str
) -> None:
    with pytest.raises(ImageDecodeError, match=message):
        load_image(array)


def test_sources_have_names_for_messages() -> None:
    assert source_name(Path("a") / "b.png") == str(Path("a") / "b.png")
    assert source_name(b"12345") == "<5 bytes>"
    assert source_name(photo()) == "<uint8 array [24, 36, 3]>"
    assert source_name(Image.fromarray(photo())) == "<PIL image>"


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF"])
def test_an_animation_gives_its_first_frame(format: str) -> None:
    frames = [Image.new("RGB", (6, 4), color) for color in ((255, 0, 0), (0, 255, 0))]
    options = {"lossless": True} if format == "WEBP" else {}
    data = encoded(frames[0], format, save_all=True, append_images=frames[1:], **options)
    assert np.array_equal(load_image(data), np.full((4, 6, 3), (255, 0, 0), np.uint8))


# Refusals


def test_the_pixel_limit_is_read_from_the_header() -> None:
    with pytest.raises(
        ImageDecodeError, match=r"9000x9000 is 81,000,000 pixels.*max_pixels.*64,000,000"
    ):
        load_image(png_header(9000, 9000))  # has no pixel data: decoding it would say so
    data = encoded(Image.fromarray(photo()), "PNG")
    assert load_image(data, max_pixels=24 * 36).shape == (24, 36, 3)
    with pytest.raises(ImageDecodeError, match="max_pixels"):
        load_image(data, max_pixels=24 * 36 - 1)


@pytest.mark.parametrize("side", [13000, 60000])
def test_a_bomb_is_one_error_and_no_warning(side: int) -> None:
    with pytest.raises(ImageDecodeError, match=r"pixels.*max_pixels"):
        load_image(png_header(side, side))


def test_errors_name_the_file_and_the_cause(tmp_path: Path) -> None:
    empty = tmp_path / "empty.jpg"
    empty.touch()
    text = tmp_path / "text.jpg"
    text.write_text("<html>")
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(encoded(Image.fromarray(photo(200, 300)), "JPEG")[:1500])
    for path, cause in [
        (empty, "empty"),
        (text, "none of the known formats"),
        (cut, "truncated"),
        (tmp_path / "absent.jpg", "No such file"),
        (tmp_path, "directory"),
    ]:
        with pytest.raises(ImageDecodeError, match=cause) as caught:
            load_image(path)
        assert caught.value.source == str(path)
        assert str(path) in str(caught.value)


def test_postscript_is_never_handed_to_its_interpreter() -> None:
    data = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"
    with pytest.raises(ImageDecodeError, match="none of the known formats"):
        load_image(data)


def test_a_callers_own_pillow_warnings_stay_on() -> None:
    filters = list(warnings.filters)
    load_image(encoded(Image.fromarray(photo()), "PNG"))
    with pytest.raises(ImageDecodeError):
        load_image(b"")
    assert list(warnings.filters) == filters


def test_decoding_in_threads_leaves_the_warning_filters_alone() -> None:
    data = encoded(Image.fromarray(photo(200, 300)), "JPEG")
    filters = list(warnings.filters)
    threads = [
        threading.Thread(target=lambda: [load_image(data) for _ in range(30)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == filters


# Masks


def test_a_palette_mask_gives_its_indices(tmp_path: Path) -> None:
    classes = np.array([[0, 1, 2], [2, 1, 21]], np.uint8)
    image = Image.fromarray(classes).convert("L")
    palette = Image.frombytes("P", image.size, image.tobytes())
    palette.putpalette(list(range(255, 255 - 66, -1)))
    path = tmp_path / "mask.png"
    palette.save(path)
    assert np.array_equal(load_mask(path), classes)


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        (np.array([[0, 7], [255, 1]], np.uint8), [[0, 7], [255, 1]]),
        (np.array([[True, False]]), [[1, 0]]),
        (np.array([[3, 200]], np.uint16), [[3, 200]]),
        (np.array([[[5, 5, 5], [9, 9, 9]]], np.uint8), [[5, 9]]),
    ],
)
def test_gray_1_bit_16_bit_and_gray_rgb_masks_give_their_values(
    mask: np.ndarray, expected: list[list[int]]
) -> None:
    for source in (encoded(Image.fromarray(mask), "PNG"), mask):
        loaded = load_mask(source)
        assert loaded.dtype == np.uint8
        assert loaded.tolist() == expected


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (photo(), "found colors"),
        (np.array([[256]], np.uint16), r"0\.\.255, found 256"),
        (np.array([[-1]], np.int64), r"found -1"),
        (np.array([[0.5]], np.float32), "found float32"),
    ],
)
def test_a_mask_without_one_class_per_pixel_is_refused(mask: np.ndarray, message: str) -> None:
    with pytest.raises(ImageDecodeError, match=message):
        load_mask(mask)


def test_an_unreadable_mask_is_the_same_error(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    path.write_bytes(encoded(Image.fromarray(photo()[:, :, 0]), "PNG")[:60])
    with pytest.raises(ImageDecodeError, match=r"mask\.png"):
        load_mask(path)


def test_a_mask_is_turned_like_its_image() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(Image.fromarray(np.array([[1, 2, 3]], np.uint8)), "PNG", exif=exif)
    assert load_mask(data).tolist() == [[1], [2], [3]]


# Mutated files: an array or the one error, nothing else


def _seeds() -> list[bytes]:
    image = Image.fromarray(photo())
    exif = Image.Exif()
    exif[0x0112] = 6
    palette = image.convert("P")
    return [
        encoded(image, "JPEG", exif=exif),
        encoded(image, "JPEG", progressive=True),
        encoded(image.convert("CMYK"), "JPEG"),
        encoded(image, "PNG", exif=exif),
        encoded(Image.fromarray(gray16()), "PNG"),
        encoded(palette, "PNG", transparency=3),
        encoded(image.convert("RGBA"), "PNG"),
        encoded(palette, "GIF", save_all=True, append_images=[palette.rotate(9)]),
        encoded(image, "BMP"),
        encoded(image, "WEBP"),
        encoded(image, "TIFF"),
        encoded(image, "TIFF", compression="tiff_lzw"),
        encoded(Image.fromarray(gray16()), "TIFF"),
        encoded(image, "PPM"),
        encoded(image, "JPEG2000"),
    ]


SEEDS = _seeds()


def read_or_refuse(data: bytes, read: Callable[[bytes], np.ndarray] = load_image) -> None:
    try:
        loaded = read(data)
    except ImageDecodeError as error:
        assert str(error)
    else:
        assert loaded.dtype == np.uint8
        assert loaded.ndim == (3 if read is load_image else 2)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.sampled_from(range(len(SEEDS))),
    edits=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(max_size=6)), max_size=5),
    cut=st.none() | st.floats(0, 1),
)
def test_mutated_files_give_an_array_or_the_one_error(
    seed: int, edits: list[tuple[float, bytes]], cut: float | None
) -> None:
    data = bytearray(SEEDS[seed])
    for where, replacement in edits:
        at = int(where * len(data))
        data[at : at + len(replacement)] = replacement
    if cut is not None:
        data = data[: int(cut * len(data))]
    read_or_refuse(bytes(data))
    read_or_refuse(bytes(data), load_mask)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_give_an_array_or_the_one_error(data: bytes) -> None:
    read_or_refuse(data)


def test_a_file_cut_at_every_byte_gives_an_array_or_the_one_error() -> None:
    data = SEEDS[5]
    for length in range(len(data)):
        read_or_refuse(data[:length])


# The odd files of the shared data


@pytest.fixture(scope="module")
def odd_files(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("odd")
    with tarfile.open(shared_data / "odd_files.tar") as archive:
        archive.extractall(folder, filter="data")
    return folder / "odd_files"


@pytest.fixture(scope="module")
def cat(shared_data: Path) -> Image.Image:
    """The photograph that most of the odd files were made from."""
    with tarfile.open(shared_data / "cats_dogs.tar") as archive:
        member = archive.extractfile("cats_dogs/train/cat/cat.0.jpg")
        assert member is not None
        return Image.open(io.BytesIO(member.read())).convert("RGB")


def manifest(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_each_odd_file_opens_or_fails_as_its_manifest_says(odd_files: Path) -> None:
    rows = manifest(odd_files)
    assert len(rows) == 26
    for row in rows:
        path = odd_files / row["file"]
        if row["pillow_13.0.0"] == "fails":
            with pytest.raises(ImageDecodeError) as caught:
                load_image(path)
            assert caught.value.source == str(path)
            continue
        width, height = map(int, row["size"].split("x"))
        if path.name == "exif_orientation_6.jpeg":
            width, height = height, width
        assert load_image(path).shape == (height, width, 3), path.name


# How far a correct decode is from the photograph, scaled to the file's size: mean absolute
# difference in levels. Resampling, lossy coding and palettes explain these; a wrong channel order,
# inversion, rotation or clipping gives 25 and more.
ODD_PICTURES = {
    "flipped_bytes.jpg": (60.0, "RGB"),  # 64 bytes of the scan are inverted: partly damaged
    "png_named.jpg": (2.0, "RGB"),
    "gif_named.jpg": (15.0, "RGB"),
    "bmp_named.jpg": (2.0, "RGB"),
    "cmyk.jpg": (3.0, "RGB"),
    "gray.jpg": (2.0, "L"),
    "progressive.jpg": (2.0, "RGB"),
    "trailing_garbage.jpg": (0.0, "RGB"),
    "rgba.png": (2.0, "RGB"),
    "palette_transparent.png": (15.0, "RGB"),
    "gray_alpha.png": (2.0, "L"),
    "gray_16bit.png": (2.0, "L"),
    "webp.webp": (6.0, "RGB"),
    "upper.JPG": (0.0, "RGB"),
    "name with space é 猫.jpg": (0.0, "RGB"),
    "no_extension": (0.0, "RGB"),
    ".hidden.jpg": (0.0, "RGB"),
}


@pytest.mark.parametrize("name", ODD_PICTURES)
def test_an_odd_file_shows_its_photograph(odd_files: Path, cat: Image.Image, name: str) -> None:
    tolerance, mode = ODD_PICTURES[name]
    loaded = load_image(odd_files / name)
    height, width = loaded.shape[:2]
    expected = cat if (width, height) == cat.size else cat.resize((width, height))
    difference = loaded.astype(int) - np.asarray(expected.convert(mode).convert("RGB"))
    assert np.abs(difference).mean() <= tolerance


def test_the_one_bit_file_is_a_dithering_of_the_photograph(
    odd_files: Path, cat: Image.Image
) -> None:
    loaded = load_image(odd_files / "one_bit.png")
    assert set(np.unique(loaded)) == {0, 255}
    size = (loaded.shape[1], loaded.shape[0])
    blocks = Image.fromarray(loaded).convert("L").resize((12, 9), Image.Resampling.BOX)
    expected = cat.convert("L").resize(size).resize((12, 9), Image.Resampling.BOX)
    assert np.abs(np.asarray(blocks).astype(int) - np.asarray(expected)).mean() < 15


def test_the_turned_photograph_is_upright(odd_files: Path) -> None:
    path = odd_files / "exif_orientation_6.jpeg"
    loaded = load_image(path)
    assert loaded.shape == (1349, 1080, 3)
    with Image.open(path) as image:
        stored = np.asarray(image)
    assert np.array_equal(loaded, np.rot90(stored, -1))


# Reduced


def test_a_large_jpeg_is_decoded_at_a_fraction_of_its_size() -> None:
    image = Image.fromarray(photo(24, 36)).resize((1440, 960))
    reduced = load_reduced(encoded(image, "JPEG", quality=95), 100)
    assert reduced.shape == (120, 180, 3)
    whole = Image.fromarray(load_image(encoded(image, "JPEG", quality=95)))
    expected = np.array(whole.resize((180, 120), Image.Resampling.BOX)).astype(int)
    assert np.abs(reduced.astype(int) - expected).mean() < 2


def test_what_cannot_be_reduced_comes_at_full_size() -> None:
    small = encoded(Image.fromarray(photo()), "JPEG")
    assert np.array_equal(load_reduced(small, 100), load_image(small))
    assert np.array_equal(load_reduced(encoded(Image.fromarray(photo()), "PNG"), 3), photo())
    assert np.array_equal(load_reduced(photo(), 3), photo())
    assert np.array_equal(load_reduced(Image.fromarray(photo()), 3), photo())


def test_the_size_that_is_checked_is_the_whole_one() -> None:
    content = encoded(Image.new("RGB", (800, 800)), "JPEG")
    with pytest.raises(ImageDecodeError, match="more than max_pixels"):
        load_reduced(content, 50, max_pixels=100_000)


# Faults of the machine


MACHINE = [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ESTALE]


@pytest.mark.parametrize("number", MACHINE)
@pytest.mark.parametrize("read", [load_image, load_mask, image_size, lambda f: load_reduced(f, 9)])
def test_a_fault_of_the_machine_is_not_a_broken_image(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int, read: Callable[[Path], Any]
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    path = tmp_path / "a.png"
    path.write_bytes(encoded(Image.fromarray(photo()), "PNG"))
    monkeypatch.setattr(Image, "open", fails)
    with pytest.raises(OSError, match=re.escape(os.strerror(number))) as caught:
        read(path)
    assert (caught.value.errno, caught.value.filename) == (number, str(path))


def test_memory_that_is_missing_is_the_machines_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise MemoryError

    content = encoded(Image.fromarray(photo()), "PNG")
    monkeypatch.setattr(ImageFile.ImageFile, "load", fails)
    with pytest.raises(OSError, match="memory") as caught:
        load_image(content)
    assert caught.value.errno == errno.ENOMEM


@pytest.mark.parametrize("format", ["WEBP", "JPEG2000"])
@pytest.mark.skipif(sys.platform != "linux", reason="limits the memory as Linux does")
def test_memory_that_a_decoder_does_not_get_is_the_machines_fault(
    tmp_path: Path, format: str
) -> None:
    path = tmp_path / "image"
    Image.new("RGB", (4000, 3000)).save(path, format)
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from allencv_al.data.image_io import image_size, load_image\n"
        f"image_size({str(path)!r})\n"  # what is imported late
        "used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + (20 << 20), resource.RLIM_INFINITY))\n"
        "try:\n"
        f"    load_image({str(path)!r})\n"
        "except OSError as error:\n"
        "    sys.exit(error.errno)\n"
    )
    found = subprocess.run([sys.executable, "-c", code], check=False)
    assert found.returncode == errno.ENOMEM


def test_a_disk_that_fails_within_a_decoder_is_found_by_reading_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(photo()).save(path, compression="tiff_lzw")

    def fails(*_: Any) -> None:
        raise OSError("decoder error -2")  # libtiff reads by itself, and says no more

    whole = Path.open

    def broken(file: Path, *args: Any, **options: Any) -> Any:
        if file == path:
            raise OSError(errno.EIO, "Input/output error")
        return whole(file, *args, **options)

    monkeypatch.setattr(ImageFile.ImageFile, "load", fails)
    with pytest.raises(ImageDecodeError, match="decoder error -2"):
        load_image(path)
    monkeypatch.setattr(Path, "open", broken)
    with pytest.raises(OSError, match="Input/output error") as caught:
        load_image(path)
    assert caught.value.filename == str(path)


def test_a_file_that_may_not_be_read_is_its_own_fault(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Image, "open", fails)
    with pytest.raises(ImageDecodeError, match="Permission denied"):
        load_image(tmp_path / "a.png")


# What is said of unusual files


def test_what_was_done_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(image_io, "_said", set())
    frames = [Image.new("RGB", (6, 4), color) for color in ("red", "green")]
    wide = encoded(Image.fromarray(gray16()), "PNG")
    floats = encoded(Image.fromarray(np.array([[0.0, 1.0]], np.float32)), "TIFF")
    pages = encoded(frames[0], "TIFF", save_all=True, append_images=frames[1:])
    ordinary = encoded(frames[0], "JPEG")
    with caplog.at_level(logging.INFO):
        for content in (ordinary, wide, floats, pages, wide, floats, pages):
            load_image(content)
    said = [record.message for record in caplog.records]
    assert len(said) == 3
    for text, kind in zip(said, ("more than 8 bits", "float", "several pages"), strict=True):
        assert kind in text
        assert "said once" in text


# Large photographs


def test_a_photograph_of_48_megapixels_is_read_by_its_header() -> None:
    with pytest.raises(ImageDecodeError, match=r"OSError|truncated|broken"):
        load_image(png_header(8064, 6048))  # refused for its pixels alone, which are missing


def test_a_reduced_jpeg_may_have_four_times_the_pixels_in_its_file() -> None:
    content = encoded(Image.new("RGB", (800, 600), (200, 60, 60)), "JPEG")
    with pytest.raises(ImageDecodeError, match="480,000 pixels, more than max_pixels"):
        load_image(content, max_pixels=130_000)
    assert load_reduced(content, 300, max_pixels=130_000).shape == (300, 400, 3)
    with pytest.raises(ImageDecodeError, match="480,000 pixels, more than max_pixels"):
        load_reduced(content, 500, max_pixels=130_000)  # its sides may not be halved
    with pytest.raises(ImageDecodeError, match="480,000 pixels, more than max_pixels"):
        load_reduced(content, 50, max_pixels=100_000)


def test_a_jpeg_that_is_not_above_the_limit_is_decoded_whole() -> None:
    content = encoded(Image.fromarray(photo()).resize((800, 600)), "JPEG")
    assert np.array_equal(load_reduced(content, 100, above=480_000), load_image(content))
    assert load_reduced(content, 100, above=479_999).shape == (150, 200, 3)
