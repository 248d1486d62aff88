"""Errors of a pipeline, and their JSON body."""

from __future__ import annotations

import traceback
import uuid
from typing import Any

from allencv_al.service.web.web_errors import WebError, without_paths

LOOP_FAILED = "Loop Failed - non 200 status returned"


class PipelineError(WebError):
    """An error answer, with the phase and loop in which it happened.

    Args:
        status: HTTP status.
        code: Machine-readable error type.
        message: The finding and the expectation.
        phase: train, test, infer or getdatasetstate.
        loop: Loop number.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        phase: str | None = None,
        loop: int | None = None,
    ) -> None:
        super().__init__(status, code, message)
        self.phase = phase
        self.loop = loop


class ReturnValueError(PipelineError):
    """A wrong return value of a user's function (422).

    Args:
        phase: The function: train, test, infer or getdatasetstate.
        message: The place in the return value, and the finding.
        code: Machine-readable error type.
    """

    def __init__(self, phase: str, message: str, code: str = "return_value") -> None:
        super().__init__(422, code, f"{phase}: {message}", phase)


class FunctionError(PipelineError):
    """An exception of a user's function, which is the `__cause__`.

    Args:
        error: The exception; also SystemExit, which an argument parser raises.
        phase: The function: train, test, infer or getdatasetstate.
        loop: Loop number.
    """

    def __init__(self, error: BaseException, phase: str, loop: int | None = None) -> None:
        text = f"{phase}: {type(error).__name__}: {error}"
        super().__init__(500, type(error).__name__, text[:2_000], phase, loop)
        # The user has to find the file, which is one of the user's own
        self.shows_paths = isinstance(error, OSError)


def body_of(error: WebError, debug: bool = False) -> dict[str, Any]:
    """Return the body of an error: ``{"status", "error": {"type", "message", ...}}``.

    The status in the body is that of the answer: clients of the first generation look there.

    Args:
        error: The error.
        debug: Whether to add the traceback of a user's function.
    """
    found: dict[str, Any] = {
        "type": error.code,
        "message": error.message,
        "phase": getattr(error, "phase", None),
        "loop": getattr(error, "loop", None),
        "request_id": error.request_id or uuid.uuid4().hex[:12],
    }
    if debug and error.__cause__ is not None:
        lines = traceback.format_exception(error.__cause__)
        found["traceback"] = without_paths("".join(lines))
    if error.code == "callback":  # clients of the second generation look there
        return {"status": error.status, "Message": LOOP_FAILED, "error": found}
    return {"status": error.status, "error": found}
