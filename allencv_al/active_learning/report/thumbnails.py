"""Thumbnails in a report: few and small enough that it opens at once."""

from __future__ import annotations

import io
from collections.abc import Callable

from PIL import Image

from allencv_al.reports.html import Markup, picture

Thumbnails = Callable[[str], bytes | None]
"""Gives the PNG or JPEG bytes of an item's thumbnail, or None where it has none."""

MOST_PER_ROUND = 24
_FEWEST_PER_ROUND = 4
_MOST_IN_ALL = 600
# A photograph of 96 pixels is about 15 kB as PNG and 3 kB as JPEG
_LARGE_PNG = 5_000
_QUALITY = 82


def shown_per_round(rounds: int) -> int:
    """Return how many picks of each round are shown, so that the page stays light."""
    return max(_FEWEST_PER_ROUND, min(MOST_PER_ROUND, _MOST_IN_ALL // max(rounds, 1)))


def thumbnail_image(content: bytes | None, alt: str) -> Markup | None:
    """Return a thumbnail for the page, or None where there is no picture."""
    if content is None:
        return None
    return picture(_lighter(content), alt, loading="lazy", decoding="async")


def _lighter(content: bytes) -> bytes:
    if len(content) <= _LARGE_PNG or not content.startswith(b"\x89PNG"):
        return content
    with Image.open(io.BytesIO(content)) as image:
        stream = io.BytesIO()
        image.convert("RGB").save(stream, "JPEG", quality=_QUALITY, optimize=True)
    return min(stream.getvalue(), content, key=len)
