"""Connections of a server: authorization before the body, timeouts, and eviction.

Waitress reads the whole body of a request before the application sees it, waits for slow clients
as long as they send a byte now and then, and accepts no connection at its connection limit. This
server runs the guards as soon as the head of a request is complete, and answers refused requests
without reading the body. Each phase of a request has a timeout. A server at its limit closes the
connection that has been idle or incomplete for longest, of the address with most connections.
"""

from __future__ import annotations

import copy
import json
import logging
import re
import socket
import time
from collections import Counter
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask, ThreadedTaskDispatcher, WSGITask
from waitress.utilities import BadRequest, Error

from allencv_al.service.web.app import WebApp
from allencv_al.service.web.attempts import network_of
from allencv_al.service.web.guards import HEADERS

logger = logging.getLogger(__name__)

IDLE_SECONDS = 30.0
HEAD_SECONDS = 20.0
BODY_SECONDS = 30.0  # plus the received bytes at the least rate
ANSWER_SECONDS = 60.0  # plus the bytes of the response at the least rate
LEAST_BYTES_PER_SECOND = 1_000
MOST_HEAD_BYTES = 32 * 2**10
_LINGER_SECONDS = 2.0  # in which a refused client can read the response
_MOST_LINE_BYTES = 2**10  # of a line with the size of a chunk; waitress sets no limit
_MOST_TRAILER_BYTES = 8 * 2**10
_IN_MEMORY = 2**20  # bytes of a body; longer ones go to a temporary file
_SECONDS_BETWEEN_WARNINGS = 60.0
_LENGTHS = re.compile(rb"(?im)^(content-length|transfer-encoding)[ \t]*:([^\r\n]*)")

_TWO_LENGTHS = "expected one Content-Length or one Transfer-Encoding, found several"
_NOT_IN_1_0 = "HTTP/1.0 has no Transfer-Encoding; send Content-Length"
_LONG_CHUNK = "the line with the size of a chunk, or the trailer, is too long"
# Other messages are waitress's, which repeat parts of the request
_OWN_FAULTS = (_TWO_LENGTHS, _NOT_IN_1_0, _LONG_CHUNK)


class _DiskFullError(Error):  # type: ignore[misc]
    code = 507
    reason = "the server's disk is full; nothing of this request was stored"


class _JSONErrorTask(ErrorTask):  # type: ignore[misc]
    """Formats the errors of waitress like all other error responses."""

    def execute(self) -> None:
        error = self.request.error
        # Waitress answers 501 to an unknown Transfer-Encoding, which is a mistake of the client
        status = 400 if error.code == 501 else int(error.code)
        codes = {413: "too_large", 431: "too_large", 507: "disk_full"}
        content = {
            "code": codes.get(status, "bad_request"),
            "message": error.body if error.body in _OWN_FAULTS else error.reason.lower(),
            "field": None,
        }
        body = json.dumps({"error": content}).encode()
        self.status = f"{status} {HTTPStatus(status).phrase}"
        self.response_headers = [
            ("Content-Length", str(len(body))),
            ("Content-Type", "application/json"),
            *HEADERS.items(),
        ]
        self.set_close_on_finish()
        self.content_length = len(body)
        self.channel.lingers = True
        self.write(body)


class _GuardedRequest(HTTPRequestParser):  # type: ignore[misc]
    """Parser of a request that runs the guards as soon as the head is complete."""

    adj: Any
    body_rcv: Any

    def __init__(self, adj: Adjustments, channel: _Channel) -> None:
        super().__init__(adj)
        self.began = time.time()
        self._channel = channel

    def parse_header(self, header_plus: bytes) -> None:
        lengths = _LENGTHS.findall(header_plus)
        if len(lengths) > 1 or any(b"," in value for _, value in lengths):
            # Request smuggling: a proxy may trust the other length, and see another next request
            raise ParsingError(_TWO_LENGTHS)
        super().parse_header(header_plus)
        if self.version == "1.0" and any(name.lower().startswith(b"t") for name, _ in lengths):
            raise ParsingError(_NOT_IN_1_0)
        if self.body_rcv is not None:
            self._ask_guards()

    def _ask_guards(self) -> None:
        environ = WSGITask(self._channel, self).get_environment()
        limit = self._channel.server.app.body_limit(environ)
        if limit is None:  # refused: the application answers it, without the body
            self.body_rcv.getbuf().close()
            self.body_rcv = None
            self.content_length = 0
            self.chunked = self.expect_continue = False
            self.headers.pop("CONTENT_LENGTH", None)
            self.headers["CONNECTION"] = "close"
            self.connection_close = True
            self._channel.lingers = True
        elif limit < self.adj.max_request_body_size:
            self.adj = copy.copy(self.adj)
            self.adj.max_request_body_size = limit

    def received(self, data: bytes) -> int:
        try:
            consumed: int = super().received(data)
        except OSError as error:
            logger.error("cannot store a request: %s", error)
            consumed = self._fail(_DiskFullError(""), len(data))
        receiver = self.body_rcv
        if self.chunked and receiver is not None and not self.completed:
            line, trailer = len(receiver.control_line), len(receiver.trailer)
            if line > _MOST_LINE_BYTES or trailer > _MOST_TRAILER_BYTES:
                consumed = self._fail(BadRequest(_LONG_CHUNK), len(data))
        return consumed

    def _fail(self, error: Error, consumed: int) -> int:
        self.error = error
        self.completed = True
        with suppress(OSError):
            self.body_rcv.getbuf().close()
        return consumed


class _Channel(HTTPChannel):  # type: ignore[misc]
    error_task_class = _JSONErrorTask
    close_when_flushed: bool
    lingers = False  # a close amid an upload may reset the connection and lose the response

    def __init__(
        self, server: Server, sock: socket.socket, addr: Any, adj: Adjustments, map: Any
    ) -> None:
        super().__init__(server, sock, addr, adj, map)
        self.parser_class = lambda adjustments: _GuardedRequest(adjustments, self)
        self.network = network_of(addr[0])
        self.waits_since = time.time()
        self._lingers_until: float | None = None
        self._answer: tuple[float, int] | None = None

    def send_continue(self) -> None:
        """Send 100 Continue, unless the request is complete: waitress would wait for ever."""
        if not self.request.completed:
            super().send_continue()

    @property
    def is_busy(self) -> bool:
        """Whether a request is being handled."""
        return bool(self.requests)

    def is_overdue(self, now: float) -> bool:
        """Return whether the client has exceeded the timeout of the current phase."""
        self._answer = (
            (self._answer or (now, self.total_outbufs_len)) if self.total_outbufs_len else None
        )
        if self._answer is not None:
            began, size = self._answer
            return now - began > ANSWER_SECONDS + size / LEAST_BYTES_PER_SECOND
        if self.requests:
            return False
        if self._lingers_until is not None:
            return now > self._lingers_until
        request = self.request
        if request is None:
            return bool(now - self.last_activity > IDLE_SECONDS)
        if not request.headers_finished:
            return bool(now - request.began > HEAD_SECONDS)
        received = request.body_bytes_received / LEAST_BYTES_PER_SECOND
        return bool(now - request.began > BODY_SECONDS + received)

    def service(self) -> None:
        super().service()
        self.waits_since = time.time()

    def readable(self) -> bool:
        return self._lingers_until is not None or bool(super().readable())

    def received(self, data: bytes) -> bool:
        return False if self.lingers else bool(super().received(data))

    def handle_write(self) -> None:
        if self.lingers and self.close_when_flushed and not self.will_close:
            self._flush_exception(self._flush_some)
            if not self.total_outbufs_len and not self.will_close:
                self.close_when_flushed = False
                self._lingers_until = time.time() + _LINGER_SECONDS
                with suppress(OSError):
                    self.socket.shutdown(socket.SHUT_WR)
        if self._lingers_until is None or self.will_close:
            super().handle_write()


class Server(TcpWSGIServer):  # type: ignore[misc]
    """Accepts the connections of an application and enforces their limits.

    Args:
        app: The application.
        listener: The listening socket.
        adjustments: Settings of waitress.
    """

    channel_class = _Channel
    next_channel_cleanup: float

    def __init__(self, app: WebApp, listener: socket.socket, **adjustments: Any) -> None:
        self.app = app
        self._warned = -_SECONDS_BETWEEN_WARNINGS
        adj = Adjustments(
            inbuf_overflow=_IN_MEMORY,
            outbuf_overflow=2**31,  # bytes; responses are in memory anyway
            max_request_header_size=MOST_HEAD_BYTES,
            cleanup_interval=1,
            clear_untrusted_proxy_headers=True,
            **adjustments,
        )
        dispatcher = ThreadedTaskDispatcher()
        dispatcher.set_thread_count(adj.threads)
        super().__init__(
            app,
            map={},
            _sock=listener,
            dispatcher=dispatcher,
            adj=adj,
            sockinfo=(listener.family, listener.type, listener.proto, listener.getsockname()),
            bind_socket=False,
        )

    def readable(self) -> bool:
        now = time.time()
        if now >= self.next_channel_cleanup:
            self.next_channel_cleanup = now + self.adj.cleanup_interval
            self.maintenance(now)
        return bool(self.accepting) and (not self._is_full() or bool(self._evictable()))

    def maintenance(self, now: float) -> None:
        """Close the connections that have exceeded a timeout."""
        for channel in list(self.active_channels.values()):
            if channel.is_overdue(now):
                channel.handle_close()

    def handle_accept(self) -> None:
        """Accept a connection; at the limit close another one first."""
        if self._is_full():
            self._evict()
        super().handle_accept()

    def _is_full(self) -> bool:
        return bool(len(self._map) >= self.adj.connection_limit)

    def _evictable(self) -> list[_Channel]:
        return [one for one in self.active_channels.values() if not one.is_busy]

    def _evict(self) -> None:
        held = Counter(channel.network for channel in self.active_channels.values())
        candidates = self._evictable()
        if not candidates:
            return
        victim = max(candidates, key=lambda one: (held[one.network], -one.waits_since))
        victim.handle_close()
        now = time.monotonic()
        if now - self._warned > _SECONDS_BETWEEN_WARNINGS:
            self._warned = now
            logger.warning(
                "%d connections are open, which is the limit; closing those that wait longest",
                len(self.active_channels) + 1,
            )
