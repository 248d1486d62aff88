"""Images for the page: upright, RGB, re-encoded, so that only pixels are sent."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import flask
from PIL import Image

from allencv_al.common.errors import ImageDecodeError, is_machine_fault
from allencv_al.data.image_io import load_reduced
from allencv_al.service.web.images import DECODING, check_image
from allencv_al.service.web.web_errors import WebError

SIDES = {"thumb": 256, "full": 2048, "large": 4096, "whole": 8192}
"""The most pixels of the longer side, by the name of a size: the page asks for more as it zooms."""

MOST_PIXELS = 150_000_000
"""Pixels that a page shows at least: the images are the user's own; phones take 50 megapixels."""

_QUALITY = 90
_SMALL = 256
_WAIT_SECONDS = 60.0  # for the images of others


def image_response(
    source: Path | bytes, size: str, max_pixels: int, is_fixed: bool
) -> flask.Response:
    """Return the response to a request for an image, with its ETag.

    Args:
        source: A file or its content.
        size: One of `SIDES`.
        max_pixels: The largest image that is decoded; never less than `MOST_PIXELS`.
        is_fixed: Whether the address changes with the image, so that it can be cached.

    Raises:
        WebError: The image is missing (404), unreadable or too large (422), or too many others are
            being decoded (503).
    """
    try:
        entity = tag(source, size)
    except OSError as error:
        if is_machine_fault(error):
            raise
        raise WebError(404, "not_found", "the file of this image is gone") from None
    response = flask.Response(mimetype="image/jpeg")
    response.set_etag(entity)
    response.headers["Cache-Control"] = "private, max-age=3600" if is_fixed else "no-cache"
    if entity not in flask.request.if_none_match:
        try:
            response.data = picture(source, size, max_pixels)
        except ImageDecodeError as error:
            cause = str(error).partition(": ")[2]
            raise WebError(422, "image", cause or "it cannot be read") from error
        is_png = response.data.startswith(b"\x89PNG")
        response.mimetype = "image/png" if is_png else "image/jpeg"
    response.make_conditional(flask.request)
    return response


def picture(source: Path | bytes, size: str, max_pixels: int) -> bytes:
    """Return an image as JPEG, or as PNG if it is so small that every pixel counts.

    Args:
        source: A file or its content.
        size: One of `SIDES`.
        max_pixels: The largest image that is decoded; never less than `MOST_PIXELS`.

    Raises:
        ImageDecodeError: It cannot be read.
        WebError: It is too large (422, `too_many_pixels`), or too many others are decoded (503).
    """
    most = max(max_pixels, MOST_PIXELS)
    try:
        check_image(source, most)
    except WebError as error:  # 413 is for what was sent; this is the server's own file
        raise WebError(422, error.code, str(error)) from error
    with DECODING.hold(source, _WAIT_SECONDS):
        return _encoded(source, SIDES[size], most)  # the pixels are freed within the block


def _encoded(source: Path | bytes, side: int, max_pixels: int) -> bytes:
    image = Image.fromarray(load_reduced(source, side, max_pixels))
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    if max(image.size) <= _SMALL:
        image.save(buffer, "PNG")
    else:
        image.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()


def tag(source: Path | bytes, size: str) -> str:
    """Return an ETag that changes with the image, without decoding it.

    Raises:
        OSError: The file is gone.
    """
    if isinstance(source, bytes):
        of = hashlib.sha256(source).hexdigest()[:24]
    else:
        status = source.stat()
        of = f"{status.st_mtime_ns:x}-{status.st_size:x}"
    return f"{size}-{of}"
