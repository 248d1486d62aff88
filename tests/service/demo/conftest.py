"""The demo server over a tiny model, and images of every awkward kind."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from allencv_al.predictors import Predictor
from allencv_al.service.demo.app import create_app
from allencv_al.service.web.app import WebApp


@pytest.fixture
def create(tiny_run: Path) -> Iterator[Callable[..., WebApp]]:
    """Make a demo app; it is closed at the end."""
    made: list[WebApp] = []

    def make(archive: Path = tiny_run, **options: Any) -> WebApp:
        made.append(create_app(archive, **options))
        return made[-1]

    yield make
    for app in made:
        app.close()


@pytest.fixture
def reference(tiny_run: Path) -> Predictor:
    """What predicts the same images without a server."""
    return Predictor.from_path(tiny_run)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def noise(height: int, width: int, channels: int, dtype: type = np.uint8) -> Image.Image:
    generator = np.random.default_rng(channels)
    shape = (height, width, channels) if channels > 1 else (height, width)
    return Image.fromarray(generator.integers(0, np.iinfo(dtype).max, shape, dtype=dtype))


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


@pytest.fixture(scope="session")
def images() -> dict[str, bytes]:
    """Files by what is special about them."""
    return {
        "PNG": encoded(noise(17, 23, 3), "PNG"),
        "JPEG that is turned": encoded(noise(20, 31, 3), "JPEG", exif=turned()),
        "RGBA": encoded(noise(17, 23, 4), "PNG"),
        "gray": encoded(noise(17, 23, 1), "PNG"),
        "gray of 16 bits": encoded(noise(17, 23, 1, np.uint16), "PNG"),
        "GIF": encoded(noise(17, 23, 1), "GIF"),
        "WebP": encoded(noise(17, 23, 3), "WEBP", lossless=True),
        "BMP": encoded(noise(17, 23, 3), "BMP"),
        "TIFF": encoded(noise(17, 23, 3), "TIFF"),
    }
