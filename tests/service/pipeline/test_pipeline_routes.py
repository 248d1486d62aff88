"""The routes of a pipeline, as clients of all generations use them."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from openapi_pydantic import OpenAPI

from allencv_al.common.errors import ConfigurationError
from allencv_al.service.pipeline import sql_client
from allencv_al.service.pipeline.pipeline import Pipeline
from allencv_al.service.pipeline.state.storage import Storage

MakePipeline = Callable[..., Pipeline]
LOOP = {
    "experiment_id": "exp-1",
    "project_id": "proj",
    "user_id": "me",
    "cur_loop": 0,
    "bucket_name": "bucket",
    "type": "Image Classification",
    "n_rec": 5,
    "n_loop": 3,
}


@pytest.fixture
def client(make_pipeline: MakePipeline) -> FlaskClient:
    return make_pipeline().app.test_client()


def error_of(found: Any, status: int) -> dict[str, Any]:
    assert found.status_code == status, found.get_data()
    assert found.json["status"] == status, "code and body agree"
    error: dict[str, Any] = found.json["error"]
    assert set(error) == {"type", "message", "phase", "loop", "request_id"}
    return error


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


def loop(number: int, chosen: list[int] | None, **changes: Any) -> dict[str, Any]:
    body = {**LOOP, "cur_loop": number, **changes}
    return body if chosen is None else {**body, "selected_indices": chosen}


def test_loops_follow_each_other(
    make_pipeline: MakePipeline, functions: Any, tmp_path: Path
) -> None:
    client = make_pipeline().app.test_client()
    first = client.post("/one_loop", json=loop(0, [0, 1, 2, 3])).json
    assert first["Message"] == "Loop Started - 200 status returned"
    assert first["metrics"]["accuracy"] > 0.7
    second = client.post("/one_loop", json=loop(1, [10, 11])).json
    assert functions.calls == [
        *("train 4 from None", "test", "infer 56"),
        *("train 6 from ckpt_0", "test", "infer 54"),
    ]
    assert set(second["artifacts"]) == {"insights", "test_predictions", "metrics", "infer_outputs"}
    folder = tmp_path / "log" / "storage" / "bucket" / "me" / "proj" / "exp-1"
    names = {path.name for path in folder.iterdir()}
    assert names == {
        *("selected_indices_0.json", "selected_indices_1.json", "data_map.json", "manifest.json"),
        *("insights_0.json", "insights_1.json", "test_ground_truth.json", "metrics_0.json"),
        *("metrics_1.json", "test_predictions_0.json", "test_predictions_1.json"),
        *("infer_outputs_0.npz", "infer_outputs_1.npz"),
    }
    insights = json.loads((folder / "insights_1.json").read_text())
    assert insights["hyperparams"] == {"epochs": 2}
    assert sum(insights["num_queried_per_class"].values()) == 6


def test_a_repeated_loop_repeats_nothing(make_pipeline: MakePipeline, functions: Any) -> None:
    client = make_pipeline().app.test_client()
    first = client.post("/one_loop", json=loop(0, [0, 1, 2])).json
    again = make_pipeline().app.test_client().post("/one_loop", json=loop(0, [0, 1, 2])).json
    assert again == first
    assert functions.calls == ["train 3 from None", "test", "infer 57"]
    client.post("/one_loop", json=loop(0, [0, 1, 2, 4]))  # other records: another loop
    assert functions.calls[3:] == ["train 4 from None", "test", "infer 56"]


@pytest.mark.parametrize("phase", ["train", "test", "infer"])
def test_what_was_finished_before_a_fault_is_not_done_again(
    phase: str, make_pipeline: MakePipeline, functions: Any
) -> None:
    original = getattr(functions, phase)

    def fails(args: Any, **given: Any) -> Any:
        raise RuntimeError("the power went")

    options = {f"{phase}_fn": fails}
    error = error_of(
        make_pipeline(**options).app.test_client().post("/one_loop", json=loop(0, [0, 1, 2])), 500
    )
    assert (error["phase"], error["loop"]) == (phase, 0)
    assert "RuntimeError: the power went" in error["message"]
    assert original is not None
    made = make_pipeline().app.test_client().post("/one_loop", json=loop(0, [0, 1, 2]))
    assert made.status_code == 200
    assert [call.split()[0] for call in functions.calls] == ["train", "test", "infer"]


ALIASES = [
    {
        "cur_loop": "current_loop",
        "user_id": "tenant_id",
        "type": "task_type",
        "n_rec": "n_rec_per_loop",
    },
    {},
]


@pytest.mark.parametrize("names", ALIASES)
def test_the_keys_of_all_generations_are_understood(
    names: dict[str, str], make_pipeline: MakePipeline
) -> None:
    body = {names.get(key, key): value for key, value in loop(0, [0, 1, 2]).items()}
    body |= {
        "training_set_size": 30,
        "classes": ["a", "b", "c", "d"],
        "num_of_classes": 4,
        "x": [1],
    }
    found = make_pipeline().app.test_client().post("/one_loop", json=body).json
    assert found["metrics"]["classes"] == ["0", "1", "2", "3"]
    assert found["phases"]["infer"]["count"] == 27


def test_the_size_comes_from_meta_json_or_the_state(
    make_pipeline: MakePipeline, tmp_path: Path
) -> None:
    storage = Storage(str(tmp_path / "log" / "storage"))
    meta = {"train_size": 12, "class_labels": {"0": "car", "7": "ship"}}
    storage.write_json("bucket/me/proj/meta.json", meta)
    client = make_pipeline(getstate_fn=None).app.test_client()
    found = client.post("/one_loop", json=loop(0, [0, 1, 2])).json
    assert found["phases"]["infer"]["count"] == 9
    assert found["metrics"]["classes"] == ["0", "1", "2", "7"]
    other = client.post("/one_loop", json=loop(0, [0], project_id="other"))
    assert "the number of records is unknown" in error_of(other, 422)["message"]


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


def test_a_missing_checkpoint_of_the_loop_before_is_a_conflict(
    make_pipeline: MakePipeline, tmp_path: Path
) -> None:
    client = make_pipeline().app.test_client()
    client.post("/one_loop", json=loop(0, [0, 1, 2]))
    (tmp_path / "log" / "ckpt_0").rename(tmp_path / "log" / "ckpt_0.pth")  # a suffix of the user's
    assert client.post("/one_loop", json=loop(1, [3])).status_code == 200
    (tmp_path / "log" / "ckpt_1").unlink()
    error = error_of(client.post("/one_loop", json=loop(2, [4])), 409)
    assert "expected the checkpoint ckpt_1" in error["message"]


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


def test_what_functions_raise_has_its_traceback_only_in_debug(make_pipeline: MakePipeline) -> None:
    def test(args: Any, ckpt_file: str) -> Any:
        return {}["a key"]

    for debug in (False, True):
        client = make_pipeline(test_fn=test, debug=debug).app.test_client()
        found = client.post("/test", json={"ckpt_file": "c"})
        assert found.status_code == 500
        assert "KeyError: 'a key'" in found.json["error"]["message"]
        assert ("Traceback" in str(found.json)) == debug
        assert str(Path(__file__).parent) not in str(found.json)


def test_one_thing_at_a_time(make_pipeline: MakePipeline, functions: Any) -> None:
    entered, leave = threading.Event(), threading.Event()

    def slow(args: Any, ckpt_file: str) -> Any:
        entered.set()
        assert leave.wait(10)
        return {"predictions": [0], "labels": [0]}

    pipeline, other = make_pipeline(test_fn=slow), make_pipeline()  # as two workers
    answers: list[Any] = []
    thread = threading.Thread(
        target=lambda: answers.append(
            pipeline.app.test_client().post("/test", json={"ckpt_file": "c"})
        )
    )
    thread.start()
    assert entered.wait(10)
    for app in (pipeline.app, other.app):
        found = app.test_client().post("/train", json={"labeled": [1], "ckpt_file": "c"})
        assert "busy with test" in error_of(found, 409)["message"]
        assert app.test_client().get("/v1/info").json["busy"] is True
    leave.set()
    thread.join()
    assert answers[0].status_code == 200
    assert other.app.test_client().get("/v1/info").json["busy"] is False


def test_a_loop_can_be_answered_later(make_pipeline: MakePipeline) -> None:
    client = make_pipeline().app.test_client()
    headers = {"Prefer": "respond-async"}
    found = client.post("/one_loop", json=loop(0, [0, 1, 2]), headers=headers)
    assert found.status_code == 202
    place = found.headers["Location"]
    until = time.monotonic() + 20
    while (job := client.get(place).json)["state"] == "running":
        assert time.monotonic() < until
        time.sleep(0.02)
    assert job["state"] == "done" and job["result"]["metrics"]["accuracy"] > 0.5
    bad = client.post("/one_loop", json=loop(0, [99]), headers=headers)
    while (job := client.get(bad.headers["Location"]).json)["state"] == "running":
        time.sleep(0.02)
    assert job["state"] == "failed" and "found 99" in job["error"]["message"]
    assert client.get("/jobs/nothing").status_code == 404
    assert client.get("/jobs/..%2fx").status_code in (400, 404)


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


def test_the_callback_is_told_with_the_token_and_tried_again(
    make_pipeline: MakePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    from http.server import BaseHTTPRequestHandler, HTTPServer

    heard: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            heard.append((self.path, self.headers["Authorization"], body))
            self.send_response(503 if len(heard) == 1 else 200)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    monkeypatch.setattr("allencv_al.service.pipeline.callback._FIRST_PAUSE", 0.01)
    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url, token = f"http://127.0.0.1:{server.server_port}/", "a-long-enough-token-0123"
    try:
        client = make_pipeline(callback_url=url, token=token).app.test_client()
        headers = {"Authorization": f"Bearer {token}"}
        assert client.post("/one_loop", json=loop(0, [0, 1, 2]), headers=headers).status_code == 200
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert [one[:2] for one in heard] == [("/end_of_task", f"Bearer {token}")] * 2
    assert heard[1][2]["experiment_id"] == "exp-1"
    client = make_pipeline(callback_url=url).app.test_client()
    error = error_of(client.post("/one_loop", json=loop(0, [0, 1, 2])), 502)
    assert error["message"].startswith("Loop Failed - non 200 status returned")
    with pytest.raises(ConfigurationError, match="callback_url"):
        make_pipeline(callback_url="file:///etc/passwd")


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


@pytest.mark.parametrize("storage_url", [None, "memory://databases"])
def test_infer_may_write_a_database(
    storage_url: str | None, make_pipeline: MakePipeline, tmp_path: Path
) -> None:
    from allencv_al.service.pipeline import sql_client

    def infer(args: Any, unlabeled: Any, ckpt_file: Any) -> None:
        with sql_client.database(f"{args['EXPT_DIR']}/infer_outputs_{args['cur_loop']}.db") as conn:
            sql_client.add_many(conn, ((j, np.array([r])) for j, r in enumerate(unlabeled)))

    pipeline = make_pipeline(infer_fn=infer, storage_url=storage_url)
    found = pipeline.app.test_client().post("/one_loop", json=loop(0, [0, 1, 5])).json
    assert found["artifacts"]["infer_outputs"].endswith("/infer_outputs_0.db")
    storage = Storage(storage_url or str(tmp_path / "log" / "storage"))
    copy = tmp_path / "copy.db"
    copy.write_bytes(storage.read("bucket/me/proj/exp-1/infer_outputs_0.db"))
    with sql_client.database(copy) as conn:
        rows = [(row_id, int(array[0])) for row_id, array in sql_client.read_rows(conn)]
    assert rows == [(r, r) for r in range(60) if r not in (0, 1, 5)]
    short = make_pipeline(infer_fn=lambda args, unlabeled, ckpt_file: None)
    error_of(short.app.test_client().post("/one_loop", json=loop(0, [0, 1, 2])), 422)


def test_a_file_that_was_changed_is_noticed(make_pipeline: MakePipeline, tmp_path: Path) -> None:
    client = make_pipeline().app.test_client()
    client.post("/one_loop", json=loop(0, [0, 1, 2]))
    file = (
        tmp_path
        / "log"
        / "storage"
        / "bucket"
        / "me"
        / "proj"
        / "exp-1"
        / "selected_indices_0.json"
    )
    file.write_text("[0, 1, 2, 3]")
    error = error_of(client.post("/one_loop", json=loop(1, [5])), 422)
    assert "SHA-256" in error["message"]


def test_torch_is_not_imported_for_it() -> None:
    code = (
        "import sys, allencv_al.service.pipeline as p; p.Pipeline; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


PROGRAM = """
import json, os, sys, time
from pathlib import Path
from allencv_al.service.pipeline import Pipeline

def note(what):
    with open("calls.txt", "a") as file:
        file.write(what + "\\n")

def train(args, labeled, resume_from, ckpt_file):
    note("train")
    Path(args["EXPT_DIR"], ckpt_file).write_text("x")

def test(args, ckpt_file):
    note("test")
    return {"predictions": [0, 1], "labels": [0, 1]}

def infer(args, unlabeled, ckpt_file):
    note("infer")
    return {"outputs": {i: [0.0, 1.0] for i in unlabeled}}

def slow(function, phase):
    def wrapped(*args, **kwargs):
        found = function(*args, **kwargs)
        if os.environ.get("STOP_IN") == phase:
            note("waiting")
            time.sleep(60)
        return found
    import functools
    return functools.wraps(function)(wrapped)

pipeline = Pipeline("p", slow(train, "train"), slow(test, "test"), slow(infer, "infer"), args={})
app = pipeline.app
if __name__ == "__main__":
    sys.exit(pipeline(port=int(sys.argv[1])))
"""


def ask(port: int, body: Any) -> Any:
    import urllib.request

    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/one_loop",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    import urllib.request

    until = time.monotonic() + 30
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5).close()
            return
        except OSError:
            assert process.poll() is None and time.monotonic() < until
            time.sleep(0.05)


def free_port() -> int:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["train", "test", "infer"])
@pytest.mark.parametrize("server", ["own", "gunicorn"])
def test_a_kill_in_any_phase_repeats_no_finished_one(
    phase: str, server: str, tmp_path: Path
) -> None:
    (tmp_path / "main.py").write_text(PROGRAM)
    calls, port = tmp_path / "calls.txt", free_port()
    command = [sys.executable, "main.py", str(port)]
    if server == "gunicorn":
        command = [
            sys.executable,
            "-m",
            "gunicorn",
            "-w",
            "2",
            "--bind",
            f"127.0.0.1:{port}",
            "main:app",
        ]
    body = loop(0, [0, 1], training_set_size=6)

    def start(**environment: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            env={**os.environ, **environment},
            start_new_session=True,
            stderr=subprocess.DEVNULL,
        )
        wait_for(port, process)
        return process

    process = start(STOP_IN=phase)

    def is_cut_off() -> None:
        with suppress(OSError, http.client.HTTPException):
            ask(port, body)

    asking = threading.Thread(target=is_cut_off)
    asking.start()
    until = time.monotonic() + 30
    while not calls.is_file() or "waiting" not in calls.read_text():
        assert time.monotonic() < until
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    asking.join()
    process = start()
    try:
        assert ask(port, body)["metrics"]["accuracy"] == 1.0
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)
    done = [line for line in calls.read_text().split() if line != "waiting"]
    phases = ["train", "test", "infer"]
    before = phases[: phases.index(phase) + 1]
    assert done == [*before, *phases[len(before) - 1 :]]


def test_what_came_with_the_same_key_is_not_done_again(
    make_pipeline: MakePipeline, functions: Any
) -> None:
    body = {"labeled": [0, 1, 2], "resume_from": None, "ckpt_file": "ckpt_0"}
    first = make_pipeline().app.test_client()
    once = first.post("/train", json=body, headers={"Idempotency-Key": "a"})
    again = make_pipeline().app.test_client()  # after a death
    assert again.post("/train", json=body, headers={"Idempotency-Key": "a"}).json == once.json
    assert functions.calls == ["train 3 from None"]
    assert again.post("/train", json=body, headers={"Idempotency-Key": "b"}).status_code == 200
    assert again.post("/train", json=body).status_code == 200
    assert len(functions.calls) == 3
    for path, asked in (("/test", {"ckpt_file": "ckpt_0"}), ("/train", {**body, "labeled": [4]})):
        found = again.post(path, json=asked, headers={"Idempotency-Key": "a"})
        assert found.status_code == 422 and found.json["error"]["type"] == "idempotency_key"
    too_long = again.post("/train", json=body, headers={"Idempotency-Key": "k" * 201})
    assert too_long.status_code == 400


def test_only_the_last_answers_are_kept(make_pipeline: MakePipeline, tmp_path: Path) -> None:
    client = make_pipeline().app.test_client()
    body = {"labeled": [0, 1, 2], "resume_from": None, "ckpt_file": "ckpt_0"}
    for number in range(12):
        client.post("/train", json=body, headers={"Idempotency-Key": f"key {number}"})
    kept = tmp_path / "log" / "pipeline-state" / "answers"
    assert len(list(kept.iterdir())) == 8


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


def test_infer_of_a_loop_may_write_a_database(make_pipeline: MakePipeline, tmp_path: Path) -> None:
    def infer(args: Any, unlabeled: Any, ckpt_file: Any) -> None:
        path = Path(args["EXPT_DIR"]) / f"infer_outputs_{args['cur_loop']}.db"
        with sql_client.database(path) as conn:
            sql_client.add_many(conn, ((place, np.eye(3)[place]) for place in range(2)))

    client = make_pipeline(infer_fn=infer).app.test_client()
    found = client.post("/infer", json={"ckpt_file": "c", "unlabeled": [4, 9], "cur_loop": 2})
    assert found.json["outputs"] == {"4": [1, 0, 0], "9": [0, 1, 0]}


@pytest.mark.parametrize(
    ("labels", "outputs"),
    [
        ([0, 1], [[2.0, 0.0], [0.0, 2.0]]),
        ([0, 1], np.array([[2.0, 0.0], [0.0, 2.0]], np.float32)),
        ({7: 0, 4: 1}, {4: {"logits": [0.0, 2.0]}, 7: [2.0, 0.0]}),
    ],
)
def test_test_may_return_logits(labels: Any, outputs: Any, make_pipeline: MakePipeline) -> None:
    def test(args: Any, ckpt_file: Any) -> Any:
        return {"predictions": labels, "labels": labels, "outputs": outputs}

    client = make_pipeline(test_fn=test).app.test_client()
    assert client.post("/test", json={"ckpt_file": "c"}).json["outputs"] == [[2, 0], [0, 2]]


@pytest.mark.parametrize("outputs", [[[2.0, 0.0]], {0: [1.0], 5: [2.0]}, [[1.0], ["x"]]])
def test_logits_of_other_items_are_refused(outputs: Any, make_pipeline: MakePipeline) -> None:
    def test(args: Any, ckpt_file: Any) -> Any:
        return {"predictions": [0, 1], "labels": [0, 1], "outputs": outputs}

    found = make_pipeline(test_fn=test).app.test_client().post("/test", json={"ckpt_file": "c"})
    assert found.status_code == 422 and found.json["error"]["message"].startswith("test: outputs")


def test_info_says_what_a_driver_needs(make_pipeline: MakePipeline, tmp_path: Path) -> None:
    args = {"EXPT_DIR": str(tmp_path / "log"), "CKPT_EXT": ".pth"}
    pipeline = make_pipeline(args=args, class_labels={0: "car", 1: "plane"})
    found = pipeline.app.test_client().get("/v1/info").json
    assert found["class_labels"] == {"0": "car", "1": "plane"}
    assert found["checkpoint_extension"] == ".pth"
