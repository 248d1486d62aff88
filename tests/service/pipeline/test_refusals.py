"""What a pipeline refuses, and what a refusal or a kill must not leave behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from allencv_al.service.pipeline import Pipeline
from allencv_al.service.web import bodies

MakePipeline = Callable[..., Pipeline]


def ask_loop(client: Any, number: int, selected: Any = None, **more: Any) -> Any:
    """Ask for a loop."""
    body = {"experiment_id": "e", "project_id": "p", "cur_loop": number, **more}
    if selected is not None:
        body["selected_indices"] = selected
    return client.post("/one_loop", json=body)


@pytest.mark.parametrize("callback_url", [None, "http://127.0.0.1:1"])
def test_a_request_does_not_choose_who_is_told(
    callback_url: str | None, make_pipeline: MakePipeline, functions: Any
) -> None:
    client = make_pipeline(callback_url=callback_url).app.test_client()
    found = ask_loop(client, 0, [0, 1, 2], callback_url="http://169.254.169.254")
    assert found.status_code == 422 and found.json["error"]["type"] == "callback_url"
    assert "Pipeline(callback_url=...)" in found.json["error"]["message"]
    assert functions.calls == []


@pytest.mark.parametrize("path", ["/test", "/getdatasetstate", "/end_exp"])
def test_a_request_without_records_is_short(path: str, make_pipeline: MakePipeline) -> None:
    client = make_pipeline().app.test_client()
    body = json.dumps({"ckpt_file": "c", "more": list(range(300_000))})
    found = client.post(path, data=body, content_type="application/json")
    assert found.status_code == 413 and found.json["status"] == 413


@pytest.mark.parametrize(
    ("path", "missing"),
    [("/train", "ckpt_file"), ("/infer", "ckpt_file"), ("/one_loop", "experiment_id")],
)
def test_a_long_body_without_its_fields_is_not_parsed(
    path: str, missing: str, make_pipeline: MakePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_pipeline().app.test_client()
    monkeypatch.setattr(bodies, "parse_json", None)
    records = list(range(300_000))
    body = json.dumps({"labeled": records, "unlabeled": records, "current_loop": 0})
    found = client.post(path, data=body, content_type="application/json")
    assert found.status_code == 422
    assert f"{missing}: field required" in found.json["error"]["message"]


def test_a_long_body_may_use_any_name_of_a_field(
    make_pipeline: MakePipeline, functions: Any
) -> None:
    client = make_pipeline().app.test_client()
    body = {"experiment_id": "e", "project_id": "p", "current_loop": 0, "more": "x" * 2**20}
    body["selected_indices"] = [0, 1, 2]
    assert client.post("/one_loop", json=body).status_code == 200
