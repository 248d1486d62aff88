"""Loops run each phase once and follow each other."""

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

import pytest
from fixtures.pipeline_requests import error_of, loop

from allencv_al.service.pipeline import Pipeline

MakePipeline = Callable[..., Pipeline]


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
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    import urllib.request

    until = time.monotonic() + 120
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
    until = time.monotonic() + 120
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


def ask_loop(client: Any, number: int, selected: Any = None, **more: Any) -> Any:
    """Ask for a loop."""
    body = {"experiment_id": "e", "project_id": "p", "cur_loop": number, **more}
    if selected is not None:
        body["selected_indices"] = selected
    return client.post("/one_loop", json=body)


def test_a_refused_selection_is_not_kept(make_pipeline: MakePipeline) -> None:
    client = make_pipeline().app.test_client()
    assert ask_loop(client, 0, [0, 1, 2]).status_code == 200
    assert ask_loop(client, 1, [3, 4]).status_code == 200
    assert ask_loop(client, 1, [0, 5]).status_code == 422
    assert ask_loop(client, 2, [6]).status_code == 200


@pytest.mark.parametrize("text", ["5", "[1.5, 2]", '["a", 1]', "[true]", '{"0": 1}'])
def test_a_stored_selection_is_a_list_of_whole_numbers(
    text: str, make_pipeline: MakePipeline, tmp_path: Path
) -> None:
    client = make_pipeline().app.test_client()
    folder = tmp_path / "log" / "storage" / "p" / "e"
    folder.mkdir(parents=True)
    (folder / "selected_indices_0.json").write_text(text)
    found = ask_loop(client, 0)
    assert found.status_code == 422
    assert "expected a list of whole numbers" in found.json["error"]["message"]
