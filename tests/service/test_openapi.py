"""`/openapi.json` of every application is a valid OpenAPI 3.1 document."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from allencv_al.labels.sessions.labeling_store import LABELING_NAME, LabelingStore
from allencv_al.service.demo.app import create_app as create_demo
from allencv_al.service.driver.worker_transport import WorkerTransport
from allencv_al.service.labeling.app import create_app as create_labeling
from allencv_al.service.pipeline import Pipeline
from allencv_al.service.web import Identity, TokenAccess, WebApp, WebSettings

TOKEN = "the-token-of-this-test"


APPS = ["demo", "labeling", "pipeline", "loop"]


@pytest.fixture
def make_any_app(
    tmp_path: Path, make_tiny_run: Callable[[Path], Path]
) -> Iterator[Callable[[str, WebSettings], WebApp]]:
    """Return a function that makes an application by name."""
    with contextlib.ExitStack() as stack:

        def make(name: str, settings: WebSettings) -> WebApp:
            token = TOKEN if settings.access.needs_token else None
            if name == "demo":
                app = create_demo(make_tiny_run(tmp_path / "run"), settings=settings)
                stack.callback(app.close)
            elif name == "labeling":
                LabelingStore(tmp_path / LABELING_NAME).close()
                app = create_labeling(tmp_path, settings=settings)
                stack.callback(app.close)
            elif name == "pipeline":
                functions = [lambda args: None] * 4
                args = {"EXPT_DIR": str(tmp_path / "experiment")}
                app = Pipeline("any", *functions, args, token)._make_app("127.0.0.1", 0)
            else:
                transport = WorkerTransport("127.0.0.1", 0, token)
                stack.callback(transport.close, True)
                app = transport.app
            return app

        yield make


@pytest.mark.parametrize("needs_token", [False, True])
@pytest.mark.parametrize("name", APPS)
def test_it_is_valid(
    name: str, needs_token: bool, make_any_app: Callable[[str, WebSettings], WebApp]
) -> None:
    from openapi_spec_validator import OpenAPIV31SpecValidator

    access: dict[str, Any] = {"access": TokenAccess({TOKEN: Identity("")})} if needs_token else {}
    app = make_any_app(name, WebSettings(port=0, **access))
    headers = {"Authorization": f"Bearer {TOKEN}"} if needs_token else {}
    found = app.test_client().get("/openapi.json", headers=headers).json
    faults = list(OpenAPIV31SpecValidator(found).iter_errors())
    assert [f"{list(fault.absolute_path)}: {fault.message:.300}" for fault in faults] == []
