"""What a pipeline refuses, and what a refusal or a kill must not leave behind."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allencv_al.common.errors import ConfigurationError
from allencv_al.service.pipeline import Pipeline, sql_client
from allencv_al.service.pipeline.functions.infer_keys import by_record
from allencv_al.service.pipeline.pipeline_errors import PipelineError
from allencv_al.service.pipeline.state.experiment_state import LOCK_NAME, busy, is_busy
from allencv_al.service.pipeline.tasks.pipeline_metrics import queried_per_class
from allencv_al.service.web import bodies

MakePipeline = Callable[..., Pipeline]


def loop(client: Any, number: int, selected: Any = None, **more: Any) -> Any:
    """Ask for a loop."""
    body = {"experiment_id": "e", "project_id": "p", "cur_loop": number, **more}
    if selected is not None:
        body["selected_indices"] = selected
    return client.post("/one_loop", json=body)


def test_a_refused_selection_is_not_kept(make_pipeline: MakePipeline) -> None:
    client = make_pipeline().app.test_client()
    assert loop(client, 0, [0, 1, 2]).status_code == 200
    assert loop(client, 1, [3, 4]).status_code == 200
    assert loop(client, 1, [0, 5]).status_code == 422
    assert loop(client, 2, [6]).status_code == 200


def test_pages_of_a_named_origin_may_ask(make_pipeline: MakePipeline) -> None:
    client = make_pipeline(allowed_origins=["https://photos.example"]).app.test_client()
    for origin, status in (("https://photos.example", 200), ("https://other.example", 403)):
        headers = {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
        answer = client.post("/getdatasetstate", json={}, headers=headers)
        assert answer.status_code == status
        assert answer.headers.get("Access-Control-Allow-Origin") == (
            origin if status == 200 else None
        )
    with pytest.raises(ConfigurationError, match="allow-origin: expected what a browser sends"):
        make_pipeline(allowed_origins=["photos.example"])


@pytest.mark.parametrize("callback_url", [None, "http://127.0.0.1:1"])
def test_a_request_does_not_choose_who_is_told(
    callback_url: str | None, make_pipeline: MakePipeline, functions: Any
) -> None:
    client = make_pipeline(callback_url=callback_url).app.test_client()
    found = loop(client, 0, [0, 1, 2], callback_url="http://169.254.169.254")
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


@pytest.mark.parametrize("text", ["5", "[1.5, 2]", '["a", 1]', "[true]", '{"0": 1}'])
def test_a_stored_selection_is_a_list_of_whole_numbers(
    text: str, make_pipeline: MakePipeline, tmp_path: Path
) -> None:
    client = make_pipeline().app.test_client()
    folder = tmp_path / "log" / "storage" / "p" / "e"
    folder.mkdir(parents=True)
    (folder / "selected_indices_0.json").write_text(text)
    found = loop(client, 0)
    assert found.status_code == 422
    assert "expected a list of whole numbers" in found.json["error"]["message"]


@pytest.mark.parametrize(
    "text",
    [
        '{"train_size": "60"}',
        '{"train_size": 60.5}',
        '{"train_size": 0}',
        '{"train_size": true}',
        '{"class_labels": 7}',
    ],
)
def test_a_meta_json_of_another_shape_is_refused(
    text: str, make_pipeline: MakePipeline, tmp_path: Path
) -> None:
    client = make_pipeline().app.test_client()
    folder = tmp_path / "log" / "storage" / "p"
    folder.mkdir(parents=True)
    (folder / "meta.json").write_text(text)
    assert loop(client, 0, [0]).status_code == 422


def test_the_longest_ids_have_room(make_pipeline: MakePipeline) -> None:
    client = make_pipeline().app.test_client()
    ids = {name: name[0] * 128 for name in ("bucket_name", "user_id", "project_id")}
    first = loop(client, 0, [0, 1, 2], experiment_id="e" * 128, **ids)
    assert first.status_code == 200
    other = loop(client, 0, [0, 1, 2], experiment_id="f" * 128, **ids)
    assert other.status_code == 200  # a state of its own
    body = {"ckpt_file": f"ckpt_0{'.' * 122}", "unlabeled": [1]}
    assert client.post("/train", json={**body, "labeled": [0, 1, 2]}).status_code == 200
    assert client.post("/infer?store=1", json=body).status_code == 200


@pytest.mark.parametrize("name", ["meta.json", "manifest.json", "e.npz", "e.db"])
@pytest.mark.parametrize("key", ["experiment_id", "project_id", "user_id", "bucket_name"])
def test_an_id_is_no_name_of_a_file_of_the_storage(
    key: str, name: str, make_pipeline: MakePipeline, functions: Any
) -> None:
    found = loop(make_pipeline().app.test_client(), 0, [0], **{key: name})
    assert found.status_code == 400 and key in found.json["error"]["message"]
    assert functions.calls == []


def test_whoever_was_killed_is_not_busy(make_pipeline: MakePipeline, tmp_path: Path) -> None:
    client = make_pipeline().app.test_client()
    folder = tmp_path / "log" / "pipeline-state"
    with busy(folder, "train"):
        assert is_busy(folder) and client.get("/v1/info").json["busy"] is True
    assert not is_busy(folder)
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    (folder / LOCK_NAME).write_text(f"train\n{child}")
    assert client.get("/v1/info").json["busy"] is False


@pytest.mark.parametrize("leave", [SystemExit(2), SystemExit("no such flag")])
def test_a_function_that_exits_ends_its_job(leave: SystemExit, make_pipeline: MakePipeline) -> None:
    def train(args: Any, labeled: Any, resume_from: Any, ckpt_file: Any) -> None:
        sys.exit(leave.code)

    client = make_pipeline(train_fn=train).app.test_client()
    assert client.post("/train", json={"labeled": [0], "ckpt_file": "c"}).status_code == 500
    body = {"experiment_id": "e", "project_id": "p", "cur_loop": 0, "selected_indices": [0]}
    asked = client.post("/one_loop", json=body, headers={"Prefer": "respond-async"})
    address = asked.headers["Location"]
    deadline = time.monotonic() + 20
    while (job := client.get(address).json)["state"] == "running":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert job["state"] == "failed"
    assert job["error"]["type"] == "SystemExit"
    assert (job["error"]["phase"], job["error"]["loop"]) == ("train", 0)


def test_a_callback_that_is_not_heard_has_the_message_of_old_clients(
    make_pipeline: MakePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("allencv_al.service.pipeline.callback._FIRST_PAUSE", 0)
    client = make_pipeline(callback_url="http://127.0.0.1:9").app.test_client()
    found = loop(client, 0, [0, 1, 2])
    assert found.status_code == 502
    assert found.json["Message"] == "Loop Failed - non 200 status returned"


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({"9" * 20: "x"}, "not requested: 9"),
        ({"9" * 5_000: "x"}, "5000 digits"),
        ({7.0: "x"}, "not requested: 7"),
        ({5: "x", "5": "y"}, "duplicate key"),
        (np.array(5.0), "expected a dictionary"),
    ],
)
def test_no_key_finds_a_record_by_its_place_alone(outputs: Any, message: str) -> None:
    with pytest.raises(PipelineError, match=message):
        by_record(outputs, [5])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), np.float32("nan")])
def test_labels_that_are_no_classes_are_not_counted(value: Any) -> None:
    assert queried_per_class([value], 1) is None


def test_a_database_that_is_none_is_said(make_pipeline: MakePipeline, tmp_path: Path) -> None:
    def infer(args: Any, unlabeled: Any, ckpt_file: Any) -> None:
        (Path(args["EXPT_DIR"]) / "infer_outputs_0.db").write_text("no database" * 50)

    found = loop(make_pipeline(infer_fn=infer).app.test_client(), 0, [0, 1, 2])
    assert found.status_code == 422 and found.json["error"]["phase"] == "infer"


def test_many_rows_find_their_records_in_few_steps(tmp_path: Path) -> None:
    count = 2_000
    with sql_client.database(tmp_path / "rows.db") as conn:
        sql_client.add_many(conn, ((place, np.zeros(1)) for place in range(count)))
        steps = 0

        def step() -> int:
            nonlocal steps
            steps += 1
            return 0

        conn.set_progress_handler(step, 1_000)
        sql_client.remap(conn, range(0, 2 * count, 2))
        assert [record for record, _ in sql_client.read_rows(conn)] == list(range(0, 2 * count, 2))
    assert steps < count  # a scan for each row takes more than ten times as many
