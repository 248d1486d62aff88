"""How requests reach a pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from allencv_al.common.errors import ConfigurationError, DataError
from allencv_al.service.web.errors import without_paths

_SHOWN = 2_000


class Transport(Protocol):
    """Whatever brings a request to a pipeline, and its answer back."""

    name: str
    """What messages call the pipeline."""

    def call(self, path: str, body: Mapping[str, Any], key: str | None) -> dict[str, Any]:
        """Have a request done, and return its answer.

        It waits while the pipeline is busy or away, and asks again with the same key.

        Args:
            path: Such as `/train`.
            body: JSON values.
            key: What is done under a key is not done again; None where that does not matter.

        Raises:
            AllenCVError: The pipeline refuses, its function has failed, or it stays away.
        """

    def close(self) -> None:
        """Let go of what is held."""


def refusal(name: str, path: str, status: int, answer: Any) -> ConfigurationError | DataError:
    """Return what to tell of an answer that is no success.

    Args:
        name: What to call the pipeline.
        path: What was asked.
        status: That of the answer.
        answer: Its body.
    """
    error = answer.get("error") if isinstance(answer, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    if status in (401, 403):
        return ConfigurationError(
            f"active_learning.learner.token: {name} does not let this run in ({status}): "
            f"{message or 'it needs a token'}"
        )
    if not isinstance(message, str):
        return DataError(
            f"{name}: expected the answer of a pipeline to {path}, found status {status} without "
            "one: is something else listening there?"
        )
    what = "has failed" if status >= 500 else "refuses"
    return DataError(f"{name} {what}: {without_paths(message)[:_SHOWN]}")
