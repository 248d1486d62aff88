"""Error responses: ``{"error": {"code", "message", "field"}}``."""

from __future__ import annotations

import errno
import logging
import re
import uuid
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, cast

from flask import Response, jsonify
from werkzeug.exceptions import HTTPException

from allencv_al.common.errors import AllenCVError
from allencv_al.labels.label_store import LabelConflict

logger = logging.getLogger(__name__)

_FULL = (errno.ENOSPC, errno.EDQUOT)
# Absolute file paths of at least two parts; routes such as /predict are no secret
_PATH = re.compile(r"(?<![\w:/.])(?:/[^\s/:;,'\"]+){2,}/?|\b[A-Za-z]:\\[^\s:;,'\"]+")


class WebError(AllenCVError):
    """An error response.

    Args:
        status: The HTTP status.
        code: Machine-readable error code, such as `busy`.
        message: The problem and its remedy.
        field: The invalid part of the request (`items.3`).
        retry_after: Seconds after which a retry makes sense.
        state: Current state, for a client whose state is outdated.
        request_id: Identifier of the request in the log, which holds the details.
    """

    shows_paths = False
    """Whether the message keeps absolute paths, which are then the client's own."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        field: str | None = None,
        retry_after: int | None = None,
        state: Mapping[str, Any] | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.field = field
        self.retry_after = retry_after
        self.state = state
        self.request_id = request_id

    @property
    def message(self) -> str:
        """The message as clients may see it."""
        return str(self) if self.shows_paths else without_paths(str(self))


ErrorBody = Callable[[WebError], dict[str, Any]]


def error_body(error: WebError) -> dict[str, Any]:
    """Return the JSON body of an error response."""
    body: dict[str, Any] = {
        "error": {"code": error.code, "message": error.message, "field": error.field}
    }
    if error.state is not None:
        body["state"] = dict(error.state)
    return body


def error_response(error: Exception, body_of: ErrorBody = error_body) -> Response:
    """Return the response for any exception of a handler; log internal errors.

    Args:
        error: The raised exception.
        body_of: Returns the JSON body of the response.
    """
    if isinstance(error, HTTPException) and error.response is not None:
        return cast(Response, error.response)  # such as a redirect
    found = _web_error(error)
    found.__cause__ = error.__cause__  # a server in debug mode shows its traceback
    response = jsonify(body_of(found))
    response.status_code = found.status
    if found.retry_after is not None:
        response.headers["Retry-After"] = str(found.retry_after)
    if isinstance(error, HTTPException):
        for name, value in error.get_headers():
            if name.lower() in ("allow", "www-authenticate", "retry-after"):
                response.headers[name] = value
    return response


def without_paths(text: str) -> str:
    """Replace each absolute path in a text by its last part."""
    return _PATH.sub(lambda found: re.split(r"[/\\]", found[0].rstrip("/\\"))[-1], text)


def _web_error(error: Exception) -> WebError:
    if isinstance(error, WebError):
        return error
    if isinstance(error, LabelConflict):
        return WebError(HTTPStatus.CONFLICT, "conflict", str(error))
    if isinstance(error, AllenCVError):
        return WebError(HTTPStatus.UNPROCESSABLE_ENTITY, "unprocessable", str(error))
    if isinstance(error, HTTPException):
        status = error.code or HTTPStatus.INTERNAL_SERVER_ERROR
        return WebError(status, _code(status), _sentence(status, error))
    if isinstance(error, OSError) and error.errno in _FULL:
        logger.error("the disk is full: %s", error)
        message = "the server's disk is full; nothing of this request was stored"
        return WebError(HTTPStatus.INSUFFICIENT_STORAGE, "disk_full", message)
    request_id = uuid.uuid4().hex[:12]
    logger.error("request %s failed", request_id, exc_info=error)
    message = f"internal server error; the server's log names this request {request_id}"
    return WebError(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", message, request_id=request_id)


def _code(status: int) -> str:
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return "too_large"  # the same code as from `connections`, which counts bytes first
    return HTTPStatus(status).name.lower()


def _sentence(status: int, error: HTTPException) -> str:
    sentences = {
        HTTPStatus.NOT_FOUND: "no such page or operation",
        HTTPStatus.METHOD_NOT_ALLOWED: "this address does not support this method",
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "the request is too long",
        HTTPStatus.BAD_REQUEST: "malformed request",
    }
    return sentences.get(HTTPStatus(status), error.name)
