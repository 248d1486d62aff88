"""Base of the transports, which carry requests to a pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from allencv_al.common.errors import AllenCVError, ConfigurationError, DataError
from allencv_al.service.web.web_errors import without_paths

SETTING = "active_learning.learner"
_SHOWN = 2_000  # characters of a pipeline's error message


class TransportError(DataError):
    """An error answer of a pipeline.

    Args:
        status: HTTP status.
        code: Machine-readable error type.
        message: The finding.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Transport(Protocol):
    """Sends requests to a pipeline and returns its answers."""

    name: str
    """Name of the pipeline in messages."""

    def call(self, path: str, body: Mapping[str, Any], key: str | None) -> dict[str, Any]:
        """Send a POST request and return its answer.

        Waits while the pipeline is busy or unreachable, and repeats the request with the same key.

        Args:
            path: Route, such as `/train`.
            body: JSON values.
            key: Idempotency key: the pipeline does not repeat finished work; None if it may.

        Raises:
            AllenCVError: The pipeline refuses, its function failed, or it stays unreachable.
        """

    def get(self, path: str) -> dict[str, Any]:
        """Return the answer to a GET request.

        Raises:
            AllenCVError: The pipeline is unreachable or refuses.
        """

    def close(self, is_done: bool) -> None:
        """Release resources; with `is_done`, the run has finished and will not continue."""


def refusal(name: str, path: str, status: int, answer: Any, setting: str = SETTING) -> AllenCVError:
    """Return the error for an answer that is not a success.

    Args:
        name: Name of the pipeline.
        path: Route of the request.
        status: HTTP status of the answer.
        answer: Its body.
        setting: Config key above `token`, for messages.
    """
    error = answer.get("error") if isinstance(answer, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    if status in (401, 403):
        return ConfigurationError(
            f"{setting}.token: {name} refuses access ({status}): {message or 'it needs a token'}"
        )
    if not isinstance(message, str):
        return TransportError(
            status,
            "no_answer",
            f"{name}: expected an answer to {path}, found status {status} without one; check that "
            "a pipeline listens there",
        )
    finding = "has failed" if status >= 500 else "refuses"
    text = f"{name} {finding}: {without_paths(message)[:_SHOWN]}"
    assert isinstance(error, dict)
    return TransportError(status, str(error.get("type") or error.get("code") or ""), text)
