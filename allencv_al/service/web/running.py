"""Run an application by waitress, with a graceful shutdown."""

from __future__ import annotations

import ctypes
import errno
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

from waitress import wasyncore

from allencv_al.common.errors import ConfigurationError
from allencv_al.common.process import most_open_files
from allencv_al.service.web.app import WebApp
from allencv_al.service.web.connections import Server
from allencv_al.service.web.web_settings import WebSettings

DRAIN_SECONDS = 10.0
_POLL_SECONDS = 1.0
_MOST_CONNECTIONS = 1_000
_FEWEST_CONNECTIONS = 32
_FILES_PER_THREAD = 4  # an SQLite database with log and shared memory, and an image
_OTHER_FILES = 64  # libraries, logs and sockets of the process
_M_ARENA_MAX = -8  # of malloc.h


class RunningServer:
    """A server that listens from its creation on; `run` handles the requests.

    Args:
        app: The application, with the address in its settings.

    Raises:
        ConfigurationError: The server cannot listen on the address.
    """

    def __init__(self, app: WebApp) -> None:
        settings = app.settings
        self._app = app
        _share_free_memory()
        listener = _listener(settings)
        self.port: int = listener.getsockname()[1]
        self._server = Server(
            app,
            listener,
            threads=settings.max_waiting,
            connection_limit=_connection_limit(settings.max_waiting),
            max_request_body_size=settings.max_body_bytes,
            ident="allencv-al",
            asyncore_use_poll=hasattr(select, "poll"),
        )
        self._stopping = threading.Event()

    @property
    def url(self) -> str:
        """URL of the server."""
        host = self._app.settings.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"

    def run(self) -> None:
        """Handle requests until `stop` is called, and finish those in progress."""
        try:
            self._loop(lambda: self._stopping.is_set())
            self._server.accepting = False
            self._server.socket.close()
            self._server.del_channel()
            deadline = time.monotonic() + DRAIN_SECONDS
            self._loop(lambda: self._is_idle() or time.monotonic() > deadline, 0.05)
        finally:
            # A handler that outlives the drain time is abandoned: the process has to end
            left = DRAIN_SECONDS if self._is_idle() else 0.1
            self._server.task_dispatcher.shutdown(timeout=left)
            wasyncore.close_all(self._server._map, ignore_all=True)
            self._app.close()

    def stop(self) -> None:
        """Accept no more requests; `run` returns when those in progress are finished."""
        self._stopping.set()
        with suppress(OSError):  # the server may have stopped already
            self._server.pull_trigger()

    def _loop(self, is_over: Callable[[], bool], seconds: float = _POLL_SECONDS) -> None:
        use_poll = self._server.adj.asyncore_use_poll
        while not is_over():
            wasyncore.loop(timeout=seconds, use_poll=use_poll, map=self._server._map, count=1)

    def _is_idle(self) -> bool:
        return not any(
            channel.requests or channel.total_outbufs_len or channel.request is not None
            for channel in list(self._server.active_channels.values())
        )


def serve(app: WebApp, announce: Callable[[str], None] | None = None) -> int:
    """Serve until SIGINT or SIGTERM, then finish the requests in progress.

    Args:
        app: The application, with the address in its settings.
        announce: Called with the URL when the server listens.

    Returns:
        The exit code: 130 or 143.

    Raises:
        ConfigurationError: The server cannot listen on the address.
    """
    server = RunningServer(app)
    received: list[int] = []

    def on_signal(number: int, frame: FrameType | None) -> None:
        if received:  # a second signal ends the process at once
            sys.exit(128 + number)
        received.append(number)
        server.stop()

    before = {number: signal.signal(number, on_signal) for number in _SIGNALS}
    try:
        if announce is not None:
            announce(server.url)
        server.run()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 128 + (received[0] if received else signal.SIGTERM)


class ServerThread:
    """A server in a thread of this process.

    Args:
        app: The application.
    """

    def __init__(self, app: WebApp) -> None:
        self._server = RunningServer(app)
        self._thread = threading.Thread(target=self._server.run, name=app.name, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """URL of the server."""
        return self._server.url

    @property
    def port(self) -> int:
        """Port that the server listens on."""
        return self._server.port

    def close(self) -> None:
        """Stop the server when the requests in progress are finished."""
        self._server.stop()
        self._thread.join()


def start_in_thread(app: WebApp) -> ServerThread:
    """Start a server in a thread of this process."""
    return ServerThread(app)


_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def _share_free_memory() -> None:
    """Limit the number of malloc arenas, so that threads reuse freed memory.

    glibc keeps freed memory in an arena per thread: after a few large requests the many threads of
    a server would hold gigabytes permanently.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library, without such arenas
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, max(2, os.cpu_count() or 1))


def _connection_limit(threads: int) -> int:
    """Return the maximum number of connections, each of which takes a file descriptor.

    Without free descriptors `accept` would fail in a loop and fill the log.
    """
    files = most_open_files()
    if files is None:
        return _MOST_CONNECTIONS
    left = files - threads * _FILES_PER_THREAD - _OTHER_FILES
    return max(_FEWEST_CONNECTIONS, min(_MOST_CONNECTIONS, left))


def _listener(settings: WebSettings) -> socket.socket:
    host, port = settings.listens_on, settings.port
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, address = found[0][0], found[0][4]
        return socket.create_server(address[:2], family=family, backlog=_MOST_CONNECTIONS)
    except OSError as error:
        raise ConfigurationError(_port_fault(error, settings.host, port)) from error


def _port_fault(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is in use by another program; choose another with --port"
    return f"cannot listen on {host}, port {port}: {error.strerror or error}"
