"""A server in this process, in one of its own, and in several by gunicorn."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from allencv_al.common.errors import ConfigurationError
from allencv_al.service.web import WebApp
from allencv_al.service.web.running import RunningServer, start_in_thread

MakeApp = Callable[..., WebApp]

PROGRAM = '''
import os, sys, time
from flask import Response
from allencv_al.service.web import WebApp, WebSettings
from allencv_al.service.web.running import serve

def create_app(port=0):
    app = WebApp("slow", WebSettings(port=port), "Slow")

    @app.operation("GET", "/slow/<int:ms>", produces="text/plain")
    def slow(ms):
        """Wait."""
        print("asked", flush=True)
        began = time.time()
        time.sleep(ms / 1000)
        return Response(f"{os.getpid()} {began} {time.time()}", mimetype="text/plain")

    app.on_close(lambda: print("closed", flush=True))
    return app

if __name__ == "__main__":
    sys.exit(serve(create_app(), lambda url: print(url, flush=True)))
'''


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """The file of a small server."""
    (tmp_path / "slow_server.py").write_text(PROGRAM)
    return tmp_path / "slow_server.py"


@pytest.fixture
def process(program: Path) -> Iterator[subprocess.Popen[str]]:
    """The small server as a process."""
    command = [sys.executable, str(program)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as started:
        yield started
        started.kill()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_lets_requests_finish(
    process: subprocess.Popen[str], number: signal.Signals, code: int
) -> None:
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    answers: list[bytes] = []

    def ask() -> None:
        answers.append(urllib.request.urlopen(f"{url}slow/700", timeout=20).read())

    thread = threading.Thread(target=ask)
    thread.start()
    assert process.stdout.readline() == "asked\n"
    process.send_signal(number)
    assert process.wait(timeout=15) == code
    thread.join()
    assert answers[0].startswith(f"{process.pid} ".encode())
    assert process.stdout.read() == "closed\n"


def test_a_second_signal_does_not_wait(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    port = int(url.rsplit(":", 1)[1].strip("/"))
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET /slow/60000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert process.stdout.readline() == "asked\n"
        process.send_signal(signal.SIGTERM)
        wait_until_closed(port)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=8) == 143


def wait_until_closed(port: int) -> None:
    """Return when no server listens any more."""
    until = time.monotonic() + 8
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_port_in_use_is_one_sentence(make_app: MakeApp) -> None:
    first = start_in_thread(make_app())
    try:
        with pytest.raises(ConfigurationError, match=f"port {first.port} .* is in use"):
            RunningServer(make_app(port=first.port))
    finally:
        first.close()


def test_what_the_server_itself_refuses_has_the_shape_of_all_errors(make_app: MakeApp) -> None:
    server = start_in_thread(make_app())
    try:
        for sent in (
            b"nonsense\r\n\r\n",
            b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: nonsense\r\n\r\n",
        ):
            with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
                connection.sendall(sent)
                connection.shutdown(socket.SHUT_WR)
                answer = b"".join(iter(lambda: connection.recv(65_536), b""))
            head, _, body = answer.partition(b"\r\n\r\n")
            assert head.split(b" ")[1] == b"400"
            assert set(json.loads(body)["error"]) == {"code", "message", "field"}
    finally:
        server.close()


@pytest.mark.parametrize("body", [b"", b"{}"])
def test_who_asks_whether_to_go_on_is_answered(body: bytes, make_app: MakeApp) -> None:
    server = start_in_thread(make_app())
    head = f"POST /double HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    try:
        for at_once in (True, False):
            with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
                sent = f"{head}Connection: close\r\nExpect: 100-continue\r\n\r\n".encode()
                connection.sendall(sent + body if at_once else sent)
                if not at_once and body:
                    assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
                    connection.sendall(body)
                answer = b"".join(iter(lambda: connection.recv(65_536), b""))
                assert answer.count(b"HTTP/1.1 415 ") == 1
    finally:
        server.close()


def test_readiness_names_what_is_missing(make_app: MakeApp) -> None:
    app = make_app()
    causes: list[str] = []
    app.add_readiness(lambda: causes[0] if causes else None)
    client = app.test_client()
    assert client.get("/readyz").json == {"status": "ready"}
    causes.append("the model is being loaded")
    found = client.get("/readyz")
    assert (found.status_code, found.headers["Retry-After"]) == (503, "1")
    assert "the model is being loaded" in found.json["error"]["message"]
    assert client.get("/healthz").status_code == 200


def is_ready(port: int) -> bool:
    try:
        return bool(urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10).read())
    except OSError:
        return False


@pytest.mark.slow
def test_gunicorn_runs_it_in_several_processes(program: Path) -> None:
    pytest.importorskip("gunicorn")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "gunicorn", "-w", "2", "-b", f"127.0.0.1:{port}"]
    with subprocess.Popen(
        [*command, "slow_server:create_app()"],
        cwd=program.parent,
        env={**os.environ, "PYTHONPATH": str(program.parent)},
        stderr=subprocess.PIPE,
    ) as process:
        try:
            until = time.monotonic() + 120
            while not is_ready(port):
                assert time.monotonic() < until and process.poll() is None
                time.sleep(0.1)
            url = f"http://127.0.0.1:{port}/slow/1000"
            with ThreadPoolExecutor(2) as pool:
                while True:  # the second process may start later than the first
                    opened = pool.map(
                        lambda _: urllib.request.urlopen(url, timeout=20).read(), "ab"
                    )
                    one, other = (tuple(map(float, answer.split())) for answer in opened)
                    if one[0] != other[0] and max(one[1], other[1]) < min(one[2], other[2]):
                        break
                    assert time.monotonic() < until, "one after the other"
        finally:
            process.terminate()
            assert process.wait(timeout=30) == 0
