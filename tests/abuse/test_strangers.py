"""A11 to A15: what a client without a token, or with a few bytes, can take from a server."""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Size = Callable[[int, int], int]
Record = Callable[[str, object, str], None]

TOKEN = "the-token-of-the-abuse"
RIGHT = {"Authorization": f"Bearer {TOKEN}"}
MB = 2**20
DISK = ("unshare", "--user", "--map-root-user", "--mount")


@pytest.fixture
def closed(make_process: Callable[..., Any], images: Path, tmp_path: Path) -> Iterator[Any]:
    """The labeling server with a token."""
    labels = str(tmp_path / "labels")
    yield make_process("label", str(images), "--classes", "cat", "-s", labels, "--token", TOKEN)


def ask(
    port: int, method: str, path: str, body: bytes | None = None, headers: Any = ()
) -> tuple[int, bytes]:
    """Return status and body of the answer to one request."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    with contextlib.closing(client):
        client.request(method, path, body, dict(headers))
        answer = client.getresponse()
        return answer.status, answer.read()


def test_bodies_of_strangers_are_not_kept(closed: Any, size: Size, record: Record) -> None:
    """A11: not on the disk, and not in memory."""
    count = size(50, 900)
    memory, files = closed.resident_mb(), closed.open_files()
    head = b"POST /api/answers HTTP/1.1\r\nHost: localhost\r\nContent-Length: 15000000\r\n\r\n"
    with contextlib.ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection(("127.0.0.1", closed.port), timeout=20))
            for _ in range(count)
        ]
        for one in connections:
            one.sendall(head)
        for one in connections:
            with contextlib.suppress(OSError):  # it may have hung up
                one.sendall(b"x" * 100_000)
        answers = Counter(one.recv(65_536).split(b" ")[1] for one in connections)
        assert answers == {b"401": count}
        assert closed.open_files() <= files + count, "a temporary file for each of them"
        growth = closed.resident_mb() - memory
    assert growth < 50
    record(
        "A11 bodies of 15 MB without a token", count, f"401 each, unread, memory {growth:+.0f} MB"
    )


def test_slow_clients_lock_no_other_out(closed: Any, size: Size, record: Record) -> None:
    """A12: the connections of a server are all taken by clients that send a byte now and then."""
    count, rounds = size(1_010, 3_000), size(3, 30)
    with contextlib.ExitStack() as stack:
        slow = [
            stack.enter_context(socket.create_connection(("127.0.0.1", closed.port), timeout=20))
            for _ in range(count)
        ]
        times = []
        for number in range(rounds):
            for one in slow:
                with contextlib.suppress(OSError):
                    one.sendall(b"GET /healthz HTTP/1.1\r\nX: "[number : number + 1])
            began = time.monotonic()
            assert ask(closed.port, "GET", "/readyz", None, RIGHT)[0] == 200
            times.append(time.monotonic() - began)
    assert max(times) < 5
    assert len(closed.text) < 10_000, "the log is not flooded"
    record(
        "A12 slow connections, all at once",
        count,
        f"{rounds} of {rounds} others answered, the slowest in {1000 * max(times):.0f} ms",
    )


def test_tokens_cannot_be_guessed_fast(closed: Any, size: Size, record: Record) -> None:
    """A13."""
    count = size(300, 3_000)
    assert ask(closed.port, "GET", "/readyz", None, RIGHT)[0] == 200
    began = time.monotonic()
    client = http.client.HTTPConnection("127.0.0.1", closed.port, timeout=20)
    statuses: Counter[int] = Counter()
    with contextlib.closing(client):
        for number in range(count):
            client.request("GET", "/api/state", headers={"Authorization": f"Bearer no{number}"})
            answer = client.getresponse()
            answer.read()
            statuses[answer.status] += 1
            assert answer.status == 401 or int(answer.headers["Retry-After"]) >= 1
    seconds = time.monotonic() - began
    assert statuses[401] <= 21 + seconds / 3
    assert statuses[401] + statuses[429] == count
    assert ask(closed.port, "GET", "/readyz", None, RIGHT)[0] == 200, "who was in stays in"
    record(
        "A13 wrong tokens",
        count,
        f"{statuses[401]} looked at in {seconds:.1f} s, {statuses[429]:,} sent away (429)",
    )


def small_parts(names: str) -> Iterator[tuple[str, bytes]]:
    """Yield bodies of 15 MB that are far larger in memory."""
    for name, part, before, after in (
        ("lists", "[]", "[", "]"),
        ("objects", "{}", "[", "]"),
        ("texts", '""', "[", "]"),
        ("faults", "{}", '{"items":[', "]}"),
        ("numbers", "1", '{"items":[', "]}"),
    ):
        if name in names:
            count = 15_000_000 // (len(part) + 1)
            yield name, (before + ",".join([part] * count) + after).encode()
    if "keys" in names:
        keys = ",".join(f'"{number}":1' for number in range(1_300_000))
        yield "keys", f"{{{keys}}}".encode()
    if "depth" in names:
        yield "depth", b"[" * 7_500_000 + b"]" * 7_500_000


def test_json_costs_little_more_than_its_bytes(
    demo: Any, labeling: Any, pipeline: Any, size: Size, record: Record
) -> None:
    """A14."""
    count, worst = 0, 0.0
    everything = "lists, objects, texts, faults, numbers, keys, depth"
    for server, path, names in (
        (demo, "/predict", "objects, depth"),
        (demo, "/label-studio/predict", "faults"),
        (labeling, "/api/next", "lists, numbers"),
        (pipeline, "/train", "keys, faults"),
    ):
        before = server.resident_mb()
        for name, body in small_parts(everything if size(0, 1) else names):
            began = time.monotonic()
            headers = {"Content-Type": "application/json"}
            status, answer = ask(server.port, "POST", path, body, headers)
            assert status in (400, 413, 422), (path, name, answer)
            assert time.monotonic() - began < 30
            count += 1
        worst = max(worst, server.peak_mb() - before)
    assert worst < 400
    record("A14 JSON of 15 MB, of very many small parts", count, f"memory at most {worst:+.0f} MB")


def test_two_lengths_end_the_connection(
    demo: Any, labeling: Any, pipeline: Any, loop: Any, record: Record
) -> None:
    """A15: what stands behind such a request is not taken for another one."""
    lengths = [
        b"Content-Length: 4\r\nContent-Length: 5",
        b"Content-Length: 4\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 4",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    ]
    hidden = b"0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for server in (demo, labeling, pipeline, loop):
        for one in lengths:
            with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
                head = b"POST /login HTTP/1.1\r\nHost: localhost\r\n" + one + b"\r\n\r\n"
                connection.sendall(head + hidden)
                answer = b"".join(iter(lambda: connection.recv(65_536), b""))
            assert answer.split(b" ")[1] == b"400"
            assert answer.count(b"HTTP/1.") == 1
    record("A15 requests with two lengths", 4 * len(lengths), "400, and the connection ends")


def test_a_full_folder_of_temporary_files_is_a_507(
    make_process: Callable[..., Any], images: Path, tmp_path: Path, record: Record
) -> None:
    """F5, for what a request brings."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    if sys.platform != "linux" or shutil.which("unshare") is None:
        pytest.skip("only Linux makes a disk for one process (unshare)")
    mount = f'mount -t tmpfs -o size=512k none "{folder}"'
    if subprocess.run([*DISK, "sh", "-c", mount], capture_output=True, check=False).returncode:
        pytest.skip("this system does not allow to make a disk for one process")
    before = [*DISK, "sh", "-ec", f'{mount}; export TMPDIR="{folder}"; exec "$@"', "sh"]
    labels = str(tmp_path / "labels")
    server = make_process("label", str(images), "--classes", "cat", "-s", labels, before=before)
    body = json.dumps({"x": "y" * 4 * MB}).encode()
    headers = {"Content-Type": "application/json"}
    for _ in range(3):
        status, answer = ask(server.port, "POST", "/api/next", body, headers)
        assert (status, json.loads(answer)["error"]["code"]) == (507, "disk_full")
    assert ask(server.port, "POST", "/api/next", b'{"count": 1}', headers)[0] == 200
    assert "Traceback" not in server.text
    record("F5 the folder for temporary files is full", 3, "507 for what does not fit in memory")
