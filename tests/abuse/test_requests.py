"""A1, A3, A4, A7 and A10: requests that mean no good."""

from __future__ import annotations

import http.client
import json
import random
import re
import socket
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

Size = Callable[[int, int], int]
Record = Callable[[str, object, str], None]

SECONDS = 20
GROWTH_MB = 50
JSON = {"Content-Type": "application/json"}
JUNK: list[Any] = [
    *(None, True, -1, 0, 1.5, 10**30, 2**63, "", "x" * 5_000, "\0", "\u202e", "i1", "c1", "../i1"),
    *([0, 1], [2**63, 10**30], [-1], [0, 0], "ckpt_0", "a__b", {"0": "cat"}, {"x": "y"}),
    *([], {}, [[]], [None] * 50, {"a": {"b": []}}, "label", "current", "data:image/png;base64,AA"),
]
BODIES = [
    *(b"", b"{", b"null", b"[1,", b"\xff\xfe{}", b'{"a":NaN}', b'{"a":1e999}', b'{"a":1,"a":2}'),
    *(b"[" * 5_000, b'{"a":' * 3_000, b"9" * 9_000, b'"\\ud800"', b"\0" * 100, b"--x\r\n\r\n--x--"),
]
KINDS = [
    *("application/json", "text/plain", "multipart/form-data; boundary=x", "multipart/form-data"),
    *(
        "application/json; charset=utf-16",
        "x" * 300,
        "image/png",
        "application/x-www-form-urlencoded",
    ),
]
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE", "BREW"]
HEADERS = [
    *("X-Annotator", "Origin", "Host", "Authorization", "Cookie", "Range", "If-None-Match"),
    *("Expect", "Content-Length", "Transfer-Encoding", "X-Forwarded-For", "Sec-Fetch-Site"),
    *(
        "Prefer",
        "Accept",
        "Accept-Encoding",
        "Content-Encoding",
        "If-Modified-Since",
        "Content-MD5",
    ),
]
VALUES = [
    *("", "x", "%00", "%ff%zz", "a" * 5_000, "-1", "9" * 400, "\xff\xfe", "null", "a=b;;=;", '"x'),
    *("http://[::1", "http://a]b", "http://evil.example", "evil.example", "localhost:port", "[::1"),
    *("bytes=0-", "bytes=9-1,-5,x", "Bearer x", "Bearer", "nonsense", "chunked", "gzip, chunked"),
    *("respond-async", "cross-site", "*/*;q=x", "Thu, 99 Nov 2026", "a, b", "100-continue", "\t"),
]
RAW = [
    *(b"\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00", b"GET / HTTP/9.9\r\n\r\n"),
    *(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nabc",),
    b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"A: b\r\n" * 3_000 + b"\r\n",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n"
    b"\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\n\r\n",
    b"GET /%ff%00%zz?%ff=%zz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /" + b"a" * 300_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
    b"GET / HTTP/1.1\r\nHo st: localhost\r\n\xff\xfe: x\r\n folded\r\n\r\n",
]


class Client:
    """Sends requests over a connection that stays open."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: http.client.HTTPConnection | None = None

    def send(
        self, method: str, path: str, body: bytes | None = None, headers: Any = ()
    ) -> tuple[int, bytes]:
        """Return status and body of the answer; a connection that is closed is opened again."""
        for attempt in (0, 1):
            if self._connection is None:
                self._connection = http.client.HTTPConnection(
                    "127.0.0.1", self._port, timeout=SECONDS
                )
            try:
                sent = dict(headers)
                self._connection.putrequest(method, path, skip_host="Host" in sent)
                for name, value in sent.items():
                    self._connection.putheader(name, value)
                if body is not None and "Content-Length" not in sent:
                    self._connection.putheader("Content-Length", str(len(body)))
                self._connection.endheaders(body)
                with self._connection.getresponse() as answer:
                    return answer.status, answer.read()
            except (http.client.HTTPException, BrokenPipeError, ConnectionError):
                self.close()
                if attempt:
                    raise
        raise AssertionError

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None


def ask(
    port: int, method: str, path: str, body: bytes | None = None, headers: Any = ()
) -> tuple[int, bytes]:
    """Return status and body of the answer to one request."""
    client = Client(port)
    try:
        return client.send(method, path, body, headers)
    finally:
        client.close()


def get_json(port: int, path: str) -> Any:
    status, body = ask(port, "GET", path)
    assert status == 200
    return json.loads(body)


class Operation(NamedTuple):
    """What the server says it can be asked."""

    method: str
    path: str
    fields: list[str]
    query: list[str]
    takes_files: bool


def operations(port: int) -> list[Operation]:
    """Return all of them."""
    description = get_json(port, "/openapi.json")
    found = []
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            content = operation.get("requestBody", {}).get("content", {})
            reference = str(content).partition("#/components/schemas/")[2].partition("'")[0]
            schema = description["components"]["schemas"].get(reference, {})
            parameters = operation.get("parameters", ())
            query = [one["name"] for one in parameters if one["in"] == "query"]
            fields = list(schema.get("properties", {}))
            found.append(Operation(method.upper(), path, fields, query, "*/*" in content))
    return found


def malformed(
    draw: random.Random, known: list[Operation]
) -> tuple[str, str, bytes | None, dict[str, str]]:
    """Return a request in which something is wrong: method, path, body, headers."""
    chosen = draw.choice(known)
    method = chosen.method
    path = re.sub(r"\{\w+\}", lambda found: junk_part(draw), chosen.path)
    is_plain = method == "GET" and path == chosen.path and not chosen.query
    if is_plain or draw.random() < 0.1:  # nothing else of it can be wrong
        method = draw.choice([method for method in METHODS if method != chosen.method])
    if draw.random() < (0.9 if chosen.query and method == "GET" else 0.2):
        query = {draw.choice([*chosen.query, "x"]): str(draw.choice(JUNK))[:100]}
        path += "?" + urllib.parse.urlencode(query, errors="replace")
    headers = {"Content-Type": "application/json"}
    if draw.random() < 0.2:
        headers["Content-Type"] = draw.choice(KINDS)
    if draw.random() < 0.15:
        headers[draw.choice(HEADERS)] = draw.choice(VALUES)
    body: bytes | None = None
    if method not in ("GET", "HEAD"):
        names = chosen.fields or ["image", "image_shape", "image_path", "x"]
        filled = {name: draw.choice(JUNK) for name in names if draw.random() < 0.8}
        body = json.dumps(filled).encode()
        if chosen.takes_files and draw.random() < 0.3:
            headers["Content-Type"], body = form(draw)
        elif draw.random() < 0.3:
            body = draw.choice(BODIES)
        elif draw.random() < 0.1:
            body = draw.randbytes(draw.randrange(200))
    return method, path, body, headers


def junk_part(draw: random.Random) -> str:
    return urllib.parse.quote(str(draw.choice(JUNK))[:200], safe="") or "x"


def form(draw: random.Random) -> tuple[str, bytes]:
    """Return the media type and the body of a form that was cut, has no file, or a strange one."""
    parts = [
        b'--b\r\nContent-Disposition: form-data; name="%s"%s\r\n%s\r\n%s\r\n'
        % (
            draw.choice([b"image", b"file", b"", b"\0", b"x" * 3_000, b'a"b', b"\xff"]),
            draw.choice([b"", b'; filename="x.png"', b'; filename="../x"', b"; filename*=x''%ff"]),
            draw.choice([b"", b"Content-Type: image/png\r\n", b"Content-Length: 9\r\n", b":\r\n"]),
            draw.choice([b"", b"GIF89a", b"<svg/>", draw.randbytes(50), b"--b--", b"x" * 9_000]),
        )
        for _ in range(draw.choice([0, 1, 2, 200]))
    ]
    body = b"".join(parts) + draw.choice([b"--b--\r\n", b"", b"--b", b"--c--\r\n"])
    if draw.random() < 0.3:
        body = body[: draw.randrange(len(body) + 1)]
    return f"multipart/form-data; boundary={draw.choice(['b', 'c', '', 'b' * 300])}", body


def written(method: str, path: str, body: bytes | None, headers: dict[str, str]) -> bytes:
    """Return a request as it is sent."""
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if "Host" not in headers:
        lines.append("Host: localhost")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


def raw(port: int, content: bytes) -> int:
    """Send what is no request; return the status of the answer, 0 where it only hangs up."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
        try:
            connection.sendall(content)
            connection.shutdown(socket.SHUT_WR)
            while more := connection.recv(65_536):
                answer += more
        except TimeoutError:
            raise
        except OSError:  # it has hung up
            pass
    status = int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/") else 0
    assert status < 500, (content[:80], answer)
    return status


def sent_malformed(
    client: Client, port: int, draw: random.Random, known: list[Operation]
) -> tuple[int, bytes]:
    """Send something; return status and body of the answer, status 0 where there is none."""
    if draw.random() < 0.02:
        return raw(port, draw.choice(RAW)), b""
    method, path, body, headers = malformed(draw, known)
    try:
        if headers.keys() & {"Content-Length", "Transfer-Encoding"}:  # more may be to come
            return raw(port, written(method, path, body, headers)), b""
        status, answer = client.send(method, path, body, headers)
    except ValueError:  # our own client refuses to send it
        return 0, b""
    except TimeoutError:
        raise AssertionError(("no answer", method, path, body, headers)) from None
    assert status < 500, (method, path, body, headers, answer)
    return status, answer


@pytest.mark.parametrize("which", ["demo", "labeling", "pipeline", "loop"])
def test_malformed_requests_are_refused(
    which: str, request: pytest.FixtureRequest, size: Size, record: Record
) -> None:
    """A1."""
    server = request.getfixturevalue(which)
    known, count = operations(server.port), size(400, 10_000)
    draw, statuses = random.Random(which), Counter[int]()
    with closing(Client(server.port)) as client:
        for number in range(count):
            if number == count // 10:
                before = server.resident_mb()
            status, answer = sent_malformed(client, server.port, draw, known)
            statuses[status] += 1
            assert b"Traceback" not in answer
    growth = server.resident_mb() - before
    assert growth < GROWTH_MB
    assert ask(server.port, "GET", "/healthz")[0] == 200
    assert "Traceback" not in server.text
    sent = count - statuses[0]
    refused = sum(number for status, number in statuses.items() if status >= 400)
    assert refused > 0.8 * sent
    record(
        f"A1 malformed requests, {which}",
        sent,
        f"0 answers of 5xx, 0 hangs, {refused:,} answers of 4xx, memory {growth:+.0f} MB",
    )


def label_studio_tasks(image: str) -> bytes:
    """Return what Label Studio sends for one task."""
    choices = "".join(f"<Choice value='{name}'/>" for name in ("Cat", "Dog", "Emu"))
    config = (
        "<View><Image name='i' value='$image'/>"
        f"<Choices name='c' toName='i'>{choices}</Choices></View>"
    )
    return json.dumps({"tasks": [{"data": {"image": image}}], "label_config": config}).encode()


def probes() -> Iterator[str]:
    """Yield ways to write a path that leads out."""
    for up in ("..", "%2e%2e", "%252e%252e", ".%2e", "..%00", "%c0%ae%c0%ae", "\uff0e\uff0e"):
        for slash in ("/", "%2f", "%252f", "\\", "%5c"):
            yield f"{up}{slash}" * 3 + "canary.txt"
            yield f"{up}{slash}canary.txt"
    yield from ("/canary.txt", "//canary.txt", "C:\\canary.txt", "\\\\host\\canary.txt")
    yield from (
        "file:///etc/passwd",
        "/etc/passwd",
        "link.png",
        "up/canary.txt",
        "canary.txt\0.png",
    )
    yield "x" * 5_000


def test_no_path_leads_out(demo: Any, labeling: Any, images: Path, record: Record) -> None:
    """A3: of the paths that lead to the canary none brings it."""
    secret = (images.parent / "canary.txt").read_bytes()
    assert (images / "up" / "canary.txt").read_bytes() == secret
    count = 0
    for probe in probes():
        quoted = urllib.parse.quote(probe, safe="%/\\")
        for server, below in (
            *((demo, "/static/"), (demo, "/static/demo/"), (demo, "/api/samples/"), (demo, "/")),
            *((labeling, "/static/labeling/"), (labeling, "/api/images/"), (labeling, "/")),
        ):
            status, answer = ask(server.port, "GET", below + quoted)
            assert secret not in answer and b"root:" not in answer
            assert 300 <= status < 500
            count += 1
        for path in (probe, str(images / probe)):
            body = json.dumps({"image_path": path}).encode()
            status, answer = ask(demo.port, "POST", "/predict", body, JSON)
            assert 400 <= status < 500, (path, answer)
            assert secret not in answer
            count += 1
        for path in (probe, f"/data/upload/{quoted}", f"/data/local-files/?d={quoted}"):
            status, answer = ask(
                demo.port, "POST", "/label-studio/predict", label_studio_tasks(path), JSON
            )
            assert status == 200 and set(json.loads(answer)["results"][0]) == {"error"}
            assert secret not in answer and str(images).encode() not in answer
            count += 1
    inside = json.dumps({"image_path": "00.png"}).encode()
    assert ask(demo.port, "POST", "/predict", inside)[0] == 200
    tasks = label_studio_tasks("/data/local-files/?d=00.png")
    status, answer = ask(demo.port, "POST", "/label-studio/predict", tasks, JSON)
    assert "result" in json.loads(answer)["results"][0]
    record("A3 paths that lead out", count, "0 bytes from outside")


def test_no_id_of_a_pipeline_leads_out(
    pipeline: Any, pipeline_program: Path, record: Record
) -> None:
    """A3: no id and no name of a checkpoint reads or writes outside of its folder."""
    folder = pipeline_program.parent
    secret = b"the canary of the pipeline"
    (folder / "canary.txt").write_bytes(secret)
    (folder / "canary.json").write_bytes(b'["%b"]' % secret)
    loop = {"experiment_id": "e", "project_id": "p", "cur_loop": 0, "selected_indices": [0]}
    count = 0
    named = (probe for probe in probes() if probe != "link.png")  # which is a name like others
    for probe in (*named, "../canary", "../../canary", "..", "canary.json\0"):
        for key in ("experiment_id", "project_id", "user_id", "bucket_name"):
            asked = [("/one_loop", {**loop, key: probe})]
            asked.append(("/one_loop", {**loop, key: probe, "selected_indices": None}))
            count += refused(pipeline, asked, secret)
        count += refused(
            pipeline,
            [
                ("/train", {"labeled": [0], "ckpt_file": probe}),
                ("/train", {"labeled": [0], "ckpt_file": "c", "resume_from": probe}),
                ("/test", {"ckpt_file": probe}),
                ("/infer", {"ckpt_file": probe, "unlabeled": [1]}),
                ("/infer?store=1", {"ckpt_file": probe, "unlabeled": [1]}),
            ],
            secret,
        )
        quoted = urllib.parse.quote(probe, safe="%/\\")
        status, answer = ask(pipeline.port, "GET", f"/jobs/{quoted}")
        assert 300 <= status < 500 and secret not in answer
        count += 1
    assert {path.name for path in folder.iterdir()} == {
        *("main.py", "log", "experiment", "canary.txt", "canary.json")
    }
    record("A3 ids and checkpoints that lead out, pipeline", count, "0 bytes from outside or to it")


def refused(server: Any, asked: list[tuple[str, dict[str, Any]]], secret: bytes) -> int:
    """Send requests that must be refused; return how many."""
    for path, body in asked:
        status, answer = ask(server.port, "POST", path, json.dumps(body).encode(), JSON)
        assert 400 <= status < 500, (path, body, answer)
        assert secret not in answer
    return len(asked)


def test_no_field_makes_the_server_call(
    demo: Any, labeling: Any, pipeline: Any, loop: Any, record: Record
) -> None:
    """A4."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.3)
        port = listener.getsockname()[1]
        targets = [f"http://127.0.0.1:{port}/x.png", f"//127.0.0.1:{port}/x", "file:///etc/passwd"]
        count = 0
        for server in (demo, labeling, pipeline, loop):
            for operation in operations(server.port):
                for target in targets:
                    quoted = urllib.parse.quote(target, safe="")
                    path = re.sub(r"\{\w+\}", quoted, operation.path)
                    names = operation.fields or operation.query or ["image", "image_path", "url"]
                    for name in names:
                        body = json.dumps({name: target}).encode()
                        headers = {"Content-Type": "application/json", "Referer": target}
                        whole = f"{path}?{name}={quoted}"
                        ask(server.port, operation.method, whole, body, headers)
                        count += 1
        for target in targets:
            ask(demo.port, "POST", "/label-studio/predict", label_studio_tasks(target), JSON)
            count += 1
        with pytest.raises(TimeoutError):
            listener.accept()
    record("A4 addresses in every field", count, "0 connections")


@pytest.mark.parametrize(
    "which",
    [
        "label",
        *(pytest.param(one, marks=pytest.mark.slow) for one in ("serve", "pipeline", "loop")),
    ],
)
def test_without_a_token_nothing_answers(
    which: str,
    make_process: Callable[..., Any],
    tiny_run: Path,
    images: Path,
    pipeline_program: Path,
    loop_program: Path,
    tmp_path: Path,
    record: Record,
) -> None:
    """A7: a token that is given, and one that is made and printed once."""
    token, secret, made = tmp_path / "token", "a-secret-of-this-test-0123", tmp_path / "made"
    token.touch(0o600)
    token.write_text(secret)
    label = ("label", str(images), "--classes", "cat", "-s", str(tmp_path / "labels"))
    commands = {
        "serve": ("serve", str(tiny_run), "--token-file", str(token)),
        "label": (*label, "--token-file", str(made)),
        "pipeline": (str(pipeline_program), str(tmp_path / "experiment"), secret),
        "loop": (str(loop_program), str(tmp_path), secret),
    }
    server = make_process(*commands[which])
    right = made.read_text().strip() if which == "label" else secret
    count = 0
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {right}"}
    status, body = ask(server.port, "GET", "/openapi.json", None, headers)
    assert status == 200
    for path, methods in json.loads(body)["paths"].items():
        for method in methods:
            for sent in (None, "wrong", right[:-1], right + "x", right.swapcase()):
                headers = {"Content-Type": "application/json"}
                if sent is not None:
                    headers["Authorization"] = f"Bearer {sent}"
                status, answer = ask(server.port, method.upper(), path, b"{}", headers)
                is_open = path in ("/healthz", "/login")
                is_slowed = sent is not None and status == 429  # too many were wrong
                is_refused = status == 401 or is_slowed
                assert is_refused or (is_open and status in (200, 422)), (method, path)
                assert right.encode() not in answer
                count += 1
    assert server.text.count(right) == (1 if which == "label" else 0)
    found = "401 or 429 everywhere but /healthz and /login"
    record(f"A7 requests without the token, {which}", count, found)


def test_slow_and_broken_clients_leave_nothing_behind(
    demo: Any, make_picture: Callable[..., bytes], size: Size, record: Record
) -> None:
    """A10."""
    seconds, clients, least = size(2, 60), size(16, 64), 50
    content = make_picture(0)
    statuses: Counter[int] = Counter()
    times: list[float] = []
    lock = threading.Lock()
    for _ in range(20):
        ask(demo.port, "POST", "/predict", content)
    files, memory = demo.open_files(), demo.resident_mb()
    until = time.monotonic() + seconds

    def load(number: int) -> None:
        client = Client(demo.port)
        draw = random.Random(number)
        # A busy machine needs longer for as many
        while time.monotonic() < (until if statuses[200] > least else until + 2 * SECONDS):
            if draw.random() < 0.05:  # hang up in the middle of the body
                with socket.create_connection(("127.0.0.1", demo.port)) as connection:
                    head = (
                        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\n"
                    )
                    connection.sendall(head + content[:20])
                continue
            began = time.monotonic()
            status, _ = client.send("POST", "/predict", content)
            with lock:
                statuses[status] += 1
                times.append(time.monotonic() - began)
        client.close()

    slow = [socket.create_connection(("127.0.0.1", demo.port)) for _ in range(20)]
    for one in slow:
        one.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n")
    threads = [threading.Thread(target=load, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in slow:
        one.close()
    assert set(statuses) <= {200, 429, 503}
    assert statuses[200] > least
    deadline = time.monotonic() + SECONDS
    while demo.open_files() > files + 2:
        assert time.monotonic() < deadline, "connections stay open"
        time.sleep(0.1)
    growth = demo.resident_mb() - memory
    assert growth < GROWTH_MB
    times.sort()
    p50, p99 = (1000 * times[int(share * (len(times) - 1))] for share in (0.5, 0.99))
    record(
        f"A10 load, {clients} clients for {seconds} s, 20 that stall",
        sum(statuses.values()),
        f"{statuses[200]:,} answered, {statuses[503]:,} sent away, p50 {p50:.0f} ms, "
        f"p99 {p99:.0f} ms, memory {growth:+.0f} MB",
    )


def test_more_connections_than_files_are_no_flood(
    make_process: Callable[..., Any], images: Path, tmp_path: Path, record: Record
) -> None:
    """A10: one that only connects takes neither time of the server nor disk for its log."""
    files, count = 256, 400
    few_files = ("sh", "-ec", f'ulimit -n {files} && exec "$@"', "sh")
    command = ("label", str(images), "--classes", "cat", "-s", str(tmp_path / "labels"))
    server = make_process(*command, before=few_files)
    waiting = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(count)]
    used = server.processor_seconds()
    time.sleep(1)
    assert server.processor_seconds() - used < 0.5
    assert server.open_files() < files
    for one in waiting:
        one.close()
    assert ask(server.port, "GET", "/healthz")[0] == 200
    assert len(server.text) < 10_000
    record("A10 connections that ask nothing", count, f"{files} files allowed: it goes on")
