"""docs/how_to/pipeline.md names every route of a pipeline, and no other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from allencv_al.service.driver.worker_transport import WorkerTransport
from allencv_al.service.pipeline.pipeline import Pipeline
from allencv_al.service.web.app import WebApp

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "how_to" / "pipeline.md"

ROWS = {
    (method, route): (body, answer)
    for method, route, body, answer in re.findall(
        r"^\| `(GET|POST) (/[^` ]+)` \|([^|]*)\|([^|]*)\|$", DOCUMENT.read_text(), re.M
    )
}
WORKER_ROUTES = {
    ("POST", f"/{name}") for name in ("start_experiment", "sdk_response", "end_of_task")
}
SHARED = {("GET", f"/{name}") for name in ("healthz", "readyz", "metrics")} | {("POST", "/login")}
TOLD_BELOW = {("POST", "/one_loop"), ("POST", "/getdatasetstate"), ("POST", "/end_exp")}


def names_in(cell: str) -> set[str]:
    """Return the names of a cell; what is in brackets explains them."""
    return set(re.findall(r"`([a-z_]+)`", re.sub(r"\(.*?\)", "", cell)))


@pytest.fixture
def make_transport_app() -> Iterator[WebApp]:
    """The application that workers speak with."""
    transport = WorkerTransport("127.0.0.1", 0, None)
    yield transport.app
    transport.close(is_done=True)


def nothing(payload: Any) -> Any:
    """Do nothing."""


def test_the_routes_are_those_of_the_pipeline(tmp_path: Path) -> None:
    app = Pipeline("p", nothing, nothing, nothing, args={"EXPT_DIR": str(tmp_path)}).app
    served = {(one.method, re.sub(r"<(\w+)>", r"{\1}", one.rule)) for one in app.operations}
    written = set(ROWS) - WORKER_ROUTES
    assert written == served | {("GET", "/openapi.json")}


def test_the_routes_of_workers_are_those_of_the_loop(make_transport_app: WebApp) -> None:
    own = {(one.method, one.rule) for one in make_transport_app.operations} - SHARED
    assert own == WORKER_ROUTES


def test_a_row_names_what_a_body_may_hold_and_an_answer_holds(
    make_transport_app: WebApp, tmp_path: Path
) -> None:
    app = Pipeline("p", nothing, nothing, nothing, args={"EXPT_DIR": str(tmp_path)}).app
    checked = 0
    for one in (*app.operations, *make_transport_app.operations):
        if (one.method, one.rule) in SHARED | TOLD_BELOW or one.rule == "/jobs/<job>":
            continue
        body, answer = ROWS[one.method, one.rule]
        assert names_in(body) == set(one.body.model_fields if one.body else ()), one.rule
        assert one.answer is not None
        fields = set(one.answer.model_fields) - {"status", "Message"}
        assert names_in(answer) - {"status", "Message"} == fields, one.rule
        checked += 1
    assert checked == 7


def test_the_functions_of_the_document_make_a_pipeline(tmp_path: Path) -> None:
    source = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.S)[0]
    source = source.replace('"EXPT_DIR": "log"', f'"EXPT_DIR": {str(tmp_path)!r}')
    names: dict[str, Any] = {"__name__": "main"}
    exec(source, names)
    client = names["app"].test_client()
    assert client.post("/train", json={"labeled": [1], "ckpt_file": "c"}).status_code == 200
    found = client.post("/test", json={"ckpt_file": "c"}).json
    assert found["metrics"]["accuracy"] == 2 / 3
    found = client.post("/infer", json={"ckpt_file": "c", "unlabeled": [4, 2]}).json
    assert sorted(found["outputs"]) == ["2", "4"]
