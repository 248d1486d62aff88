"""Images that a server decodes: what their headers say, and how many are decoded at once."""

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

_BUDGET_PIXELS = 64_000_000  # up to 20 bytes each on the way from a PNG to a JPEG: about 1.3 GB
_MOST_WAITING = 32  # of the threads of a server, which also have to take answers
_RETRY_SECONDS = 2
_TRIMMED_PIXELS = 4_000_000


class DecodingBudget:
    """The budget of pixels that a process decodes at once, over all requests.

    A PNG of 200 kB may hold 40 megapixels: a dozen of them, decoded at once, take gigabytes. So
    each decoding holds its pixels here, in the order of asking. An image with more pixels than the
    whole budget is decoded alone.

    Args:
        max_pixels: The most pixels that are decoded at once.
        max_waiting: The most that wait in `hold` with a time limit; others are sent away.
    """

    def __init__(self, max_pixels: int = _BUDGET_PIXELS, max_waiting: int = _MOST_WAITING) -> None:
        self.max_pixels = max_pixels
        self.max_waiting = max_waiting
        self.used = 0
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()

    @contextmanager
    def hold(self, source: object, seconds: float | None = None) -> Iterator[None]:
        """Wait until an image may be decoded, and count its pixels while the block lasts.

        Args:
            source: A path or the bytes of a file; anything else is decoded already and costs none.
            seconds: Maximum time to wait; None waits without limit.

        Raises:
            WebError: It is not its turn within `seconds`, or too many wait already (503).
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
                raise _busy(f"{len(self._queue)} images wait to be decoded already")
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
"""The one budget of this process: all its servers and all their images share it."""


def check_image(content: bytes | Path, max_pixels: int) -> None:
    """Raise unless bytes are an image of a known raster format and size, by their header.

    Nothing is decoded; what follows the header may still be damaged.

    Args:
        content: What was sent, or a file.
        max_pixels: The most pixels it may have.

    Raises:
        ImageDecodeError: It is empty or of another kind (SVG and HTML are).
        WebError: It is too large (413).
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
    """Give freed memory back to the system.

    The allocator of glibc keeps it for the thread that has freed it: with one image after the other
    in a dozen of threads, each thread keeps as much as its largest image took.
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
    except ImageDecodeError:  # decoding it says why it is none
        return 0
    return width * height


def _busy(cause: str) -> WebError:
    return WebError(503, "busy", f"{cause}; try again", retry_after=_RETRY_SECONDS)


def _too_large(found: str, max_pixels: int) -> WebError:
    return WebError(
        413, "too_many_pixels", f"expected an image of at most {max_pixels:,} pixels, found {found}"
    )
