"""Images that strangers send are known by their headers."""

from __future__ import annotations

import io
import struct
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from PIL import Image

from allencv_al.common.errors import ImageDecodeError
from allencv_al.service.web.images import DecodingBudget, check_image
from allencv_al.service.web.web_errors import WebError


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


def png(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (width, height)).save(buffer, "PNG")
    return buffer.getvalue()


def held_at_once(budget: DecodingBudget, sources: list[Any]) -> int:
    """Return the most images that were in the budget at once."""
    here = most = 0
    lock = threading.Lock()

    def decode(source: Any) -> None:
        nonlocal here, most
        with budget.hold(source):
            with lock:
                here += 1
                most = max(most, here)
            time.sleep(0.02)
            with lock:
                here -= 1

    with ThreadPoolExecutor(len(sources)) as pool:
        list(pool.map(decode, sources))
    assert budget.used == 0
    return most


def test_twelve_images_at_once_stay_within_the_budget() -> None:
    assert held_at_once(DecodingBudget(30_000), [png(100, 100)] * 12) == 3


def test_an_image_over_the_budget_is_decoded_alone() -> None:
    sources = [png(10, 10), png(1_000, 1_000), png(10, 10), png(900, 900)]
    budget = DecodingBudget(5_000)
    with budget.hold(sources[1]):
        assert budget.used == 5_000
    assert held_at_once(budget, sources[1::2] * 3) == 1


def test_what_is_no_file_costs_nothing() -> None:
    budget = DecodingBudget(1)
    with budget.hold(png(1, 1)), budget.hold(b"no image"), budget.hold({"image": []}):
        assert budget.used == 1


def test_a_client_that_waits_too_long_is_told_to_try_again() -> None:
    budget = DecodingBudget(100, max_waiting=0)
    with budget.hold(png(10, 10)):
        with pytest.raises(WebError, match="images are waiting to be decoded") as raised:
            budget.hold(png(10, 10), seconds=5).__enter__()
        assert (raised.value.status, raised.value.retry_after) == (503, 2)
        budget.max_waiting = 1
        with pytest.raises(WebError, match=r"within 0\.01 seconds"):
            budget.hold(png(10, 10), seconds=0.01).__enter__()
    with budget.hold(png(10, 10), seconds=0.01):
        assert budget.used == 100
    with budget.hold(png(1, 1), seconds=0.01):
        pass


def test_an_error_while_decoding_gives_the_pixels_back() -> None:
    budget = DecodingBudget(100)
    with pytest.raises(ValueError, match="damaged"), budget.hold(png(10, 10)):
        raise ValueError("damaged")
    assert budget.used == 0
