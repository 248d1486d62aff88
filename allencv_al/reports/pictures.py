"""Pictures within a report, light enough for hundreds of them."""

from __future__ import annotations

import base64
import io

from markupsafe import Markup
from PIL import Image

_KINDS = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}
# A photograph of 96 pixels is about 15 kB as PNG and 3 kB as JPEG
_LARGE_PNG = 5_000
_QUALITY = 82


def picture_address(content: bytes | None) -> Markup | None:
    """Return a PNG or JPEG as the address of an image; None for anything else, such as SVG.

    Args:
        content: The bytes of the file; a large PNG becomes a JPEG.
    """
    content = _lighter(content or b"")
    kind = next((kind for head, kind in _KINDS.items() if content.startswith(head)), None)
    if kind is None:
        return None
    data = base64.b64encode(content).decode("ascii")
    return Markup(f"data:{kind};base64,{data}")  # noqa: S704  neither part has a special character


def _lighter(content: bytes) -> bytes:
    if len(content) <= _LARGE_PNG or not content.startswith(b"\x89PNG"):
        return content
    with Image.open(io.BytesIO(content)) as image:
        stream = io.BytesIO()
        # JPEG has no transparency; noise may be smaller as PNG
        image.convert("RGB").save(stream, "JPEG", quality=_QUALITY, optimize=True)
    return min(stream.getvalue(), content, key=len)
