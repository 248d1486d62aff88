"""Servers as processes, and clients that keep them busy, for `serving.py`."""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

TOLERANCE = 1e-3  # of probabilities: batches of other sizes sum in another order
START_SECONDS = 180
TIMEOUT = 60
Body = tuple[bytes, str]
"""The body of a request and its content type."""


@contextmanager
def process(arguments: list[str], **pipes: Any) -> Iterator[subprocess.Popen[str]]:
    """Run a process with all its children, and end them."""
    running = subprocess.Popen(arguments, text=True, start_new_session=True, **pipes)
    try:
        yield running
    finally:
        for number in (signal.SIGCONT, signal.SIGTERM):
            _signal_all(running, number)
        with suppress(subprocess.TimeoutExpired):
            running.wait(15)
        _signal_all(running, signal.SIGKILL)
        running.wait()


def _signal_all(running: subprocess.Popen[str], number: int) -> None:
    with suppress(ProcessLookupError):  # none is left
        os.killpg(running.pid, number)


@dataclass
class Server:
    """A server that runs; it gets no processor time outside of `with server.awake()`."""

    kind: str
    port: int
    running: subprocess.Popen[str]

    @contextmanager
    def awake(self) -> Iterator[None]:
        """Let it run in the block."""
        _signal_all(self.running, signal.SIGCONT)
        try:
            yield
        finally:
            _signal_all(self.running, signal.SIGSTOP)

    def client(self) -> http.client.HTTPConnection:
        """Return a connection."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)

    def body(self, content: bytes) -> Body:
        """Return the body that this server takes for an image."""
        if self.kind != "litserve":
            return content, "image/jpeg"
        text = base64.b64encode(content).decode()
        return json.dumps({"content": text}).encode(), "application/json"

    def wait_until_ready(self, content: bytes) -> None:
        """Wait until it predicts."""
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            if self.running.poll() is not None:
                sys.exit(f"{self.kind}: ended with {self.running.returncode} instead of serving")
            with suppress(OSError, http.client.HTTPException, RuntimeError):
                predict(self.client(), self.body(content))
                return
            time.sleep(0.2)
        sys.exit(f"{self.kind}: does not serve after {START_SECONDS} s")

    def check(self, contents: list[bytes], expected: list[list[float]]) -> float:
        """Return by how much its probabilities differ; exit if that is too much."""
        client, worst = self.client(), 0.0
        for content, wanted in zip(contents, expected, strict=True):
            found = predict(client, self.body(content))
            worst = max(worst, float(np.abs(np.subtract(found, wanted)).max()))
        if worst > TOLERANCE:
            sys.exit(f"unequal work: the probabilities of {self.kind} are {worst:g} apart")
        return worst


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def predict(client: http.client.HTTPConnection, body: Body) -> list[float]:
    """Send one image and return the probabilities."""
    client.request("POST", "/predict", body[0], {"Content-Type": body[1]})
    response = client.getresponse()
    content = response.read()
    if response.status != 200:
        raise RuntimeError(f"{response.status}: {content[:200]!r}")
    return list(json.loads(content)["probs"])


@dataclass
class Load:
    """What a number of clients saw in one window of time.

    Args:
        rate: Images per second.
        latencies: Seconds, of each answer in the window.
    """

    rate: float
    latencies: list[float]


def load_of(server: Server, bodies: list[Body], clients: int, seconds: float) -> Load:
    """Send from some clients for a while; what happens in the first fifth is not counted."""
    start = time.perf_counter()
    begin, end = start + seconds / 5, start + seconds * 6 / 5
    answers: list[list[tuple[float, float]]] = [[] for _ in range(clients)]
    failures: list[Exception] = []

    def loop(number: int) -> None:
        client, place = server.client(), number * 7
        try:
            while (sent := time.perf_counter()) < end:
                predict(client, bodies[place % len(bodies)])
                answers[number].append((sent, time.perf_counter()))
                place += 1
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=loop, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        sys.exit(f"{server.kind} with {clients} clients: {failures[0]!r}")
    counted = [(sent, got) for done in answers for sent, got in done if begin <= got <= end]
    return Load(len(counted) / (end - begin), [got - sent for sent, got in counted])
