"""Requests to a pipeline over HTTP: busy is waited for, away for a while, wrong not at all."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from allencv_al.common.errors import ConfigurationError, DataError
from allencv_al.service.driver import http_transport
from allencv_al.service.driver.http_transport import HTTPTransport, address_fault
from allencv_al.service.driver.transport import TransportError

BUSY = (409, {"error": {"type": "busy", "message": "at work"}})
DONE = (200, {"train_time": 1.0})


class Scripted:
    """A server that gives the next of its answers to each request, the last one again and again."""

    def __init__(self, answers: list[tuple[int, Any]]) -> None:
        self.answers = answers
        self.seen: list[tuple[str, str, dict[str, str], Any]] = []
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(None)

            def do_POST(self) -> None:
                self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def log_message(self, *_: Any) -> None:
                pass

            def _answer(self, body: Any) -> None:
                scripted.seen.append((self.command, self.path, dict(self.headers), body))
                answers = scripted.answers
                status, answer = answers.pop(0) if len(answers) > 1 else answers[0]
                content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                if status == 302:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()
                self.wfile.write(content)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


Serve = Callable[..., Scripted]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return a function that starts a server with these answers."""
    started: list[Scripted] = []

    def start(*answers: tuple[int, Any]) -> Scripted:
        started.append(Scripted(list(answers)))
        return started[-1]

    yield start
    for one in started:
        one.server.shutdown()
        one.server.server_close()


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_transport, "_FIRST_PAUSE", 0.01)


@pytest.fixture
def unused_url() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_call_sends_body_token_and_key(serve: Serve) -> None:
    server = serve(DONE)
    transport = HTTPTransport(f"{server.url}/below/", "a-token", 0)
    assert transport.call("/train", {"labeled": [1]}, "round-1") == DONE[1]
    transport.close()
    [(method, path, headers, body)] = server.seen
    assert (method, path, body) == ("POST", "/below/train", {"labeled": [1]})
    assert headers["Authorization"] == "Bearer a-token"
    assert headers["Idempotency-Key"] == "round-1"


def test_without_token_and_key_neither_is_sent(serve: Serve) -> None:
    server = serve(DONE)
    HTTPTransport(server.url, None, 0).call("/train", {}, None)
    assert {"Authorization", "Idempotency-Key"}.isdisjoint(server.seen[0][2])


def test_a_busy_pipeline_is_waited_for_without_patience(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(BUSY, BUSY, BUSY, DONE)
    with caplog.at_level(logging.INFO):
        assert HTTPTransport(server.url, None, 0).call("/train", {}, "key") == DONE[1]
    assert [seen[2]["Idempotency-Key"] for seen in server.seen] == ["key"] * 4
    assert caplog.text.count("it is busy") == 1, "said at intervals"


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_pipeline_behind_a_proxy_may_be_away_for_a_while(status: int, serve: Serve) -> None:
    server = serve((status, b"<html>"), (status, b"<html>"), DONE)
    assert HTTPTransport(server.url, None, 30).call("/train", {}, "key") == DONE[1]
    server = serve((status, b"<html>"))
    with pytest.raises(DataError, match=rf"cannot be reached \(status {status}\); start it"):
        HTTPTransport(server.url, None, 0).call("/train", {}, "key")


def test_patience_is_of_one_absence_and_not_of_all(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice away for 8 seconds, and busy between."""
    times = iter([0.0, 8.0, 9.0, 10.0, 18.0])

    class Clock:
        monotonic = staticmethod(lambda: next(times))
        sleep = staticmethod(lambda seconds: None)

    away = (503, b"")
    server = serve(away, away, BUSY, away, away, DONE)
    transport = HTTPTransport(server.url, None, 10)
    monkeypatch.setattr(http_transport, "_logged_while_pending", lambda path: nullcontext())
    monkeypatch.setattr(http_transport, "time", Clock)
    assert transport.call("/train", {}, "key") == DONE[1]


@pytest.mark.parametrize("ask", [lambda it: it.get("/v1/info"), lambda it: it.call("/x", {}, "k")])
def test_an_address_without_a_listener_is_named(
    ask: Callable[[HTTPTransport], Any], unused_url: str
) -> None:
    message = rf"learner\.url: the pipeline at {unused_url} cannot be reached \(.*refused"
    with pytest.raises(DataError, match=message):
        ask(HTTPTransport(unused_url, None, 0))
    with pytest.raises(DataError, match=r"^work\.url: the loop at "):
        ask(HTTPTransport(unused_url, None, 0, "the loop", "work"))


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((401, {"error": {"message": "wrong token"}}), ConfigurationError),
        ((500, {"error": {"type": "ValueError", "message": "no such column"}}), TransportError),
        ((409, {"error": {"type": "checkpoint", "message": "overwritten"}}), TransportError),
        ((200, b"<p>hello"), TransportError),
        ((200, [1]), TransportError),
        ((302, {}), TransportError),
    ],
)
def test_a_refusal_is_not_repeated(
    answer: tuple[int, Any], error: type[Exception], serve: Serve
) -> None:
    server = serve(answer)
    for ask in (lambda it: it.call("/train", {}, "key"), lambda it: it.get("/v1/info")):
        with pytest.raises(error):
            ask(HTTPTransport(server.url, None, 30))
    assert [seen[1] for seen in server.seen] == ["/train", "/v1/info"]


@pytest.mark.parametrize("url", ["http://host:5000", "https://host", "http://[::1]:80/below"])
def test_a_right_address_has_no_fault(url: str) -> None:
    assert address_fault(url) is None


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("127.0.0.1:5000", "expected http://HOST:PORT, found"),
        ("ftp://host", "expected http://HOST:PORT, found"),
        ("http://", "expected http://HOST:PORT, found"),
        ("http://host:99999", "expected a port from 0 to 65535"),
        ("http://me:you@host", "the token is a key of its own"),
        ("http://host?token=a", "expected http://HOST:PORT alone"),
    ],
)
def test_a_wrong_address_has_a_fault(url: str, message: str) -> None:
    assert message in (address_fault(url) or "")
