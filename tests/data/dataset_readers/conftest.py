"""Fixtures of the reader tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from allencv_al.data.dataset_readers import DatasetReader

WriteImage = Callable[..., Path]


class ArrayReader(DatasetReader):
    """Reads nothing, gives what it was given."""

    def __init__(self, items, **kwargs):
        super().__init__(**kwargs)
        self.items = items

    def _read(self, path):
        return self.items


def array(value: int = 7) -> np.ndarray:
    return np.full((4, 6, 3), value, dtype=np.uint8)


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
