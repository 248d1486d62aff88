"""`WebApp`: operations by their signatures, pages, readiness and what every server has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fixtures.error_bodies import error_of
from flask import Response
from pydantic import BaseModel
from werkzeug.test import EnvironBuilder

from allencv_al.service.web import Identity, TokenAccess, WebApp, WebSettings
from allencv_al.service.web.web_errors import WebError

Tokens = dict[str, str]


class Sum(BaseModel):
    """Two numbers."""

    a: int
    b: int = 5


class Name(BaseModel):
    """A name of a file."""

    name: str


def test_the_signature_of_a_handler_is_the_contract() -> None:
    app = WebApp("sums", WebSettings(port=0), "Sums")

    @app.operation("PUT", "/sums/<name>", status=201)
    def add(name: str, body: Sum, query: Sum) -> Sum:
        """Add two
        sums."""
        assert name == "mine"
        return Sum(a=body.a + query.a, b=body.b + query.b)

    found = app.test_client().put("/sums/mine?a=1&b=2", json={"a": 10})
    assert (found.status_code, found.json) == (201, {"a": 11, "b": 7})
    assert list(found.json) == ["a", "b"], "in the order of the model"
    operation = app.operations[-1]
    assert (operation.body, operation.query, operation.answer) == (Sum, Sum, Sum)
    assert operation.summary == "Add two sums."
    assert error_of(app.test_client().put("/sums/mine?a=x", json={"a": 1}), 422)["field"] == "a"


def test_a_union_with_a_response_has_the_model_as_answer() -> None:
    app = WebApp("sums", WebSettings(port=0), "Sums")

    @app.operation("GET", "/maybe")
    def maybe() -> Sum | Response:
        """Return something."""
        return Response("none", mimetype="text/plain")

    assert app.operations[-1].answer is Sum
    assert app.test_client().get("/maybe").text == "none"


def test_a_file_name_that_is_not_utf_8_is_escaped() -> None:
    app = WebApp("names", WebSettings(port=0), "Names")

    @app.operation("GET", "/name")
    def name() -> Name:
        """Return a name."""
        return Name.model_construct(name="caf\udce9.png")

    found = app.test_client().get("/name")
    assert found.get_data() == b'{"name": "caf\\udce9.png"}'


def test_a_limit_of_an_operation_is_below_that_of_the_server() -> None:
    app = WebApp("sums", WebSettings(port=0, max_body_bytes=10_000), "Sums")

    @app.operation("POST", "/short", max_body_bytes=100)
    def short(body: Sum) -> Sum:
        """Return it."""
        return body

    content: dict[str, Any] = {"headers": {"Content-Type": "application/json"}}
    assert app.test_client().post("/short", data=b'{"a": 1}', **content).status_code == 200
    found = app.test_client().post("/short", data=b'{"a": 1' + b" " * 200 + b"}", **content)
    assert found.status_code == 413


def test_every_server_has_these_routes(app: WebApp) -> None:
    client = app.test_client()
    assert client.get("/healthz").json == {"status": "ok"}
    assert client.get("/readyz").json == {"status": "ready"}
    assert client.get("/metrics").mimetype == "text/plain"
    assert client.get("/openapi.json").json["info"]["title"] == "Sample"
    assert client.get("/login").mimetype == "text/html"
    assert client.get("/static/none.css").status_code == 404


def test_a_server_is_ready_when_no_check_has_a_reason(app: WebApp) -> None:
    reasons: list[str | None] = ["the model loads", None, "the disk is full"]
    for place in range(3):
        app.add_readiness(lambda place=place: reasons[place])  # type: ignore[misc]
    found = app.test_client().get("/readyz")
    assert error_of(found, 503)["message"] == "the model loads; the disk is full"
    assert found.headers["Retry-After"] == "1"
    reasons[:] = [None] * 3
    assert app.test_client().get("/readyz").status_code == 200


def test_what_was_opened_last_is_closed_first_and_once(app: WebApp) -> None:
    closed: list[str] = []
    app.on_close(lambda: closed.append("first"))
    app.on_close(lambda: closed.append("second"))
    app.close()
    app.close()
    assert closed == ["second", "first"]


def test_a_page_asks_to_log_in_and_a_folder_refuses(closed_app: WebApp, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    closed_app.folder("/files/", tmp_path)
    client = closed_app.test_client()
    found = client.get("/", environ_overrides={"SCRIPT_NAME": "/below"})
    assert (found.status_code, found.headers["Location"]) == (302, "/below/login")
    assert client.get("/files/a.txt").status_code == 401


def test_an_open_operation_needs_no_token(closed_app: WebApp) -> None:
    @closed_app.operation("GET", "/open", is_open=True)
    def shown() -> Sum:
        """Return something."""
        return Sum(a=1)

    assert closed_app.test_client().get("/open").status_code == 200


@pytest.mark.parametrize(
    ("path", "token", "limit"),
    [
        *(("/double", "anna", 1000), ("/double", None, None), ("/nothing", "anna", None)),
        *(("/login", None, 8 * 2**10), ("/items/3", "anna", None)),
    ],
)
def test_how_much_of_a_body_is_read_follows_from_its_head(
    path: str, token: str | None, limit: int | None, make_app: Any, tokens: Tokens
) -> None:
    access = TokenAccess({tokens["anna"]: Identity("anna", frozenset({"*"}))})
    app: WebApp = make_app(access=access, max_body_bytes=1000)
    headers = {} if token is None else {"Authorization": f"Bearer {tokens[token]}"}
    environ = EnvironBuilder(path=path, method="POST", headers=headers).get_environ()
    assert app.body_limit(environ) == limit


def test_errors_may_have_a_body_of_the_servers_own() -> None:
    app = WebApp("own", WebSettings(port=0), "Own", lambda error: {"problem": error.code})

    @app.operation("GET", "/fail")
    def fail() -> Sum:
        """Fail."""
        raise WebError(409, "taken", "it is taken")

    found = app.test_client().get("/fail")
    assert (found.status_code, found.json) == (409, {"problem": "taken"})
