"""What strangers, slow clients and a full disk can do to a server: nothing that lasts."""

from __future__ import annotations

import http.client
import json
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from allencv_al.service.web import Identity, ServerThread, TokenAccess, WebApp, connections
from allencv_al.service.web.running import start_in_thread

MakeApp = Callable[..., WebApp]
TOKEN = "the-token-of-this-test"
MB = 2**20


@pytest.fixture
def closed_server(make_app: MakeApp) -> Iterator[ServerThread]:
    """A server that asks for a token."""
    server = start_in_thread(make_app(access=TokenAccess({TOKEN: Identity("anna")})))
    yield server
    server.close()


@pytest.fixture
def server(make_app: MakeApp) -> Iterator[ServerThread]:
    """A server for this machine."""
    server = start_in_thread(make_app())
    yield server
    server.close()


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The temporary files that were made."""
    made: list[Any] = []
    make = tempfile.TemporaryFile

    def count(*args: Any, **kwargs: Any) -> Any:
        made.append(make(*args, **kwargs))
        return made[-1]

    monkeypatch.setattr("tempfile.TemporaryFile", count)
    return made


def head(method: str, path: str, **headers: object) -> bytes:
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *lines, "", ""]).encode()


def rest(connection: socket.socket) -> bytes:
    """Return what comes until the server ends the connection."""
    return b"".join(iter(lambda: connection.recv(65_536), b""))


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def is_alive(port: int) -> bool:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as client:
        client.request("GET", "/healthz")
        return client.getresponse().status == 200


@pytest.mark.parametrize("length", ["Content-Length: 4000000", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("path", ["/raw", "/nothing", "/double"])
def test_a_stranger_is_refused_before_the_body(
    path: str, length: str, closed_server: ServerThread, stored: list[Any]
) -> None:
    with socket.create_connection(("127.0.0.1", closed_server.port), timeout=5) as connection:
        connection.sendall(head("POST", path, **dict([length.split(": ")])))
        answer = rest(connection)  # nothing of the body was sent
    assert status_of(answer) == 401
    assert b"\r\nConnection: close\r\n" in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "unauthorized"
    assert not stored


def test_who_sends_all_of_it_still_reads_why_it_is_refused(closed_server: ServerThread) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", closed_server.port, timeout=5)) as client:
        client.request("POST", "/raw", b"x" * 8 * MB)
        assert client.getresponse().status == 401


def test_a_stranger_who_waits_for_continue_is_refused(closed_server: ServerThread) -> None:
    with socket.create_connection(("127.0.0.1", closed_server.port), timeout=5) as connection:
        sent = head("POST", "/raw", Content_Length=9_000_000, Expect="100-continue")
        connection.sendall(sent)
        answer = rest(connection)
    assert status_of(answer) == 401


def test_a_page_of_another_site_is_refused_before_the_body(server: ServerThread) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(
            head("POST", "/raw", Content_Length=9_000_000, Origin="http://evil.example")
        )
        assert status_of(rest(connection)) == 403


@pytest.mark.parametrize("is_chunked", [False, True])
def test_what_strangers_may_send_is_short(is_chunked: bool, closed_server: ServerThread) -> None:
    size = 9_000_000
    length = {"Transfer-Encoding": "chunked"} if is_chunked else {"Content-Length": size}
    with socket.create_connection(("127.0.0.1", closed_server.port), timeout=5) as connection:
        connection.sendall(head("POST", "/login", Content_Type="application/json", **length))
        if is_chunked:
            connection.sendall(b"%x\r\n" % size + b"x" * 10_000)
        assert status_of(rest(connection)) == 413


def test_a_token_sends_and_logs_in_as_before(closed_server: ServerThread) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", closed_server.port, timeout=5)) as client:
        for size in (0, 10, 3 * MB):
            client.request("POST", "/raw", b"x" * size, {"Authorization": f"Bearer {TOKEN}"})
            assert client.getresponse().read() == str(size).encode()
        body = json.dumps({"token": TOKEN})
        client.request("POST", "/login", body, {"Content-Type": "application/json"})
        assert client.getresponse().status == 200


@pytest.mark.parametrize(
    "lengths",
    [
        b"Content-Length: 4\r\nContent-Length: 5",
        b"Content-Length: 4\r\ncontent-length: 4",
        b"Content-Length: 4, 4",
        b"Content-Length: 4\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 4",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked, chunked",
        b"Transfer-Encoding:\r\nContent-Length: 4",
    ],
)
@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
def test_two_lengths_end_the_connection(
    lengths: bytes, version: bytes, server: ServerThread
) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(
            b"POST /raw HTTP/" + version + b"\r\nHost: localhost\r\nConnection: keep-alive\r\n"
            + lengths + b"\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
        )  # fmt: skip
        answer = rest(connection)
    assert status_of(answer) == 400
    assert answer.count(b"HTTP/1.") == 1, "what stood behind it was taken for a request"


def test_many_slow_clients_lock_no_other_out(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("allencv_al.service.web.running._connection_limit", lambda threads: 40)
    server = start_in_thread(make_app())
    try:
        with ExitStack() as stack:
            slow = []
            for number in range(100):
                one = socket.create_connection(("127.0.0.1", server.port), timeout=5)
                stack.enter_context(one)
                one.sendall(b"POST /raw HTTP/1.1\r\nHost: localhost\r\n"[: 10 + number % 30])
                slow.append(one)
            for _ in range(5):
                assert is_alive(server.port)
            open_now = server._server._server.active_channels
            assert len(open_now) <= 40
    finally:
        server.close()


@pytest.mark.parametrize(
    ("limit", "sent"),
    [
        ("IDLE_SECONDS", b""),
        ("HEAD_SECONDS", b"GET /hea"),
        ("BODY_SECONDS", head("POST", "/raw", Content_Length=100) + b"x"),
        ("BODY_SECONDS", head("POST", "/raw", Transfer_Encoding="chunked") + b"5\r\nx"),
    ],
)
def test_each_step_of_a_request_has_its_time(
    limit: str, sent: bytes, server: ServerThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, limit, 0.1)
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(sent)
        began = time.monotonic()
        assert rest(connection) == b""
        assert time.monotonic() - began < 5


def test_who_sends_a_byte_now_and_then_is_overdue_too() -> None:
    channel = connections._Channel.__new__(connections._Channel)
    request = connections._GuardedRequest.__new__(connections._GuardedRequest)
    channel.requests, channel.request, channel._lingers_until = [], request, None
    channel._answer, channel.total_outbufs_len, channel.last_activity = None, 0, 1_000.0
    request.began, request.headers_finished, request.body_bytes_received = 900.0, False, 0
    assert channel.is_overdue(1_000.0), "100 s for a head, the last byte of it now"
    request.headers_finished = True
    assert channel.is_overdue(1_000.0), "100 s for an empty body"
    request.body_bytes_received = 80_000
    assert not channel.is_overdue(1_000.0), "800 bytes a second are slow, and wanted"
    channel.total_outbufs_len = 5_000
    assert not channel.is_overdue(1_000.0)
    assert not channel.is_overdue(1_064.0)
    assert channel.is_overdue(1_066.0), "an answer that is not read"


@pytest.mark.parametrize("error", [OSError(28, "No space left"), FileNotFoundError(2, "no TMPDIR")])
def test_a_disk_that_is_full_is_said(
    error: OSError, server: ServerThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise error

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)) as client:
        client.request("POST", "/raw", b"x" * 3 * MB)
        answer = client.getresponse()
        assert answer.status == 507
        assert json.loads(answer.read())["error"]["code"] == "disk_full"
    assert is_alive(server.port)


@pytest.mark.parametrize("sent", [b"0" * 4_000, b"0\r\n" + b"X: y\r\n" * 3_000])
def test_a_chunk_without_end_is_refused(sent: bytes, server: ServerThread) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(head("POST", "/raw", Transfer_Encoding="chunked") + sent)
        assert status_of(rest(connection)) == 400


def test_a_long_head_is_refused(server: ServerThread) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nA: " + b"b" * 40_000 + b"\r\n\r\n")
        assert status_of(rest(connection)) == 431
