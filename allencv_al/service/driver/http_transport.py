"""Requests to a pipeline that listens at an address."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import urllib3
from urllib3.connection import HTTPConnection
from urllib3.exceptions import HTTPError

from allencv_al.common.errors import AllenCVError, DataError
from allencv_al.service.driver.transport import SETTING, refusal

logger = logging.getLogger(__name__)

_CONNECT_SECONDS = 10.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 10.0
_LOG_SECONDS = 30.0  # between messages about an unreachable or busy pipeline
# Statuses with which a proxy answers for an unreachable or overloaded pipeline
_AWAY = (429, 502, 503, 504)


class HTTPTransport:
    """Sends requests, waits as long as a training takes, and repeats requests without an answer.

    Args:
        url: Address of the pipeline: `http://HOST:PORT`, optionally with a path.
        token: Bearer token, if the pipeline needs one.
        patience_seconds: Maximum time that the pipeline may be unreachable.
        who: Name of the other side in messages.
        setting: Config key above `url` and `token`, for messages.
    """

    def __init__(
        self,
        url: str,
        token: str | None,
        patience_seconds: float,
        who: str = "the pipeline",
        setting: str = SETTING,
    ) -> None:
        self.name = f"{who} at {url}"
        self._setting = setting
        self._url = url.rstrip("/")
        self._patience = patience_seconds
        self._headers = {"Content-Type": "application/json"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        # No retries of the library's: a request without a key must not be sent twice
        self._pool = urllib3.PoolManager(
            retries=False,
            # No limit of reading: the answer comes when the training ends, perhaps after days
            timeout=urllib3.Timeout(connect=_CONNECT_SECONDS, read=None),
            socket_options=[*HTTPConnection.default_socket_options, *_keep_alive()],
        )

    def call(self, path: str, body: Mapping[str, Any], key: str | None) -> dict[str, Any]:
        """See `Transport.call`."""
        headers = self._headers if key is None else {**self._headers, "Idempotency-Key": key}
        content = json.dumps(body).encode()
        pause, away_since, logged = _FIRST_PAUSE, None, 0.0
        with _logged_while_pending(path):
            while True:
                status, answer, cause = self._send(path, content, headers)
                if status == 200 and isinstance(answer, dict):
                    return answer
                now = time.monotonic()
                if _is_busy(status, answer):  # patience counts unreachable time only
                    away_since = None
                elif cause is None:
                    raise refusal(self.name, path, status, answer, self._setting)
                else:
                    away_since = now if away_since is None else away_since
                    if now - away_since >= self._patience:
                        raise self._unreachable(cause)
                if now - logged >= _LOG_SECONDS:
                    logger.info("waiting for %s: %s", self.name, cause or "it is busy")
                    logged = now
                time.sleep(pause)
                # Short at first, as pipelines restart in seconds, and then of little load
                pause = min(2 * pause, _LONGEST_PAUSE)

    def get(self, path: str) -> dict[str, Any]:
        """Return the answer to a GET request, without waiting for an unreachable pipeline.

        Raises:
            AllenCVError: The pipeline is unreachable or refuses.
        """
        status, answer, cause = self._send(path, None, self._headers)
        if cause is not None:
            raise self._unreachable(cause)
        if status != 200 or not isinstance(answer, dict):
            raise refusal(self.name, path, status, answer, self._setting)
        return answer

    def close(self, is_done: bool = False) -> None:
        """Close the connections."""
        self._pool.clear()

    def _send(
        self, path: str, content: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, Any, str | None]:
        """Return status and body of an answer, and the cause if there is none."""
        method = "GET" if content is None else "POST"
        try:
            # A redirect would carry the token to another address
            found = self._pool.request(
                method, f"{self._url}{path}", body=content, headers=headers, redirect=False
            )
        except (HTTPError, OSError) as error:
            return 0, None, _cause(error)
        try:
            answer = json.loads(found.data)
        except ValueError:
            answer = None
        return found.status, answer, f"status {found.status}" if found.status in _AWAY else None

    def _unreachable(self, cause: str) -> AllenCVError:
        return DataError(
            f"{self._setting}.url: {self.name} cannot be reached ({cause}); start it, and "
            "the same command continues"
        )


def address_fault(url: str) -> str | None:
    """Return why a pipeline's address is wrong; None if it is right."""
    parts = urlsplit(url)
    try:
        _ = parts.port
    except ValueError:
        return f'expected a port from 0 to 65535, found "{url}"'
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return f'expected http://HOST:PORT, found "{url}"'
    if parts.username or parts.password or parts.query or parts.fragment:
        return "expected http://HOST:PORT alone; the token is a key of its own"
    return None


def _is_busy(status: int, answer: Any) -> bool:
    error = answer.get("error") if isinstance(answer, dict) else None
    return status == 409 and isinstance(error, dict) and error.get("type") == "busy"


def _cause(error: BaseException) -> str:
    # The library wraps the system's error, whose text says what is wrong (refused, no route)
    while error.__context__ is not None and not isinstance(error, OSError):
        error = error.__context__
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text or type(error).__name__


def _keep_alive() -> list[tuple[int, int, int]]:
    """Return socket options that detect a dead machine: reads have no timeout, trainings last."""
    found = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 20), ("TCP_KEEPCNT", 6)):
        if hasattr(socket, name):
            found.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    return found


@contextmanager
def _logged_while_pending(path: str) -> Iterator[None]:
    """Log at intervals that an answer is pending."""
    done = threading.Event()
    began = time.monotonic()

    def log() -> None:
        while not done.wait(2 * _LOG_SECONDS):
            minutes = (time.monotonic() - began) / 60
            logger.info("%s: running for %.0f min", path.strip("/"), minutes)

    thread = threading.Thread(target=log, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
