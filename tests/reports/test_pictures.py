"""Pictures within reports."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from allencv_al.reports.pictures import picture_address


def png(side: int) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC).save(stream, "PNG")
    return stream.getvalue()


def test_a_small_png_stays_and_a_large_one_becomes_smaller() -> None:
    small, large = png(8), png(300)
    assert picture_address(small) == f"data:image/png;base64,{base64.b64encode(small).decode()}"
    address = picture_address(large)
    assert address is not None
    assert address.startswith("data:image/jpeg;base64,")
    assert len(base64.b64decode(address.partition(",")[2])) < len(large)


def test_other_files_are_no_pictures() -> None:
    assert picture_address(None) is None
    assert picture_address(b"<svg onload='x'/>") is None
