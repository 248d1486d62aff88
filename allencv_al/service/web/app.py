"""`WebApp`: a Flask application that guards every route."""

from __future__ import annotations

import functools
import inspect
import io
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar, get_args, get_type_hints

import flask
from flask import Response, g, request
from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticSerializationError
from werkzeug.exceptions import NotFound

import allencv_al
from allencv_al.service.web import bodies
from allencv_al.service.web.access import Identity, session_of
from allencv_al.service.web.attempts import Attempts
from allencv_al.service.web.guards import (
    add_headers,
    check_encoding,
    check_host,
    check_origin,
    check_peer,
    identity_of,
    preflight,
)
from allencv_al.service.web.openapi import ErrorAnswer, Operation, document
from allencv_al.service.web.request_metrics import RequestMetrics
from allencv_al.service.web.served_files import contained, file_response
from allencv_al.service.web.web_errors import ErrorBody, WebError, error_body, error_response
from allencv_al.service.web.web_settings import WebSettings

_SHARED = Path(__file__).resolve().parent.parent / "static"
_JSON = ("application/json",)
_COMMON_STATUSES = (400, 401, 403, 413, 415, 421, 422, 429, 500, 507)
_MAX_ANONYMOUS_BODY = 8 * 2**10  # bytes; enough for a login
_View = TypeVar("_View", bound=Callable[..., Any])


class _MemoryRequest(flask.Request):
    """A request that keeps uploaded files in memory: temporary files would fail on a full disk."""

    def _get_file_stream(self, *args: Any, **kwargs: Any) -> IO[bytes]:
        return io.BytesIO()


class StatusAnswer(BaseModel):
    """Status of the server."""

    status: str


class LoginRequest(BaseModel):
    """A token to log in with."""

    model_config = ConfigDict(extra="forbid")

    token: str


class WebApp(flask.Flask):
    """A web application that applies the same guards to every request.

    `operation`, `page` and `folder` add routes. A route requires authentication by
    `settings.access` unless it is declared open. Every application has `/healthz`, `/readyz`,
    `/metrics`, `/openapi.json`, `/static/` and `/login`.

    Args:
        name: A short name; also the prefix of the session cookie's name.
        settings: Address, access and limits.
        title: Title in `/openapi.json`.
        body_of_errors: Returns the JSON body of an error response.
        error_answer: Model of that body, for `/openapi.json`.
    """

    def __init__(
        self,
        name: str,
        settings: WebSettings,
        title: str,
        body_of_errors: ErrorBody = error_body,
        error_answer: type[BaseModel] = ErrorAnswer,
    ) -> None:
        super().__init__(name, static_folder=None, root_path=str(_SHARED))
        self.settings = settings
        self.title = title
        self.metrics = RequestMetrics()
        self.operations: list[Operation] = []
        self._readiness: list[Callable[[], str | None]] = []
        self._closers: list[Callable[[], None]] = []
        self._open: set[str] = set()
        self._scopes: dict[str, str | None] = {}
        self._pages: set[str] = set()
        self._cookie = f"{name}-session"
        self._attempts = Attempts()
        self._body_of_errors = body_of_errors
        self._error_answer = error_answer
        self.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
        self.config["MAX_FORM_MEMORY_SIZE"] = settings.max_body_bytes
        # A file and a field for each image
        self.config["MAX_FORM_PARTS"] = 2 * settings.max_images
        # Fields in the order of the models, which is that of the documentation
        self.json.sort_keys = False  # type: ignore[attr-defined]
        self.request_class = _MemoryRequest
        self.before_request(self._guard)
        self.after_request(self._finish)
        self.register_error_handler(Exception, self._answer_error)
        self._add_own_routes()

    # -- Routes --------------------------------------------------------------------------------

    def operation(
        self,
        method: str,
        rule: str,
        *,
        answer: type[BaseModel] | None = None,
        scope: str | None = None,
        is_open: bool = False,
        accepts: Sequence[str] = _JSON,
        responses: Sequence[int] = (),
        produces: str = "",
        status: int = 200,
        max_body_bytes: int | None = None,
    ) -> Callable[[_View], _View]:
        """Register the handler of a route and describe it in `/openapi.json`.

        The handler's signature is the contract: a parameter `body` or `query` is parsed as the
        model that annotates it, further parameters are the parts of the rule, the return
        annotation is the model of the response, and the docstring is the summary.

        Args:
            method: HTTP method.
            rule: Route, in Flask's syntax.
            answer: Model of the JSON, for handlers that return a Flask response.
            scope: Scope that the token must have.
            is_open: Whether the route requires no authentication.
            accepts: Media types of the body; `("*/*",)` for any.
            responses: Error statuses besides those of every route.
            produces: Media type of a response that is not JSON.
            status: Status of a successful response.
            max_body_bytes: Largest body in bytes; None for the server's limit.
        """

        def decorate(view: _View) -> _View:
            hints = get_type_hints(view)
            operation = Operation(
                method,
                rule,
                _text_of(view),
                answer=answer or _model_in(hints.get("return")),
                body=hints.get("body"),
                query=hints.get("query"),
                accepts=tuple(accepts),
                responses=(*_COMMON_STATUSES, *responses),
                produces=produces,
                status=status,
                max_body_bytes=max_body_bytes,
            )
            self.operations.append(operation)
            self._add(method, rule, self._wrapped(view, operation), is_open, scope)
            return view

        return decorate

    def page(self, rule: str, path: Path, *, is_open: bool = False) -> None:
        """Serve an HTML file; redirect clients without a session to `/login`.

        Args:
            rule: Route of the page.
            path: The file.
            is_open: Whether the route requires no authentication.
        """

        def show() -> Response:
            return file_response(path)

        self._pages.add(f"GET {rule}")
        self._add("GET", rule, show, is_open, None)

    def folder(self, rule: str, folder: Path, *, is_open: bool = False) -> None:
        """Serve the files of a folder.

        Args:
            rule: Prefix of the routes, which ends in a slash.
            folder: The folder; symbolic links that lead outside are refused.
            is_open: Whether the routes require no authentication.
        """
        root = folder.resolve()

        def show(name: str) -> Response:
            # Neither ".." nor a link leads out of the folder
            path = contained(root, name)
            if path is None:
                raise NotFound
            return file_response(path)

        self._add("GET", f"{rule}<path:name>", show, is_open, None)

    def add_readiness(self, check: Callable[[], str | None]) -> None:
        """Add a check to `/readyz`; it returns why the server is not ready, or None."""
        self._readiness.append(check)

    def on_close(self, close: Callable[[], None]) -> None:
        """Register a function to call when the server has stopped."""
        self._closers.append(close)

    def close(self) -> None:
        """Call the functions registered by `on_close`, the last one first."""
        while self._closers:
            self._closers.pop()()

    # -- Requests ------------------------------------------------------------------------------

    def _add(
        self, method: str, rule: str, view: Callable[..., Any], is_open: bool, scope: str | None
    ) -> None:
        name = f"{method} {rule}"
        if is_open:
            self._open.add(name)
        self._scopes[name] = scope
        # Without Flask's own answer to OPTIONS, which no guard would see
        self.add_url_rule(rule, name, view, methods=[method], provide_automatic_options=False)

    def body_limit(self, environ: dict[str, Any]) -> int | None:
        """Return the largest allowed body of a request, from its head; None if it is refused.

        Args:
            environ: The WSGI environment, before the body has been read.
        """
        with self.request_context(environ):
            try:
                # Not counted: the same request passes the guards once more with its body
                if self._answer_of_guards(is_counted=False) is not None:
                    return None
            except WebError:
                return None
            if request.routing_exception is not None:
                return None
            return self.settings.max_body_bytes if g.identity is not None else _MAX_ANONYMOUS_BODY

    def _guard(self) -> Response | None:
        g.began = time.perf_counter()
        return self._answer_of_guards(is_counted=True)

    def _answer_of_guards(self, is_counted: bool) -> Response | None:
        check_host(request, self.settings)
        check_peer(request, self.settings)
        asked = preflight(request, self.settings, self._methods())
        if asked is not None:
            return asked
        check_origin(request, self.settings)
        # None for an address that does not exist, which must not be told to callers without a token
        name = request.endpoint
        g.identity = None
        try:
            # With open access the identity is that of everybody
            if name not in self._open or not self.settings.access.needs_token:
                g.identity = identity_of(
                    request, self.settings, self._cookie, self._attempts, is_counted
                )
        except WebError:
            if name not in self._pages:  # a page redirects to the login instead
                raise
        if g.identity is None and name not in self._open:
            if name in self._pages:
                return Response(status=302, headers={"Location": f"{request.script_root}/login"})
            raise WebError(401, "unauthorized", "expected a valid token of this server")
        scope = None if name is None else self._scopes.get(name)
        if name not in self._open and g.identity is not None and not g.identity.may(scope):
            raise WebError(403, "scope", f"the token lacks the scope {scope}")
        check_encoding(request)
        return None

    def _methods(self) -> Sequence[str]:
        adapter = self.create_url_adapter(request) if request.method == "OPTIONS" else None
        return () if adapter is None else list(adapter.allowed_methods())

    def _finish(self, response: Response) -> Response:
        seconds = time.perf_counter() - g.began if "began" in g else 0.0
        rule = request.url_rule.rule if request.url_rule is not None else "none"
        self.metrics.observe(request.method, rule, response.status_code, seconds)
        if response.status_code == 401:
            response.headers["WWW-Authenticate"] = "Bearer"
        return add_headers(response, request, self.settings)

    def _answer_error(self, error: Exception) -> Response:
        return error_response(error, self._body_of_errors)

    def _wrapped(self, view: Callable[..., Any], operation: Operation) -> Callable[..., Response]:
        @functools.wraps(view)
        def answer(**arguments: Any) -> Response:
            if operation.body is not None:
                bodies.check_content_type(operation.accepts)
                most = operation.max_body_bytes or self.settings.max_body_bytes
                limits = (self.settings.max_json_depth, most)
                arguments["body"] = bodies.parse_body(operation.body, *limits)
            if operation.query is not None:
                arguments["query"] = bodies.parse_query(operation.query, request.args)
            return _response(view(**arguments), operation.status)

        return answer

    # -- Routes of every application -----------------------------------------------------------

    def _add_own_routes(self) -> None:
        self.folder("/static/", _SHARED, is_open=True)
        self.page("/login", _SHARED / "login.html", is_open=True)

        @self.operation("GET", "/healthz", is_open=True)
        def healthz() -> StatusAnswer:
            """Report that the server is running."""
            return StatusAnswer(status="ok")

        @self.operation("GET", "/readyz", responses=(503,))
        def readyz() -> StatusAnswer:
            """Report whether the server is ready for requests."""
            causes = [cause for check in self._readiness if (cause := check()) is not None]
            if causes:
                raise WebError(503, "not_ready", "; ".join(causes), retry_after=1)
            return StatusAnswer(status="ready")

        @self.operation("GET", "/metrics", produces="text/plain; version=0.0.4; charset=utf-8")
        def metrics() -> Response:
            """Return request counts and durations in the Prometheus text format."""
            return Response(self.metrics.text(), content_type=self.metrics.content_type)

        @self.operation("POST", "/login", answer=StatusAnswer, is_open=True)
        def login(body: LoginRequest) -> Response:
            """Exchange a token for a session cookie."""
            look_up = self.settings.access.identify
            if self._attempts.identify(request.remote_addr, body.token, look_up) is None:
                raise WebError(401, "unauthorized", "invalid token")
            response = flask.jsonify(status="ok")
            response.set_cookie(
                self._cookie, session_of(body.token), httponly=True, samesite="Strict"
            )
            return response

        self._add("GET", "/openapi.json", self._openapi, False, None)

    def _openapi(self) -> Response:
        needs_token = self.settings.access.needs_token
        return flask.jsonify(
            document(
                self.title,
                allencv_al.__version__,
                self.operations,
                needs_token,
                self._error_answer,
            )
        )


def current_identity() -> Identity:
    """Return the authenticated sender of the current request."""
    identity: Identity | None = g.get("identity")
    assert identity is not None
    return identity


def _response(result: Any, status: int) -> Response:
    if isinstance(result, BaseModel):
        try:
            text = result.model_dump_json(by_alias=True)
        except PydanticSerializationError:  # a file name that is not UTF-8: JSON escapes it
            text = json.dumps(result.model_dump(by_alias=True))
        return Response(text, mimetype="application/json", status=status)
    assert isinstance(result, Response)
    return result


def _text_of(view: Callable[..., Any]) -> str:
    return " ".join((inspect.getdoc(view) or view.__name__).split())


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model in a return annotation, which may be a union with a Flask response."""
    found = [
        kind
        for kind in (annotation, *get_args(annotation))
        if isinstance(kind, type) and issubclass(kind, BaseModel)
    ]
    return found[0] if found else None
