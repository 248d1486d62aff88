"""A pipeline without an open port works for the loop."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from allencv_al.active_learning.rounds.round_record import RoundRecord
from allencv_al.common.errors import AllenCVError, ConfigurationFaults
from allencv_al.labels.annotators.base import WaitingForLabels
from allencv_al.service.driver.worker_transport import WorkerTransport
from allencv_al.service.pipeline import Pipeline

MakeConfig = Callable[..., dict[str, Any]]
Run = Callable[..., list[RoundRecord]]
CLASSES = {0: "ant", 1: "bee", 2: "cat"}
TOKEN = "a-token-of-24-characters"


@pytest.fixture
def pipeline(functions: Any, tmp_path: Path) -> Pipeline:
    """A pipeline; its own token is nothing to its worker."""
    parts = (functions.train, functions.test, functions.infer, functions.state)
    args = {"EXPT_DIR": str(tmp_path / "pipeline")}
    options = {"class_labels": CLASSES, "token": "for others than its own worker"}
    return Pipeline("points", *parts, args=args, **options)


@pytest.fixture
def port() -> int:
    """A port without a listener."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        found: int = listener.getsockname()[1]
    return found


class Working:
    """A worker in a thread."""

    def __init__(self, pipeline: Pipeline, port: int, token: str | None = None) -> None:
        self.code: int | None = None

        def work() -> None:
            self.code = pipeline.work(f"http://127.0.0.1:{port}", token, patience_seconds=20)

        self.thread = threading.Thread(target=work, daemon=True)
        self.thread.start()

    def end(self) -> int | None:
        """Return what it ended with."""
        self.thread.join(30)
        return self.code


def config_of(make_config: MakeConfig, port: int, **keys: Any) -> dict[str, Any]:
    config = make_config("", _listen_port=port, **keys)
    del config["active_learning"]["learner"]["url"]
    return config


def test_a_worker_does_what_a_reachable_pipeline_does(
    serve: Callable[..., str],
    pipeline: Pipeline,
    port: int,
    make_config: MakeConfig,
    run_loop: Run,
    functions: Any,
    tmp_path: Path,
) -> None:
    reached = run_loop(make_config(serve()), tmp_path / "reached")
    calls = functions.without_keys()
    functions.calls.clear()
    worker = Working(pipeline, port, TOKEN)
    config = config_of(make_config, port, _token=TOKEN)
    found = run_loop(config, tmp_path / "run")
    assert worker.end() == 0
    assert [record.picks for record in found] == [record.picks for record in reached]
    assert [record.metrics for record in found] == [record.metrics for record in reached]
    assert functions.without_keys() == calls


def test_a_worker_outlives_a_loop_that_waits_for_labels(
    functions: Any,
    port: int,
    make_config: MakeConfig,
    run_loop: Run,
    tmp_path: Path,
    fill_table: Callable[[Path, str], None],
) -> None:
    parts = (functions.train, functions.test, functions.infer, functions.names)
    pipeline = Pipeline("points", *parts, args={"EXPT_DIR": str(tmp_path / "pipeline")})
    worker = Working(pipeline, port)
    config = config_of(make_config, port, annotator={"type": "file"}, budget=4)
    with pytest.raises(WaitingForLabels):
        run_loop(config, tmp_path / "run")
    fill_table(tmp_path / "run", "bee")
    assert worker.thread.is_alive()
    assert run_loop(config, tmp_path / "run")[-1].labels == 4
    assert worker.end() == 0


def test_a_loop_that_died_is_worked_for_when_it_comes_back(
    pipeline: Pipeline,
    port: int,
    make_config: MakeConfig,
    run_loop: Run,
    functions: Any,
    tmp_path: Path,
) -> None:
    worker = Working(pipeline, port)
    config = config_of(make_config, port)

    def die(point: str) -> None:
        if point == "TRAIN done":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_loop(config, tmp_path / "run", on_point=die)
    records = run_loop(config, tmp_path / "run", recover=True)
    assert records[-1].labels == 12
    assert functions.without_keys().count("train ckpt_0 from None") == 1
    assert worker.end() == 0


def test_what_a_function_raises_ends_the_run_and_not_the_worker(
    pipeline: Pipeline,
    port: int,
    make_config: MakeConfig,
    run_loop: Run,
    functions: Any,
    tmp_path: Path,
) -> None:
    healthy = functions.logits

    def broken(*_: Any) -> Any:
        raise ValueError("no such column: petal")

    functions.logits = broken
    worker = Working(pipeline, port)
    config = config_of(make_config, port)
    with pytest.raises(AllenCVError, match="the worker points has failed: test: ValueError: no su"):
        run_loop(config, tmp_path / "run")
    functions.logits = healthy
    assert run_loop(config, tmp_path / "run", recover=True)[-1].labels == 12
    assert worker.end() == 0


@pytest.fixture
def transport() -> Iterator[WorkerTransport]:
    """The loop's side, with one request under way."""
    found = WorkerTransport("127.0.0.1", 0, None)
    answers: list[Any] = []
    call = threading.Thread(
        target=lambda: answers.append(found.call("/train", {"labeled": [1]}, "key")), daemon=True
    )
    call.start()
    found.answers = answers  # type: ignore[attr-defined]
    found.thread = call  # type: ignore[attr-defined]
    yield found
    found.close(is_done=True)


def post(transport: WorkerTransport, path: str, body: dict[str, Any]) -> Any:
    found = urllib3.request("POST", f"{transport.url}{path}", json=body, retries=False, timeout=60)
    return found.status, found.json()


def test_who_comes_last_gets_the_work_of_who_has_gone(transport: WorkerTransport) -> None:
    status, answer = post(transport, "/sdk_response", {"worker": "me"})
    assert status == 409 and answer["error"]["code"] == "unknown_worker"
    first = post(transport, "/start_experiment", {})[1]["worker"]
    task = post(transport, "/sdk_response", {"worker": first})[1]["task"]
    assert (task["path"], task["body"], task["key"]) == ("/train", {"labeled": [1]}, "key")
    second = post(transport, "/start_experiment", {"name": "b"})[1]["worker"]
    assert post(transport, "/sdk_response", {"worker": second})[1]["task"] == task
    result = {"task": task["id"], "task_status": 200, "answer": {"train_time": 1.0}}
    status, answer = post(transport, "/end_of_task", {"worker": first, **result})
    assert status == 409 and answer["error"]["code"] == "superseded"
    assert post(transport, "/end_of_task", {"worker": second, **result})[0] == 200
    transport.thread.join(10)  # type: ignore[attr-defined]
    assert transport.answers == [{"train_time": 1.0}]  # type: ignore[attr-defined]
    # What is late, or of another task, changes nothing
    again = {**result, "answer": {"train_time": 2.0}}
    assert post(transport, "/end_of_task", {"worker": second, **again})[0] == 200
    threading.Thread(target=transport.close, args=(True,)).start()
    assert post(transport, "/sdk_response", {"worker": second})[1]["state"] == "FINISHED"


@pytest.mark.parametrize(
    ("learner", "message"),
    [
        ({}, "learner.url: expected this or listen_port, found neither"),
        ({"url": "http://a", "listen_port": 1}, "learner.url: expected this or listen_port, found"),
        ({"listen_port": 70000}, "learner.listen_port: expected int from 0 to 65535"),
        ({"listen_port": 1, "listen_host": "0.0.0.0"}, "learner.listen_host: .*a token is needed"),
    ],
)
def test_a_wrong_place_is_a_fault(
    learner: dict[str, Any], message: str, run_loop: Run, tmp_path: Path
) -> None:
    config = {"active_learning": {"learner": {"type": "pipeline", **learner}}}
    with pytest.raises(ConfigurationFaults, match=message):
        run_loop(config, tmp_path / "run")
