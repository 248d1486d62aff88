"""Fixtures of the download tests."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

import pytest
from fixtures.faulty_server import Server


@pytest.fixture
def server() -> Iterator[tuple[Server, str]]:
    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.respond(self)

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
        thread.start()
        yield state, f"http://127.0.0.1:{httpd.server_address[1]}/cifar-10-binary.tar.gz"
        httpd.shutdown()
        thread.join()
