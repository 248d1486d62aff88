"""Images that the pages of the documentation speak of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

WritePhotos = Callable[[Path, str], None]


@pytest.fixture
def write_photos() -> WritePhotos:
    """Return a function that writes two classes that are easy to tell apart: dark and bright."""

    def write(folder: Path, naming: str) -> None:
        for number in range(8):
            for label, value in (("cat", 40), ("dog", 200)):
                file = folder / naming.format(label=label, number=number)
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (40, 30), (value, value, value + number)).save(file)

    return write


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_photos: WritePhotos) -> Path:
    """Return the current folder, which holds labeled images in `photos`."""
    for split in ("train", "validation"):
        write_photos(tmp_path / "photos" / split, "{label}/{number}.jpg")
    monkeypatch.chdir(tmp_path)
    return tmp_path
