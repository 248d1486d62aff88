"""Limits of the images that a server decodes: size by the header, and pixels at once."""

from __future__ import annotations

import ctypes
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from PIL import Image

from allencv_al.common.errors import ImageDecodeError
from allencv_al.data.image_io import image_size
from allencv_al.service.web.web_errors import WebError

_BUDGET_PIXELS = 64_000_000  # up to 20 bytes each from a PNG to a JPEG: about 1.3 GB
_MOST_WAITING = 32  # threads of a server; the others must stay free to store labels
_RETRY_SECONDS = 2
_TRIMMED_PIXELS = 4_000_000


class DecodingBudget:
    """The budget of pixels that a process decodes at once, over all requests.

    A PNG of 200 kB may hold 40 megapixels: a dozen of them, decoded at once, take gigabytes. So
    each decoding acquires its pixels here, first come, first served. An image with more pixels than
    the whole budget is decoded alone.

    Args:
        max_pixels: Maximum number of pixels decoded at once.
        max_waiting: Maximum number of calls that wait with a time limit; further ones fail.
    """

    def __init__(self, max_pixels: int = _BUDGET_PIXELS, max_waiting: int = _MOST_WAITING) -> None:
        self.max_pixels = max_pixels
        self.max_waiting = max_waiting
        self.used = 0
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()

    @contextmanager
    def hold(self, source: object, seconds: float | None = None) -> Iterator[None]:
        """Wait until an image may be decoded, and hold its pixels for the duration of the block.

        Args:
            source: A path or the bytes of a file; anything else is already decoded and is free.
            seconds: Timeout in seconds; None for no timeout.

        Raises:
            WebError: The timeout has passed, or too many calls wait already (503).
        """
        pixels = min(_pixels(source), self.max_pixels)
        if pixels:
            self._acquire(pixels, seconds)
        try:
            yield
        finally:
            if pixels:
                if pixels >= _TRIMMED_PIXELS:
                    _trim()
                with self._changed:
                    self.used -= pixels
                    self._changed.notify_all()

    def _acquire(self, pixels: int, seconds: float | None) -> None:
        ticket = object()
        with self._changed:
            if seconds is not None and len(self._queue) >= self.max_waiting:
                raise _busy(f"{len(self._queue)} images are waiting to be decoded")
            self._queue.append(ticket)
            try:
                is_free = self._changed.wait_for(
                    lambda: self._queue[0] is ticket and self.used + pixels <= self.max_pixels,
                    seconds,
                )
                if not is_free:
                    raise _busy(f"the image could not be decoded within {seconds:g} seconds")
                self.used += pixels
            finally:
                self._queue.remove(ticket)
                self._changed.notify_all()


DECODING = DecodingBudget()
"""The budget of this process, shared by all servers in it."""


def check_image(content: bytes | Path, max_pixels: int) -> None:
    """Raise unless the header is that of an image of a known raster format and allowed size.

    The pixels are not decoded and may still be damaged.

    Args:
        content: The bytes of the image, or its file.
        max_pixels: Maximum number of pixels.

    Raises:
        ImageDecodeError: The content is empty or of another format (such as SVG or HTML).
        WebError: The image is too large (413).
    """
    try:
        width, height = image_size(content)
    except ImageDecodeError as error:
        if isinstance(error.__cause__, Image.DecompressionBombError):
            raise _too_large("far more", max_pixels) from None
        raise
    if width * height > max_pixels:
        raise _too_large(f"{width}x{height}", max_pixels)


def _trim() -> None:
    """Return freed memory to the operating system.

    The allocator of glibc keeps it in the arena of the thread: after some time each of a dozen
    threads would hold as much as its largest image took.
    """
    trim = getattr(_libc(), "malloc_trim", None)
    if trim is not None:
        trim(0)


@cache
def _libc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if sys.platform == "linux" else None


def _pixels(source: object) -> int:
    if not isinstance(source, bytes | str | Path):
        return 0
    try:
        width, height = image_size(source)
    except ImageDecodeError:  # the decoder reports the cause
        return 0
    return width * height


def _busy(cause: str) -> WebError:
    return WebError(503, "busy", f"{cause}; try again", retry_after=_RETRY_SECONDS)


def _too_large(found: str, max_pixels: int) -> WebError:
    return WebError(
        413, "too_many_pixels", f"expected an image of at most {max_pixels:,} pixels, found {found}"
    )
