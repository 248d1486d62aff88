"""One shape for everything that goes wrong: ``{"error": {"code", "message", "field"}}``."""

from __future__ import annotations

import errno
import logging
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, cast

from flask import Response, jsonify
from werkzeug.exceptions import HTTPException

from allencv_al.common.errors import AllenCVError
from allencv_al.labels.label_store import LabelConflict

logger = logging.getLogger(__name__)

_FULL = (errno.ENOSPC, errno.EDQUOT)
# An absolute path of this machine, of two parts at least; what HTTP calls a path is no secret
_PATH = re.compile(r"(?<![\w:/.])(?:/[^\s/:;,'\"]+){2,}/?|\b[A-Za-z]:\\[^\s:;,'\"]+")


class WebError(AllenCVError):
    """An answer that is no success.

    Args:
        status: The HTTP status.
        code: One word for programs, such as `busy`.
        message: The finding and the remedy.
        field: The part of the request that is wrong (`items.3`).
        retry_after: In how many seconds it may be tried again.
        state: How things stand now, for who was not up to date.
    """

    shows_paths = False
    """Whether the message keeps paths of this machine, which belong to the client."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        field: str | None = None,
        retry_after: int | None = None,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.field = field
        self.retry_after = retry_after
        self.state = state


@dataclass(frozen=True, slots=True)
class Problem:
    """The content of an error answer.

    Args:
        status: The HTTP status.
        code: One word for programs.
        message: For people, without a path of this machine.
        field: The part of the request that is wrong.
        retry_after: In how many seconds it may be tried again.
        state: How things stand now.
        request_id: By which the log names the request, where it holds more than the answer.
        error: The raised error.
    """

    status: int
    code: str
    message: str
    field: str | None = None
    retry_after: int | None = None
    state: Mapping[str, Any] | None = None
    request_id: str | None = None
    error: Exception | None = None


ErrorBody = Callable[[Problem], dict[str, Any]]


def error_body(problem: Problem) -> dict[str, Any]:
    """Return the body of an error answer."""
    body: dict[str, Any] = {
        "error": {"code": problem.code, "message": problem.message, "field": problem.field}
    }
    if problem.state is not None:
        body["state"] = dict(problem.state)
    return body


def error_response(error: Exception, body_of: ErrorBody = error_body) -> Response:
    """Return the answer for anything that a request has raised; what is our fault is logged.

    Args:
        error: The raised error.
        body_of: Makes the JSON of the answer.
    """
    if isinstance(error, HTTPException) and error.response is not None:
        return cast(Response, error.response)  # a redirect, say
    problem = _problem(error)
    if not getattr(error, "shows_paths", False):
        problem = replace(problem, message=without_paths(problem.message))
    problem = replace(problem, error=error)
    response = jsonify(body_of(problem))
    response.status_code = problem.status
    if problem.retry_after is not None:
        response.headers["Retry-After"] = str(problem.retry_after)
    if isinstance(error, HTTPException):
        for name, value in error.get_headers():
            if name.lower() in ("allow", "www-authenticate", "retry-after"):
                response.headers[name] = value
    return response


def without_paths(text: str) -> str:
    """Return a message with the last parts only of the paths in it."""
    return _PATH.sub(lambda found: re.split(r"[/\\]", found[0].rstrip("/\\"))[-1], text)


def _problem(error: Exception) -> Problem:
    if isinstance(error, WebError):
        return Problem(
            *(error.status, error.code, str(error)), error.field, error.retry_after, error.state
        )
    if isinstance(error, LabelConflict):
        return Problem(HTTPStatus.CONFLICT, "conflict", str(error))
    if isinstance(error, AllenCVError):
        return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "unprocessable", str(error))
    if isinstance(error, HTTPException):
        status = error.code or HTTPStatus.INTERNAL_SERVER_ERROR
        return Problem(status, _code(status), _sentence(status, error))
    if isinstance(error, OSError) and error.errno in _FULL:
        logger.error("the disk is full: %s", error)
        message = "the disk of the server is full; nothing of this request was stored"
        return Problem(HTTPStatus.INSUFFICIENT_STORAGE, "disk_full", message)
    request_id = uuid.uuid4().hex[:12]
    logger.error("request %s failed", request_id, exc_info=error)
    message = f"something is wrong with the server; its log names this request {request_id}"
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", message, request_id=request_id)


def _code(status: int) -> str:
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return "too_large"  # as where the connection counts, before this application does
    return HTTPStatus(status).name.lower()


def _sentence(status: int, error: HTTPException) -> str:
    sentences = {
        HTTPStatus.NOT_FOUND: "there is nothing at this address",
        HTTPStatus.METHOD_NOT_ALLOWED: "this address does not take this method",
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "the request is too long",
        HTTPStatus.BAD_REQUEST: "the request cannot be understood",
    }
    return sentences.get(HTTPStatus(status), error.name)
