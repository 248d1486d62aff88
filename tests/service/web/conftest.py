"""A small application that has one of everything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Response
from pydantic import BaseModel, ConfigDict

from allencv_al.common.errors import DataError, ImageDecodeError
from allencv_al.labels.label_store import LabelConflict
from allencv_al.service.web import Identity, TokenAccess, WebApp, WebSettings, current_identity

TOKENS = {"anna": "token-of-anna-0123456789", "ben": "token-of-ben-0123456789"}
MakeApp = Callable[..., WebApp]


class Number(BaseModel):
    """What goes in."""

    model_config = ConfigDict(extra="forbid")

    n: int
    name: str = ""


class Page(BaseModel):
    """What stands behind the question mark."""

    model_config = ConfigDict(extra="forbid")

    limit: int = 10


class Answer(BaseModel):
    """What comes out."""

    n: int
    who: str = ""


def _make_app(folder: Path | None = None, **settings: Any) -> WebApp:
    """Return the application; `folder` is served below /files/."""
    app = WebApp("sample", WebSettings(**{"port": 0, **settings}), "Sample")

    @app.operation("POST", "/double")
    def double(body: Number) -> Answer:
        """Double a number."""
        return Answer(n=2 * body.n, who=current_identity().name)

    @app.operation("GET", "/items/<int:n>")
    def item(n: int, query: Page) -> Answer:
        """Return an item."""
        return Answer(n=min(n, query.limit))

    @app.operation("DELETE", "/items/<int:n>", scope="delete")
    def delete(n: int) -> Answer:
        """Remove an item."""
        return Answer(n=n)

    @app.operation("POST", "/raw", accepts=("*/*",), produces="text/plain")
    def raw() -> Response:
        """Return the length of the body."""
        from allencv_al.service.web.bodies import read_body

        return Response(str(len(read_body())), mimetype="text/plain")

    @app.operation("POST", "/raise/<kind>")
    def fail(kind: str) -> Answer:
        """Raise something."""
        raise ERRORS[kind]()

    app.page("/", Path(__file__).with_name("page.html"))
    if folder is not None:
        app.folder("/files/", folder)
    return app


ERRORS: dict[str, Callable[[], Exception]] = {
    "bug": lambda: RuntimeError(f"a secret of /home/me/things, {TOKENS['anna']}"),
    "data": lambda: DataError("/home/me/photos/cat.jpg: expected an image"),
    "image": lambda: ImageDecodeError("<3 bytes>", "it is none of the known formats"),
    "conflict": lambda: LabelConflict("event 3 is not in force"),
    "full": lambda: OSError(28, "No space left on device", "/home/me/run.sqlite"),
    "other disk fault": lambda: OSError(5, "Input/output error", "/home/me/run.sqlite"),
}


def token_access() -> TokenAccess:
    """Return two people: Anna may do everything, Ben may read."""
    scopes = {"anna": frozenset({"*"}), "ben": frozenset({"read"})}
    return TokenAccess({token: Identity(name, scopes[name]) for name, token in TOKENS.items()})


@pytest.fixture
def tokens() -> dict[str, str]:
    """The tokens of two people: Anna may do everything, Ben may read."""
    return dict(TOKENS)


@pytest.fixture
def make_app() -> MakeApp:
    """Return a function that makes the application; options are those of `WebSettings`."""
    return _make_app


@pytest.fixture
def app() -> WebApp:
    """The application for everybody on this machine."""
    return _make_app()


@pytest.fixture
def closed_app() -> WebApp:
    """The application that asks for a token."""
    return _make_app(access=token_access())
