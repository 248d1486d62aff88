"""Requests to a labeling server in this process."""

from __future__ import annotations

import io
from typing import Any

from flask.testing import FlaskClient
from PIL import Image

ANNA = {"X-Annotator": "Anna"}
BEN = {"X-Annotator": "Ben%20%C3%96"}


def photo(width: int, height: int, **options: Any) -> bytes:
    """Return a JPEG of one color."""
    buffer = io.BytesIO()
    image = Image.new("RGB", (width, height), (200, 30, 30))
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def answer(client: FlaskClient, item: str = "i1", **changes: Any) -> Any:
    """Answer an image as Anna."""
    body = {"client_id": "a-client-id", "item": item, "kind": "label", "class_id": "c1", **changes}
    return client.post("/api/answers", json=body, headers=ANNA)
