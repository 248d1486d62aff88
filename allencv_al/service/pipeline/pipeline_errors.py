"""Errors of a pipeline and their JSON form."""

from __future__ import annotations

import traceback
import uuid
from typing import Any

from allencv_al.service.web.web_errors import Problem, WebError, without_paths

LOOP_FAILED = "Loop Failed - non 200 status returned"


class PipelineError(WebError):
    """An answer that is no success, with where it happened.

    Args:
        status: The HTTP status.
        code: One word for programs.
        message: What was found and what would be right.
        phase: train, test, infer or getdatasetstate.
        loop: The number of the loop.
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


class FunctionError(PipelineError):
    """A function of the user has raised something, which is the `__cause__`.

    Args:
        error: What was raised; SystemExit, too, which a parser of arguments raises.
        phase: Which function.
        loop: The number of the loop.
    """

    def __init__(self, error: BaseException, phase: str, loop: int | None = None) -> None:
        text = f"{phase}: {type(error).__name__}: {error}"
        super().__init__(500, type(error).__name__, text[:2_000], phase, loop)
        self.shows_paths = isinstance(error, OSError)  # the user's own, which he has to find


def body_of(problem: Problem, debug: bool = False) -> dict[str, Any]:
    """Return the body of an error: ``{"status", "error": {"type", "message", ...}}``.

    The status in the body is that of the answer: clients of the first generation look there.

    Args:
        problem: What went wrong.
        debug: Whether to add the traceback of a user's function.
    """
    error = problem.error
    found: dict[str, Any] = {
        "type": problem.code,
        "message": problem.message,
        "phase": getattr(error, "phase", None),
        "loop": getattr(error, "loop", None),
        "request_id": problem.request_id or uuid.uuid4().hex[:12],
    }
    if debug and error is not None and error.__cause__ is not None:
        lines = traceback.format_exception(error.__cause__)
        found["traceback"] = without_paths("".join(lines))
    if problem.code == "callback":  # clients of the second generation look there
        return {"status": problem.status, "Message": LOOP_FAILED, "error": found}
    return {"status": problem.status, "error": found}
