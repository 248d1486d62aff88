"""Files for pools of images."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files that are named as images; nothing here decodes them. The current folder is above."""
    monkeypatch.chdir(tmp_path)
    for name in ("b.jpg", "a/2.PNG", "a/1.jpg", "a-.webp"):
        file = tmp_path / "photos" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(name.encode())
    (tmp_path / "photos" / "notes.txt").write_text("no picture")
    (tmp_path / "photos" / ".hidden.jpg").touch()
    return tmp_path / "photos"
