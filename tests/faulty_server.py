"""A web server with the faults that a test asks for."""

from __future__ import annotations

import hashlib
import http.server

import numpy as np

CONTENT = np.random.default_rng(0).integers(0, 256, 300_000, dtype=np.uint8).tobytes()


CONTENT_MD5 = hashlib.md5(CONTENT).hexdigest()


class Server:
    """Serves CONTENT, with the faults a test asks for; it records what was asked of it."""

    def __init__(self) -> None:
        self.ranges: list[str | None] = []
        self.cut_after: list[int] = []  # bytes to send in each of the next answers
        self.status: list[int] = []  # answers to give instead
        self.ignore_range = False
        self.range_offset = 0
        self.length = True
        self.redirect: str | None = None
        self.content = CONTENT

    def respond(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        wanted = handler.headers.get("Range")
        self.ranges.append(wanted)
        if self.status:
            handler.send_error(self.status.pop(0))
            return
        if self.redirect:
            handler.send_response(302)
            handler.send_header("Location", self.redirect)
            handler.end_headers()
            self.redirect = None
            return
        start = int(wanted[6:-1]) if wanted and not self.ignore_range else 0
        if start >= len(self.content):
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{len(self.content)}")
            handler.end_headers()
            return
        start += self.range_offset
        body = self.content[start:]
        handler.send_response(206 if wanted and not self.ignore_range else 200)
        if wanted and not self.ignore_range:
            last = len(self.content) - 1
            handler.send_header("Content-Range", f"bytes {start}-{last}/{len(self.content)}")
        if self.length:
            handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[: self.cut_after.pop(0)] if self.cut_after else body)
