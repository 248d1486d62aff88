"""The lock of a pipeline ends with its process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fixtures.pipeline_requests import error_of

from allencv_al.service.pipeline import Pipeline
from allencv_al.service.pipeline.state.experiment_state import LOCK_NAME, busy, is_busy

MakePipeline = Callable[..., Pipeline]


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


def test_a_killed_process_is_not_busy(make_pipeline: MakePipeline, tmp_path: Path) -> None:
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
