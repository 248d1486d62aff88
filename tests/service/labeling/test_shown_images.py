"""How much memory the images of a page take."""

from __future__ import annotations

import io
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from allencv_al.data.image_io import load_reduced
from allencv_al.service.labeling import shown_images
from allencv_al.service.web.images import DecodingBudget


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
import resource, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from allencv_al.service.labeling.shown_images import picture
path = Path(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with ThreadPoolExecutor(12) as pool:
    list(pool.map(lambda _: picture(path, "thumb", 10**9), range(12)))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.slow
def test_twelve_images_of_forty_megapixels_take_one_gigabyte(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    Image.new("RGBA", (8_000, 5_000), (200, 30, 30, 120)).save(path)
    assert path.stat().st_size < 2**20
    command = [sys.executable, "-c", _PROGRAM, str(path)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    assert int(found.stdout) < 1_500, f"{found.stdout} MB"
