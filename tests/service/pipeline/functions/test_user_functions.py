"""Functions are called with checked inputs; their errors become answers."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import urllib3
from fixtures.pipeline_requests import error_of, loop

from allencv_al.common.errors import ConfigurationError
from allencv_al.service.pipeline import Pipeline, sql_client
from allencv_al.service.pipeline.functions.user_functions import check_records
from allencv_al.service.pipeline.pipeline_errors import PipelineError
from allencv_al.service.pipeline.state.storage import Storage

MakePipeline = Callable[..., Pipeline]


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


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([3, 1, 3], "duplicate indices: 3"),
        ([-1], "expected 0 to 9, found -1"),
        ([10, 2], "found 10"),
    ],
)
def test_records_that_are_none_are_named(records: list[int], message: str) -> None:
    with pytest.raises(PipelineError, match=message):
        check_records(records, 10, "labeled")
    assert check_records([5, 2], 10, "labeled") == [2, 5]


def loop_of(pipeline: Pipeline, number: int = 0, **more: Any) -> Any:
    body = {"experiment_id": "e", "project_id": "p", "cur_loop": number, **more}
    body.setdefault("selected_indices", [3 * number, 3 * number + 1, 3 * number + 2])
    return pipeline.app.test_client().post("/one_loop", json=body)


def test_of(pipeline: Pipeline) -> Any:
    return pipeline.app.test_client().post("/test", json={"ckpt_file": "c"})


test_of.__test__ = False  # type: ignore[attr-defined]


@pytest.mark.parametrize("outputs", [5, "text", {1.5, 2.5}])
def test_logits_of_test_items_are_a_list(outputs: Any, make_pipeline: MakePipeline) -> None:
    returned = {"predictions": [0, 1], "labels": [0, 1], "outputs": outputs}
    answer = test_of(make_pipeline(test_fn=lambda ckpt_file: returned))
    assert answer.status_code == 422
    assert "test: outputs: expected a dictionary, a list or an array" in answer.text


def test_hyperparams_that_cannot_be_kept_cost_no_training(
    make_pipeline: MakePipeline, caplog: pytest.LogCaptureFixture
) -> None:
    found = {"hyperparams": {"optimizer": object()}}
    pipeline = make_pipeline(train_fn=lambda labeled, ckpt_file: found, getstate_fn=None)
    body = {"labeled": [1], "ckpt_file": "c"}
    assert pipeline.app.test_client().post("/train", json=body).status_code == 200
    assert "found a object; they are not kept" in caplog.text


def test_a_database_beside_a_dictionary_is_refused(make_pipeline: MakePipeline) -> None:
    def pipeline_of(returned: Any) -> Pipeline:
        def infer(args: Any, unlabeled: Any, ckpt_file: Any) -> Any:
            path = Path(args["EXPT_DIR"]) / f"infer_outputs_{args['cur_loop']}.db"
            with sql_client.database(path) as conn:
                sql_client.add_many(conn, ((place, [0.0, 1.0]) for place in range(len(unlabeled))))
            return returned(unlabeled)

        return make_pipeline(infer_fn=infer)

    found = loop_of(pipeline_of(lambda records: {"outputs": {key: [0.0, 1.0] for key in records}}))
    assert found.status_code == 422
    assert (
        "expected returned outputs or the file infer_outputs_0.db" in found.json["error"]["message"]
    )
    for number, nothing in enumerate((None, {}, {"outputs": None}, {"outputs": {}})):
        found = loop_of(pipeline_of(lambda records, it=nothing: it), experiment_id=f"e{number}")
        assert found.json["artifacts"]["infer_outputs"].endswith(".db"), found.json


def test_a_pool_that_is_used_up_infers_nothing(make_pipeline: MakePipeline, functions: Any) -> None:
    answer = loop_of(make_pipeline(), selected_indices=list(range(60))).json
    assert answer["phases"]["infer"]["count"] == 0 and "infer_outputs" not in answer["artifacts"]
    assert functions.calls == ["train 60 from None", "test"]


def test_no_records_ask_no_function(make_pipeline: MakePipeline, functions: Any) -> None:
    for more in ({}, {"cur_loop": 0}):
        body = {"ckpt_file": "c", "unlabeled": [], **more}
        found = make_pipeline().app.test_client().post("/infer", json=body).json
        assert found["outputs"] == {} and found["count"] == 0
    assert functions.calls == []


async def later(args: Any, ckpt_file: Any) -> Any:
    return {"predictions": [0], "labels": [0]}


class Later:
    async def __call__(self, args: Any, ckpt_file: Any) -> Any:
        return {"predictions": [0], "labels": [0]}


def piecewise(args: Any, ckpt_file: Any) -> Any:
    yield {"predictions": [0], "labels": [0]}


@pytest.mark.parametrize("function", [later, Later(), piecewise])
def test_functions_that_only_promise_are_refused(
    function: Any, make_pipeline: MakePipeline
) -> None:
    with pytest.raises(ConfigurationError, match="test_fn: expected a function whose work is done"):
        make_pipeline(test_fn=function)


def test_a_promise_that_is_returned_is_refused(make_pipeline: MakePipeline) -> None:
    found = test_of(make_pipeline(test_fn=lambda ckpt_file: later({}, ckpt_file)))
    assert found.status_code == 422 and "found a coroutine" in found.json["error"]["message"]

    def runs_it(ckpt_file: Any) -> Any:
        # In a thread of its own: a browser that other tests opened may have a loop in this one
        with ThreadPoolExecutor() as threads:
            return threads.submit(lambda: asyncio.run(later({}, ckpt_file))).result()

    runs = make_pipeline(test_fn=runs_it)
    assert test_of(runs).json["metrics"]["accuracy"] == 1.0


def test_what_a_function_does_not_find_is_its_own_fault(
    make_pipeline: MakePipeline, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    missing = tmp_path / "photos" / "003.png"
    pipeline = make_pipeline(test_fn=lambda ckpt_file: missing.read_text())
    found = test_of(pipeline)
    assert found.status_code == 500 and found.json["error"]["type"] == "FileNotFoundError"
    assert str(missing) in found.json["error"]["message"]
    assert "in <lambda>" in caplog.text and "_call" not in caplog.text
    job = pipeline.app.test_client().post("/train", json={"labeled": [1], "ckpt_file": "c"})
    assert job.status_code == 200
    asked = loop_of(pipeline)
    assert asked.status_code == 500 and str(missing) in asked.json["error"]["message"]
    checkpoint = test_of(make_pipeline(test_fn=lambda ckpt_file: (tmp_path / "c.pth").read_text()))
    assert checkpoint.status_code == 404


@pytest.mark.parametrize("leaves", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
def test_whatever_a_function_raises_is_json(leaves: Any, make_pipeline: MakePipeline) -> None:
    def test(args: Any, ckpt_file: Any) -> Any:
        raise leaves

    pipeline = make_pipeline(test_fn=test)
    server = pipeline.start()
    try:
        found = urllib3.request("POST", f"{server.url}/test", json={"ckpt_file": "c"}, timeout=60)
    finally:
        server.close()
    assert found.status == 500 and found.json()["error"]["type"] == leaves.__name__


def test_a_function_that_changes_folder_changes_it_for_no_other(
    make_pipeline: MakePipeline, functions: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def moved(function: Any) -> Any:
        @functools.wraps(function)
        def call(args: Any, **values: Any) -> Any:
            found = function(args, **values)
            (tmp_path / "elsewhere").mkdir(exist_ok=True)
            os.chdir(tmp_path / "elsewhere")
            if values["ckpt_file"] == "raise":
                raise ValueError
            return found

        return call

    pipeline = make_pipeline(
        train_fn=moved(functions.train),
        test_fn=moved(functions.test),
        infer_fn=moved(functions.infer),
        args={},
    )
    for number in range(2):
        assert loop_of(pipeline, number).status_code == 200
    body = {"labeled": [1], "ckpt_file": "raise"}
    assert pipeline.app.test_client().post("/train", json=body).status_code == 500
    assert Path.cwd() == tmp_path and (tmp_path / "log" / "ckpt_1").is_file()
