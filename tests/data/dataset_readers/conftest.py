"""Fixtures of the reader tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

WriteImage = Callable[..., Path]


@pytest.fixture
def write_image(tmp_path: Path) -> WriteImage:
    """Write a picture of one color below tmp_path and return its path."""

    def write(name: str, color: tuple[int, int, int] = (10, 20, 30), size=(6, 4)) -> Path:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        image = Image.new("RGB", size, color)
        known = file.suffix.lower() in Image.registered_extensions()
        image.save(file, format=None if known else "PNG")
        return file

    return write
