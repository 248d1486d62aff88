"""Background jobs record their end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fixtures.pipeline_requests import loop

from allencv_al.service.pipeline import Pipeline
from allencv_al.service.pipeline.state.experiment_state import busy

MakePipeline = Callable[..., Pipeline]


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


def test_the_next_loop_may_follow_as_soon_as_a_job_is_done(make_pipeline: MakePipeline) -> None:
    client = make_pipeline().app.test_client()
    headers = {"Prefer": "respond-async"}
    for number, chosen in enumerate(([0, 1, 2], [3, 4], [5, 6])):
        found = client.post("/one_loop", json=loop(number, chosen), headers=headers)
        assert found.status_code == 202, found.text  # the lock of the loop before is released
        while (job := client.get(found.headers["Location"]).json)["state"] == "running":
            pass
        assert job["state"] == "done"


def test_a_busy_pipeline_starts_no_job(make_pipeline: MakePipeline, tmp_path: Path) -> None:
    client = make_pipeline().app.test_client()
    with busy(tmp_path / "log" / "pipeline-state", "a test"):
        found = client.post(
            "/one_loop", json=loop(0, [0, 1, 2]), headers={"Prefer": "respond-async"}
        )
    assert found.status_code == 409 and found.json["error"]["type"] == "busy"
    assert not list(tmp_path.rglob("jobs/*"))


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
