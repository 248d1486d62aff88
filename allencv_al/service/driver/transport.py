"""The base of the transports: requests to a pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from allencv_al.common.errors import AllenCVError, ConfigurationError, DataError
from allencv_al.service.web.web_errors import without_paths

SETTING = "active_learning.learner"
_SHOWN = 2_000


class TransportError(DataError):
    """An answer that is no success.

    Args:
        status: Its HTTP status.
        code: One word for programs.
        message: For people.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Transport(Protocol):
    """Whatever brings a request to a pipeline, and its answer back."""

    name: str
    """The name of the pipeline in messages."""

    def call(self, path: str, body: Mapping[str, Any], key: str | None) -> dict[str, Any]:
        """Send a request and return its answer.

        It waits while the pipeline is busy or away, and asks again with the same key.

        Args:
            path: Such as `/train`.
            body: JSON values.
            key: What is done under a key is not done again; None where that does not matter.

        Raises:
            AllenCVError: The pipeline refuses, its function has failed, or it stays away.
        """

    def get(self, path: str) -> dict[str, Any]:
        """Return the answer to a GET request.

        Raises:
            AllenCVError: There is none.
        """

    def close(self, is_done: bool) -> None:
        """Release resources; `is_done` says that nothing will ever be asked again."""


def refusal(name: str, path: str, status: int, answer: Any, setting: str = SETTING) -> AllenCVError:
    """Return what to tell of an answer that is no success.

    Args:
        name: The name of the pipeline.
        path: What was asked.
        status: The status of the answer.
        answer: Its body.
        setting: The name of the token's setting in messages.
    """
    error = answer.get("error") if isinstance(answer, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    if status in (401, 403):
        return ConfigurationError(
            f"{setting}.token: {name} does not let this run in ({status}): "
            f"{message or 'it needs a token'}"
        )
    if not isinstance(message, str):
        return TransportError(
            status,
            "no_answer",
            f"{name}: expected an answer to {path}, found status {status} without one: is "
            "something else listening there?",
        )
    what = "has failed" if status >= 500 else "refuses"
    text = f"{name} {what}: {without_paths(message)[:_SHOWN]}"
    assert isinstance(error, dict)
    return TransportError(status, str(error.get("type") or error.get("code") or ""), text)
