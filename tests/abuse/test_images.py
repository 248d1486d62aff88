"""A2: images that were tampered with."""

from __future__ import annotations

import io
import json
import random
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Size = Callable[[int, int], int]
Record = Callable[[str, object, str], None]

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
GROWTH_MB = 200


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    crc = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", crc)


def bomb(width: int, height: int) -> bytes:
    """Return a PNG of a few bytes that says it is large."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 99))


def odd() -> Iterator[bytes]:
    """Yield what is an image in an unusual way, or pretends to be one."""
    noise = np.random.default_rng(0).integers(0, 256, (12, 16, 4), dtype=np.uint8)
    for mode in ("L", "LA", "P", "CMYK", "RGBA", "1", "I;16", "I", "F"):
        image = Image.fromarray(noise[..., :3]).convert("L")
        kind = "TIFF" if mode in ("CMYK", "F", "I", "I;16") else "PNG"
        yield encoded(image.convert(mode), kind)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        yield encoded(Image.fromarray(noise[..., :3]), "JPEG", exif=exif)
    frames = [Image.fromarray(noise[..., i]) for i in range(3)]
    yield encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    yield from (b"", b"\0", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBP")
    yield from (bomb(65_535, 65_535), bomb(2**31 - 1, 2**31 - 1), bomb(1, 65_535), bomb(0, 0))
    yield encoded(Image.new("RGB", (1, 65_535)), "PNG")
    html = b"<!doctype html><script>alert(1)</script>"
    yield encoded(frames[0], "PNG") + html
    yield html + encoded(frames[0], "PNG")
    yield b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"


def mutated(draw: random.Random, seeds: list[bytes]) -> bytes:
    """Return an image with some bytes changed, cut, doubled or mixed with another."""
    content = bytearray(draw.choice(seeds))
    for _ in range(draw.randint(1, 6)):
        action = draw.random()
        place = draw.randrange(len(content) + 1)
        if action < 0.5 and content:
            content[place % len(content)] = draw.randrange(256)
        elif action < 0.65:
            del content[place : place + draw.randint(1, 40)]
        elif action < 0.8:
            content[place:place] = content[place : place + draw.randint(1, 40)]
        elif action < 0.9:
            content = content[:place] + bytearray(draw.choice(seeds))[place:]
        else:
            content = content[:place]
    return bytes(content)


def test_tampered_images_are_refused_or_predicted(
    demo: Any, make_picture: Callable[..., bytes], size: Size, record: Record
) -> None:
    seeds = [make_picture(number, kind=kind) for number, kind in enumerate(FORMATS)]
    draw = random.Random(2)
    whole = seeds[1]
    cases = [
        *odd(),
        *(whole[:length] for length in range(0, len(whole), size(16, 1))),
        *(mutated(draw, seeds) for _ in range(size(400, 50_000))),
    ]
    connection = HTTPConnection("127.0.0.1", demo.port, timeout=30)
    statuses: Counter[int] = Counter()
    before = demo.resident_mb()
    for content in cases:
        connection.request("POST", "/predict", content, {"Content-Type": "image/png"})
        with connection.getresponse() as answer:
            body = answer.read()
            statuses[answer.status] += 1
        assert answer.status == 200 or 400 <= answer.status < 500, (content[:80], body)
        assert b"Traceback" not in body
    connection.close()
    growth = demo.resident_mb() - before
    assert growth < GROWTH_MB
    assert demo.process.poll() is None and "Traceback" not in demo.text
    assert statuses[200] > 20 and statuses[422] > 100
    record(
        "A2 tampered images, demo",
        len(cases),
        f"{statuses[200]:,} predicted, {sum(statuses.values()) - statuses[200]:,} refused, "
        f"0 crashes, memory {growth:+.0f} MB",
    )


def test_a_turned_photo_is_seen_upright(demo: Any, record: Record) -> None:
    """All eight EXIF orientations of one picture are the same picture."""
    generator = np.random.default_rng(1)
    upright = Image.fromarray(generator.integers(0, 256, (20, 30, 3), dtype=np.uint8))
    turn = Image.Transpose
    undone = {
        1: None,
        2: turn.FLIP_LEFT_RIGHT,
        3: turn.ROTATE_180,
        4: turn.FLIP_TOP_BOTTOM,
        5: turn.TRANSPOSE,
        6: turn.ROTATE_90,
        7: turn.TRANSVERSE,
        8: turn.ROTATE_270,
    }
    found = []
    for orientation, operation in undone.items():
        stored = upright if operation is None else upright.transpose(operation)
        exif = Image.Exif()
        exif[0x0112] = orientation
        connection = HTTPConnection("127.0.0.1", demo.port, timeout=30)
        connection.request("POST", "/predict", encoded(stored, "PNG", exif=exif))
        with connection.getresponse() as answer:
            found.append(json.loads(answer.read())["probs"])
        connection.close()
    assert np.allclose(found, found[0])
    record("A2 EXIF orientations", 8, "8 of 8 the same answer")


def test_tampered_images_in_a_folder_are_refused_or_shown(
    make_process: Callable[..., Any],
    make_picture: Callable[..., bytes],
    tmp_path: Path,
    size: Size,
    record: Record,
) -> None:
    """An annotator of unreadable photos sees which they are, and continues."""
    folder = tmp_path / "photos"
    folder.mkdir()
    draw = random.Random(3)
    seeds = [make_picture(number, kind=kind) for number, kind in enumerate(FORMATS)]
    cases = [*odd(), *(mutated(draw, seeds) for _ in range(size(60, 5_000)))]
    for number, content in enumerate(cases):
        (folder / f"{number:05d}{draw.choice(('.png', '.jpg', '.tiff'))}").write_bytes(content)
    server = make_process("label", str(folder), "--classes", "cat")
    connection = HTTPConnection("127.0.0.1", server.port, timeout=30)
    statuses: Counter[int] = Counter()
    for number in range(1, len(cases) + 1):
        for shown in ("full", "thumb"):
            connection.request("GET", f"/api/images/i{number}?size={shown}")
            with connection.getresponse() as answer:
                content = answer.read()
                statuses[answer.status] += 1
            if answer.status == 200:  # encoded anew: nothing of what was hidden in it is left
                assert answer.headers["Content-Type"] in ("image/jpeg", "image/png")
                assert b"<script" not in content and b"<svg" not in content
            else:
                assert answer.status == 422, content
                assert str(folder).encode() not in content and b"Traceback" not in content
    connection.close()
    assert server.process.poll() is None and "Traceback" not in server.text
    assert statuses[200] > 20 and statuses[422] > 20
    record(
        "A2 tampered images, labeling",
        len(cases),
        f"{statuses[200] // 2:,} shown, {statuses[422] // 2:,} refused, 0 crashes",
    )
