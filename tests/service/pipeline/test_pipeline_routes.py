"""The routes of a pipeline, as clients of all generations use them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.pipeline_requests import error_of, loop
from flask.testing import FlaskClient
from openapi_pydantic import OpenAPI

from allencv_al.common.errors import ConfigurationError
from allencv_al.service.pipeline import Pipeline
from allencv_al.service.pipeline.state.storage import Storage

MakePipeline = Callable[..., Pipeline]


def test_the_three_calls_of_the_first_generation(client: FlaskClient) -> None:
    body = {"labeled": [5, 0, 1, 2], "resume_from": None, "ckpt_file": "ckpt_0"}
    trained = client.post("/train", json=body).json
    assert trained["status"] == 200 and trained["train_time"] >= 0
    assert trained["num_queried_per_class"] == {"0": 1, "1": 1, "2": 2}
    tested = client.post("/test", json={"ckpt_file": "ckpt_0"}).json
    assert tested["status"] == 200 and len(tested["predictions"]) == len(tested["labels"]) == 30
    assert tested["metrics"]["accuracy"] > 0.8
    inferred = client.post("/infer", json={"ckpt_file": "ckpt_0", "unlabeled": [7, 3]}).json
    assert (inferred["status"], sorted(inferred["outputs"]), inferred["count"]) == (
        200,
        ["3", "7"],
        2,
    )
    assert len(inferred["outputs"]["3"]["pre_softmax"]) == 3
    state = client.post("/getdatasetstate", json={}).json
    assert (state["size"], state["state"]["59"]) == (60, "59.png")


def test_outputs_can_be_stored(make_pipeline: MakePipeline, tmp_path: Path) -> None:
    client = make_pipeline().app.test_client()
    client.post("/train", json={"labeled": [0, 1, 2], "ckpt_file": "c"})
    found = client.post("/infer?store=1", json={"ckpt_file": "c", "unlabeled": [4, 3]}).json
    assert found["outputs"] is None and found["count"] == 2
    name = Path(found["artifact"]).name
    assert name.startswith("c-")
    arrays = Storage(str(tmp_path / "log" / "storage")).read_arrays(f"outputs/{name}")
    assert arrays["index"].tolist() == [3, 4] and arrays["logits"].shape == (2, 3)
    assert np.allclose(arrays["softmax"].sum(axis=1), 1)


@pytest.mark.parametrize(
    ("changes", "status", "part"),
    [
        ({"selected_indices": [1, 1]}, 422, "duplicate indices: 1"),
        ({"selected_indices": [60]}, 422, "expected 0 to 59, found 60"),
        ({"selected_indices": []}, 422, "no records were chosen"),
        ({"selected_indices": None}, 422, "no such file in the storage"),
        ({"cur_loop": 1, "selected_indices": [3]}, 422, "loop 0"),
        ({"cur_loop": -1}, 422, "cur_loop"),
        ({"experiment_id": "../up"}, 400, "experiment_id: expected letters"),
        ({"experiment_id": "a/b"}, 400, "experiment_id"),
        ({"project_id": "x" * 200}, 400, "project_id"),
        ({"user_id": ".."}, 400, "user_id"),
        ({"bucket_name": "a\0b"}, 400, "bucket_name"),
        ({"project_id": None}, 422, "project_id"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(
    changes: dict[str, Any], status: int, part: str, client: FlaskClient, functions: Any
) -> None:
    found = client.post("/one_loop", json={**loop(0, [0, 1, 2]), **changes})
    assert part in error_of(found, status)["message"]
    assert functions.calls == []


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/b", "", "x" * 201, "a\0"])
def test_a_checkpoint_is_a_name_and_no_path(name: str, client: FlaskClient, functions: Any) -> None:
    for path, body in (
        ("/train", {"labeled": [1], "ckpt_file": name}),
        ("/train", {"labeled": [1], "ckpt_file": "c", "resume_from": name}),
        ("/test", {"ckpt_file": name}),
        ("/infer", {"ckpt_file": name, "unlabeled": [1]}),
    ):
        assert client.post(path, json=body).status_code in (400, 422)
    assert functions.calls == []


@pytest.mark.parametrize(
    ("options", "path", "body", "status", "part"),
    [
        ({}, "/test", {"ckpt_file": "none"}, 404, "test:"),
        ({"test_fn": lambda ckpt_file: [1]}, "/test", {"ckpt_file": "c"}, 422, "found a list"),
        (
            {"test_fn": lambda ckpt_file: {"labels": []}},
            "/test",
            {"ckpt_file": "c"},
            422,
            "missing: predictions",
        ),
        (
            {"infer_fn": lambda payload: {"outputs": {1: [0.0]}}},
            "/infer",
            {"ckpt_file": "c", "unlabeled": [1, 2]},
            422,
            "missing: 2",
        ),
        (
            {"infer_fn": lambda payload: None},
            "/infer",
            {"ckpt_file": "c", "unlabeled": [1]},
            422,
            "nothing",
        ),
        ({"getstate_fn": None}, "/getdatasetstate", {}, 404, "no getdatasetstate"),
        ({"getstate_fn": lambda: {1: object()}}, "/getdatasetstate", {}, 422, "found a object"),
    ],
)
def test_what_functions_do_wrong_is_said(
    options: dict[str, Any],
    path: str,
    body: Any,
    status: int,
    part: str,
    make_pipeline: MakePipeline,
) -> None:
    found = make_pipeline(**options).app.test_client().post(path, json=body)
    assert part in error_of(found, status)["message"]


def test_who_has_no_token_gets_nothing(make_pipeline: MakePipeline) -> None:
    token = "a-long-enough-token-0123"
    client = make_pipeline(token=token).app.test_client()
    for path in ("/train", "/test", "/infer", "/getdatasetstate", "/one_loop", "/end_exp"):
        assert client.post(path, json={}).status_code == 401
        found = client.post(path, json={}, headers={"Authorization": f"Bearer {token}"})
        assert found.status_code in (200, 422)
    assert client.get("/healthz").status_code == 200
    assert client.get("/v1/info").status_code == 401
    with pytest.raises(ConfigurationError, match="16 characters"):
        make_pipeline(token="short")
    with pytest.raises(ConfigurationError, match="a token is needed"):
        make_pipeline()(host="0.0.0.0")


def test_it_says_what_it_is(client: FlaskClient) -> None:
    found = client.get("/v1/info")
    assert found.json == {
        "protocol": 1,
        "name": "centroids",
        "busy": False,
        "functions": ["train", "test", "infer", "getdatasetstate"],
        "class_labels": None,
        "checkpoint_extension": "",
    }
    assert found.headers["X-AllenCV-AL-Protocol"] == "1"
    OpenAPI.model_validate(client.get("/openapi.json").json)
    assert client.post("/end_exp", json={}).json["Message"] == "Experiment complete"
    assert client.get("/train").status_code == 405


def test_results_can_lie_anywhere_that_fsspec_knows(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(storage_url="memory://results")
    found = pipeline.app.test_client().post("/one_loop", json=loop(0, [0, 1, 2])).json
    assert all(url.startswith("memory://") for url in found["artifacts"].values())
    storage = Storage("memory://results")
    assert storage.read_json("bucket/me/proj/exp-1/metrics_0.json") == found["metrics"]
    with pytest.raises(ConfigurationError, match="storage_url"):
        make_pipeline(storage_url="nonsense://x")


def test_a_pipeline_may_detect(make_pipeline: MakePipeline, tmp_path: Path) -> None:
    box = [0.0, 0.0, 10.0, 10.0]

    def test(args: Any, ckpt_file: Any) -> Any:
        found = {"boxes": [box], "objects": [1], "scores": np.array([0.9])}
        return {"predictions": {5: found}, "labels": {5: {"boxes": [box], "objects": [1]}}}

    def infer(args: Any, unlabeled: Any, ckpt_file: Any) -> Any:
        one = {"boxes": [box], "scores": [0.5], "pre_softmax": [[0.1, 0.2]]}
        return {"outputs": dict.fromkeys(unlabeled, one)}

    client = make_pipeline(test_fn=test, infer_fn=infer).app.test_client()
    found = client.post("/one_loop", json=loop(0, [0, 1, 2])).json
    assert found["metrics"]["mAP"] == pytest.approx(1)
    assert found["artifacts"]["infer_outputs"].endswith(".json")
    assert client.post("/test", json={"ckpt_file": "c"}).json["metrics"]["AP"]["1"] == 1


def test_torch_is_not_imported_for_it() -> None:
    code = (
        "import sys, allencv_al.service.pipeline as p; p.Pipeline; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_request_may_say_the_loop_and_the_labels(make_pipeline: MakePipeline) -> None:
    seen = {}

    def train(args: Any, labeled: Any, resume_from: Any, ckpt_file: Any, labels: Any) -> None:
        seen.update(loop=args["cur_loop"], labels=labels)

    body = {"labeled": [3, 5], "resume_from": None, "ckpt_file": "c", "cur_loop": 7}
    client = make_pipeline(train_fn=train).app.test_client()
    labels = {"3": "cat", "5": "dog"}
    assert client.post("/train", json={**body, "labels": labels}).status_code == 200
    assert seen == {"loop": 7, "labels": {3: "cat", 5: "dog"}}
    assert client.post("/train", json=body).status_code == 200
    assert seen["labels"] is None


def test_info_says_what_a_driver_needs(make_pipeline: MakePipeline, tmp_path: Path) -> None:
    args = {"EXPT_DIR": str(tmp_path / "log"), "CKPT_EXT": ".pth"}
    pipeline = make_pipeline(args=args, class_labels={0: "car", 1: "plane"})
    found = pipeline.app.test_client().get("/v1/info").json
    assert found["class_labels"] == {"0": "car", "1": "plane"}
    assert found["checkpoint_extension"] == ".pth"
