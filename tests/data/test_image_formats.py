from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from allencv_al.common.errors import ImageDecodeError
from allencv_al.data import image_formats
from allencv_al.data.image_io import image_size, load_image, load_mask, load_reduced

CASES = Path(__file__).parent / "cases" / "images"


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
