"""How much memory the images of a page take."""

from __future__ import annotations

import errno
import io
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fixtures.labeling_client import photo
from flask.testing import FlaskClient
from PIL import Image

from allencv_al.data.image_io import load_reduced
from allencv_al.service.labeling import shown_images
from allencv_al.service.web.images import DecodingBudget


def test_pictures_are_upright_small_and_encoded_anew(client: FlaskClient) -> None:
    def picture(item: str, size: str) -> Image.Image:
        found = client.get(f"/api/images/{item}?size={size}")
        assert found.status_code == 200
        opened = Image.open(io.BytesIO(found.data))
        assert not opened.getexif()
        return opened

    assert picture("i1", "full").size == (20, 40)
    assert picture("i1", "full").format == "PNG"
    assert picture("i3", "full").size == (2048, 1024)
    assert picture("i3", "thumb").size == (256, 128)
    tag = client.get("/api/images/i1").headers["ETag"]
    assert client.get("/api/images/i1", headers={"If-None-Match": tag}).status_code == 304


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("i2", 422),
        ("i4", 404),
        ("i9", 409),
        ("i1?size=huge", 422),
        ("1", 409),
        ("i0", 409),
        ("..%2flabeling.sqlite", 404),
        ("i1%00", 409),
        ("%2e%2e", 409),
    ],
)
def test_what_is_no_picture_says_so(path: str, status: int, client: FlaskClient) -> None:
    found = client.get(f"/api/images/{path}")
    assert found.status_code == status
    assert "/" not in found.json["error"]["message"]


def test_zoom_gets_more_pixels(client: FlaskClient, tmp_path: Path) -> None:
    (tmp_path / "large.jpg").write_bytes(photo(9000, 100))
    sizes = {}
    for size in ("thumb", "full", "large", "whole"):
        data = client.get(f"/api/images/i3?size={size}").data
        sizes[size] = Image.open(io.BytesIO(data)).width
    assert sizes == {"thumb": 256, "full": 2048, "large": 4096, "whole": 8192}


def test_photos_of_phones_are_shown_and_larger_ones_are_named(
    client: FlaskClient, tmp_path: Path
) -> None:
    (tmp_path / "large.jpg").write_bytes(photo(8064, 6048))
    assert client.get("/api/images/i3?size=thumb").status_code == 200
    (tmp_path / "turned.jpg").write_bytes(photo(16_000, 10_000))
    found = client.get("/api/images/i1?size=thumb")
    assert (found.status_code, found.json["error"]["code"]) == (422, "too_many_pixels")
    assert "16000x10000" in found.json["error"]["message"]


@pytest.mark.parametrize("place", ["stat", "decode"])
def test_a_fault_of_the_machine_is_neither_a_broken_nor_an_absent_image(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise OSError(errno.ESTALE, "Stale file handle")

    if place == "decode":
        monkeypatch.setattr(Image, "open", fails)
    else:
        monkeypatch.setattr(shown_images, "tag", fails)
    assert client.get("/api/images/i1").status_code == 500


def test_twelve_pictures_at_once_stay_within_the_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget = DecodingBudget(2_500_000)
    used: list[int] = []

    def load(*arguments: Any) -> Any:
        used.append(budget.used)
        return load_reduced(*arguments)

    monkeypatch.setattr(shown_images, "DECODING", budget)
    monkeypatch.setattr(shown_images, "load_reduced", load)
    path = tmp_path / "image.png"
    Image.new("RGB", (1_000, 1_000), "red").save(path)
    with ThreadPoolExecutor(12) as pool:
        made = list(pool.map(lambda _: shown_images.picture(path, "thumb", 10**8), range(12)))
    assert {Image.open(io.BytesIO(content)).size for content in made} == {(256, 256)}
    assert len(used) == 12 and 1_000_000 <= max(used) <= 2_000_000


_PROGRAM = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from allencv_al.common.process import peak_bytes
from allencv_al.service.labeling.shown_images import picture
path = Path(sys.argv[1])
before = peak_bytes()
with ThreadPoolExecutor(12) as pool:
    list(pool.map(lambda _: picture(path, "thumb", 10**9), range(12)))
print((peak_bytes() - before) // 2**20)
"""


@pytest.mark.slow
def test_twelve_images_of_forty_megapixels_take_one_gigabyte(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    Image.new("RGBA", (8_000, 5_000), (200, 30, 30, 120)).save(path)
    assert path.stat().st_size < 2**20
    command = [sys.executable, "-c", _PROGRAM, str(path)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    assert int(found.stdout) < 1_500, f"{found.stdout} MB"
