"""The worker of a pipeline: it polls a loop, does what is asked, and ends with the loop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from allencv_al.service.driver.worker_transport import WorkerTransport
from allencv_al.service.pipeline import Pipeline
from allencv_al.service.pipeline import worker as worker_module

MakePipeline = Callable[..., Pipeline]
TOKEN = "a-token-of-24-characters"


class Working(threading.Thread):
    """A worker of a pipeline in a thread."""

    def __init__(self, pipeline: Pipeline, url: str, token: str | None = None) -> None:
        super().__init__(daemon=True)
        self.code: int | None = None
        self._work = lambda: pipeline.work(url, token, patience_seconds=20)
        self.start()

    def run(self) -> None:
        self.code = self._work()

    def end(self) -> int | None:
        self.join(30)
        return self.code


@pytest.fixture
def loop() -> Iterator[WorkerTransport]:
    """The side of the loop."""
    transport = WorkerTransport("127.0.0.1", 0, TOKEN)
    yield transport
    transport.close(is_done=True)


def test_a_worker_answers_until_the_loop_has_finished(
    loop: WorkerTransport, make_pipeline: MakePipeline, functions: Any
) -> None:
    """Its own process needs no token of the pipeline."""
    worker = Working(make_pipeline(token="a-secret-of-the-pipeline"), loop.url, TOKEN)
    assert loop.get("/v1/info")["name"] == "centroids"
    body = {"labeled": [0, 1, 2], "resume_from": None, "ckpt_file": "c"}
    assert loop.call("/train", body, "first")["train_time"] >= 0
    assert loop.call("/train", body, "first")["train_time"] >= 0, "from its kept answers"
    assert functions.calls == ["train 3 from None"]
    assert loop.call("/test", {"ckpt_file": "c"}, "second")["metrics"]["accuracy"] > 0.8
    loop.close(is_done=True)
    assert worker.end() == 0


def test_an_error_of_a_function_goes_to_the_loop(
    loop: WorkerTransport, make_pipeline: MakePipeline
) -> None:
    worker = Working(make_pipeline(test_fn=lambda args, ckpt_file: 1 / 0), loop.url, TOKEN)
    with pytest.raises(Exception, match="ZeroDivisionError"):
        loop.call("/test", {"ckpt_file": "c"}, "key")
    assert loop.get("/v1/info")["busy"] is False, "the worker goes on"
    loop.close(is_done=True)
    assert worker.end() == 0


def test_a_busy_pipeline_is_asked_again(
    loop: WorkerTransport,
    make_pipeline: MakePipeline,
    functions: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker_module, "_BUSY_SECONDS", 0.01)
    entered, leave = threading.Event(), threading.Event()

    def infer(args: Any, unlabeled: Any, ckpt_file: Any) -> Any:
        entered.set()
        assert leave.wait(20)
        return functions.infer(args, unlabeled, ckpt_file)

    pipeline = make_pipeline(infer_fn=infer)
    body = {"labeled": [0, 1, 2], "ckpt_file": "c"}
    pipeline.app.test_client().post("/train", json=body)
    other = threading.Thread(
        target=lambda: pipeline.app.test_client().post(
            "/infer", json={"ckpt_file": "c", "unlabeled": [5]}
        )
    )
    other.start()
    assert entered.wait(20)
    worker = Working(pipeline, loop.url, TOKEN)
    threading.Timer(0.2, leave.set).start()
    assert loop.call("/train", body, "key")["train_time"] >= 0
    other.join(20)
    loop.close(is_done=True)
    assert worker.end() == 0


def test_an_interrupt_ends_it(
    loop: WorkerTransport, make_pipeline: MakePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(worker_module.Worker, "_go_on", interrupted)
    assert make_pipeline().work(loop.url, TOKEN) == 130


def test_a_worker_needs_the_token_of_the_loop(
    loop: WorkerTransport, make_pipeline: MakePipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline = make_pipeline()
    assert pipeline.work(loop.url, "another-token-of-some-length") == 2
    assert "work.token: the loop at" in capsys.readouterr().err
    assert pipeline.work(loop.url) == 2


def test_a_loop_that_stays_away_ends_it(
    make_pipeline: MakePipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    assert make_pipeline().work("http://127.0.0.1:9", None, patience_seconds=0) == 2
    assert "cannot be reached" in capsys.readouterr().err
