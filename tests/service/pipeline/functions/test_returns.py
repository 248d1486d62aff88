"""What functions may return, and what is refused by name: the values users really have."""

from __future__ import annotations

import asyncio
import collections
import functools
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import pytest
import torch
import urllib3

from allencv_al.common.errors import ConfigurationError
from allencv_al.service.pipeline import Pipeline, sql_client
from allencv_al.service.pipeline.functions.infer_keys import by_record
from allencv_al.service.pipeline.functions.returns import as_array, side_by_side, to_plain
from allencv_al.service.pipeline.pipeline_errors import PipelineError
from allencv_al.service.pipeline.tasks.pipeline_metrics import (
    classification_metrics,
    detection_metrics,
    metrics_of,
)

MakePipeline = Callable[..., Pipeline]
RECORDS = [3, 5, 9]


def loop(pipeline: Pipeline, number: int = 0, **more: Any) -> Any:
    body = {"experiment_id": "e", "project_id": "p", "cur_loop": number, **more}
    body.setdefault("selected_indices", [3 * number, 3 * number + 1, 3 * number + 2])
    return pipeline.app.test_client().post("/one_loop", json=body)


def test_of(pipeline: Pipeline) -> Any:
    return pipeline.app.test_client().post("/test", json={"ckpt_file": "c"})


test_of.__test__ = False  # type: ignore[attr-defined]


def infer_of(pipeline: Pipeline, records: list[int]) -> Any:
    return pipeline.app.test_client().post("/infer", json={"ckpt_file": "c", "unlabeled": records})


# -- Kinds of arrays ------------------------------------------


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor([0.5, -2.0], dtype=torch.bfloat16),
        torch.tensor([0.5, -2.0], dtype=torch.bfloat16, requires_grad=True),
        torch.tensor([0.5, -2.0]).to_sparse(),
        torch.tensor([0.5, -2.0], dtype=torch.float16),
        pd.Series([0.5, -2.0], index=[7, 3]),
        pd.Index([0.5, -2.0]),
    ],
    ids=["bf16", "bf16 with gradient", "sparse", "half", "series", "index"],
)
def test_whatever_holds_an_array_is_one(tensor: Any) -> None:
    assert to_plain(tensor, "test") == [0.5, -2.0]
    assert by_record([tensor, tensor, tensor], RECORDS).keys() == set(RECORDS)


class Gone:
    """An array of a library that has given its memory back."""

    def __array__(self, *args: Any, **options: Any) -> Any:
        raise RuntimeError("array has been deleted\nmore")


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        (torch.ones(3, 2, device="meta"), "a Tensor cannot be read: Cannot copy out of meta"),
        (Gone(), "a Gone cannot be read: array has been deleted"),
    ],
    ids=["meta", "deleted"],
)
def test_an_array_without_values_is_said(
    value: Any, cause: str, make_pipeline: MakePipeline
) -> None:
    pipeline = make_pipeline(infer_fn=lambda unlabeled, ckpt_file: {"outputs": value})
    for answer in (infer_of(pipeline, RECORDS), loop(pipeline)):
        assert answer.status_code == 422 and cause in answer.json["error"]["message"]
        assert "more" not in answer.json["error"]["message"]
    trained = make_pipeline(train_fn=lambda labeled, ckpt_file: {"labels": value})
    body = {"labeled": [1], "ckpt_file": "c"}
    assert trained.app.test_client().post("/train", json=body).status_code == 200


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_quantized_tensors_are_their_numbers() -> None:
    tensor = torch.quantize_per_tensor(torch.tensor([0.5, -2.0]), 0.5, 0, torch.qint8)
    assert to_plain(tensor, "test") == [0.5, -2.0]


@pytest.mark.parametrize("row", [np.array([1j, 2]), [np.complex64(1j), 2.0], [1j, 2]])
def test_complex_numbers_are_refused(row: Any, make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(
        infer_fn=lambda unlabeled, ckpt_file: {"outputs": dict.fromkeys(unlabeled, row)}
    )
    answer = loop(pipeline)
    assert answer.status_code == 422
    assert answer.json["error"]["message"] == "infer: outputs[3]: logits: expected numbers"


def test_half_a_character_is_no_class(make_pipeline: MakePipeline) -> None:
    named = {"predictions": ["\ud800", "b"], "labels": ["b", "b"]}
    pipeline = make_pipeline(test_fn=lambda ckpt_file: named)
    for answer in (test_of(pipeline), loop(pipeline)):
        assert answer.status_code == 422
        assert answer.json["error"]["message"] == (
            "test: predictions: expected Unicode text, found a lone surrogate in '\\ud800'"
        )
    found = {"labels": ["\ud800", "b", "b"], "hyperparams": "\ud800"}
    pipeline = make_pipeline(train_fn=lambda labeled, ckpt_file: found)
    trained = loop(pipeline, experiment_id="other")
    assert trained.status_code == 200 and "queried_per_class" not in trained.json["phases"]["train"]


def test_files_may_have_names_that_are_no_utf_8(make_pipeline: MakePipeline) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    pipeline = make_pipeline(getstate_fn=lambda: dict.fromkeys(range(60), name))
    answer = pipeline.app.test_client().post("/getdatasetstate", json={})
    assert (answer.status_code, answer.json["state"]["0"]) == (200, name)
    assert loop(pipeline).status_code == 200


def test_a_data_set_of_nothing_is_said(make_pipeline: MakePipeline) -> None:
    answer = loop(make_pipeline(getstate_fn=dict))
    assert answer.status_code == 422
    assert answer.json["error"]["message"].endswith("at least one record from getdatasetstate")


@pytest.mark.parametrize("outputs", [5, "text", {1.5, 2.5}])
def test_logits_of_test_items_are_a_list(outputs: Any, make_pipeline: MakePipeline) -> None:
    returned = {"predictions": [0, 1], "labels": [0, 1], "outputs": outputs}
    answer = test_of(make_pipeline(test_fn=lambda ckpt_file: returned))
    assert answer.status_code == 422
    assert "test: outputs: expected a dictionary, a list or an array" in answer.text


def test_iterators_are_run() -> None:
    assert to_plain({"a": (n for n in (1, 2)), "b": range(2)}, "test") == {"a": [1, 2], "b": [0, 1]}
    assert to_plain({1: 2}.values(), "test") == [2]


def test_a_series_finds_its_records_by_its_index() -> None:
    rows = pd.Series([[1.0], [2.0], [3.0]], index=[9, 3, 5])
    assert by_record(rows, RECORDS) == {3: [2.0], 5: [3.0], 9: [1.0]}
    assert by_record(rows.reset_index(drop=True), RECORDS) == {3: [1.0], 5: [2.0], 9: [3.0]}
    table = pd.DataFrame({"cat": [0.1, 0.2, 0.3], "dog": [1.0, 2.0, 3.0]}, index=[9, 3, 5])
    assert {k: v.tolist() for k, v in by_record(table, RECORDS).items()} == {
        3: [0.2, 2.0],
        5: [0.3, 3.0],
        9: [0.1, 1.0],
    }
    with pytest.raises(PipelineError, match="not requested: 4"):
        by_record(pd.Series([1, 2, 3], index=[3, 4, 5]), RECORDS)
    with pytest.raises(PipelineError, match="expected a unique index"):
        by_record(pd.Series([1, 2, 3], index=[3, 3, 5]), RECORDS)


def test_two_series_are_joined_as_pandas_does() -> None:
    labels = pd.Series([0, 1, 2], index=[7, 3, 5])
    same = pd.Series([0, 1, 2], index=[7, 3, 5])
    assert [list(side) for side in side_by_side(same, labels)] == [[0, 1, 2], [0, 1, 2]]
    turned = same.sort_index()
    assert metrics_of(*side_by_side(turned, labels))["accuracy"] == 1.0
    # the output of a model beside a column of a shuffled table: by place
    for predictions in ([0, 1, 2], np.array([0, 1, 2]), pd.Series([0, 1, 2])):
        assert metrics_of(*side_by_side(predictions, labels))["accuracy"] == 1.0
    foreign = pd.Series([0, 1, 2], index=[7, 3, 4])
    with pytest.raises(PipelineError, match="predictions without label: 4"):
        metrics_of(*side_by_side(foreign, labels))


def test_a_series_beside_a_dictionary_is_joined() -> None:
    labels = pd.Series([0, 1], index=["a.png", "b.png"])
    assert metrics_of(*side_by_side({"b.png": 1, "a.png": 0}, labels))["accuracy"] == 1.0
    with pytest.raises(PipelineError, match="one of each"):
        metrics_of(*side_by_side({"b.png": 1}, [1]))


def test_paths_are_texts() -> None:
    assert to_plain({0: Path("a") / "b.png"}, "getdatasetstate") == {0: "a/b.png"}


def test_hyperparams_that_cannot_be_kept_cost_no_training(
    make_pipeline: MakePipeline, caplog: pytest.LogCaptureFixture
) -> None:
    found = {"hyperparams": {"optimizer": object()}}
    pipeline = make_pipeline(train_fn=lambda labeled, ckpt_file: found, getstate_fn=None)
    body = {"labeled": [1], "ckpt_file": "c"}
    assert pipeline.app.test_client().post("/train", json=body).status_code == 200
    assert "found a object; they are not kept" in caplog.text


@pytest.mark.parametrize("bad", [None, math.nan, math.inf])
def test_a_prediction_that_is_none_has_its_place(bad: Any, make_pipeline: MakePipeline) -> None:
    returned = {"predictions": [1, bad], "labels": [1, 0]}
    error = loop(make_pipeline(test_fn=lambda ckpt_file: returned)).json["error"]
    assert "predictions[1]: expected class numbers, found None or a number" in error["message"]


def test_a_pipeline_of_pandas(make_pipeline: MakePipeline) -> None:
    def test(args: Any, ckpt_file: Any) -> Any:
        labels = pd.Series(["cat", "dog", "cat"], index=[12, 4, 8], name="y")
        return {"predictions": np.array(["cat", "cat", "cat"]), "labels": labels}

    def infer(args: Any, unlabeled: Any, ckpt_file: Any) -> Any:
        return {"outputs": pd.DataFrame({0: [0.0] * len(unlabeled), 1: 2.0}, index=unlabeled)}

    pipeline = make_pipeline(test_fn=test, infer_fn=infer)
    assert test_of(pipeline).json["metrics"]["accuracy"] == pytest.approx(2 / 3)
    answer = loop(pipeline).json
    assert answer["metrics"]["classes"] == ["cat", "dog"]
    assert answer["phases"]["infer"]["count"] == 57


# -- Names of classes ------------------------------------------


def test_classes_may_be_named() -> None:
    found = classification_metrics(["dog", "cat", "cat"], ["dog", "dog", "cat"])
    assert found["classes"] == ["cat", "dog"]
    assert found["confusion_matrix"] == [[1, 0], [1, 1]]
    assert found["acc_per_class"] == {"cat": 1.0, "dog": 0.5}
    named = classification_metrics(["dog", "1"], [2, "cat"], {0: "bird", 1: "cat", 2: "dog"})
    assert named["classes"] == ["0", "1", "2"] and named["accuracy"] == 1.0
    assert classification_metrics(["10", "2"], ["10", "2"])["classes"] == ["2", "10"]
    assert classification_metrics([True, False], [1, 0])["accuracy"] == 1.0


def test_a_name_of_no_class_is_said() -> None:
    with pytest.raises(PipelineError, match=r"or their names \(cat, dog\), found 'cow'"):
        classification_metrics(["cow"], ["cat"], {0: "cat", 1: "dog"})
    with pytest.raises(PipelineError, match="predictions: expected class numbers, found"):
        classification_metrics(["cow"], [1])


# -- Masks, boxes, numbers ------------------------------------------


@pytest.mark.parametrize(
    "masks",
    [
        np.array([[[0, 1], [1, 1]]]),
        np.array([[[[0, 1], [1, 1]]]]),
        torch.tensor([[[[0], [1]], [[1], [1]]]]),
        torch.tensor([[[[False, True], [True, True]]]]),
    ],
    ids=["NHW", "N1HW", "NHW1", "bool"],
)
def test_masks_may_have_one_channel(masks: Any) -> None:
    found = metrics_of(masks, [[[0, 1], [1, 0]]])
    assert found["task"] == "segmentation" and found["pixel_accuracy"] == 0.75


def test_masks_of_scores_are_said() -> None:
    with pytest.raises(PipelineError, match=r"found \[3, 2, 2\]; of scores of classes take the ar"):
        metrics_of(np.zeros((1, 3, 2, 2)), np.zeros((1, 2, 2), int))
    with pytest.raises(PipelineError, match=r"\[H, W\], found 0.5"):
        metrics_of(np.full((1, 1, 2, 2), 0.5), np.zeros((1, 2, 2), int))


@pytest.mark.parametrize(
    "empty",
    [
        None,
        {},
        {"boxes": [], "objects": [], "scores": []},
        {"boxes": None, "objects": None, "scores": None},
        {"boxes": torch.zeros((0, 4)), "objects": torch.zeros(0), "scores": torch.zeros(0)},
    ],
)
def test_images_without_boxes_have_none(empty: Any) -> None:
    box = {"boxes": [[0, 0, 2, 2]], "objects": [1], "scores": [0.9]}
    found = detection_metrics({"a": box, "b": empty}, {"a": box, "b": empty})
    assert found["mAP"] == 1.0
    missed = detection_metrics({"a": empty}, {"a": box})
    assert missed["mAP"] == 0.0 and missed["confusion_matrix"] == [[0, 1], [0, 0]]


def test_boxes_that_lack_something_are_said() -> None:
    box = {"boxes": [[0, 0, 2, 2]], "labels": [1], "scores": [0.9]}
    message = r"predictions\[a\]: expected objects of 1 boxes; found boxes, labels, scores"
    with pytest.raises(PipelineError, match=message):
        detection_metrics({"a": box}, {"a": {}})


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("shape", ["row", "named", "box"])
def test_a_number_that_is_not_finite_names_its_record(
    bad: float, shape: str, make_pipeline: MakePipeline
) -> None:
    def infer(args: Any, unlabeled: Any, ckpt_file: Any) -> Any:
        def of(record: int) -> Any:
            value = bad if record == 17 else 0.5
            boxes = {"boxes": [[0, 0, 1, value]], "scores": [1], "pre_softmax": [[1, 2]]}
            return {"row": [2.0, value], "named": {"logits": [2.0, value]}, "box": boxes}[shape]

        return {"outputs": {record: of(record) for record in unlabeled}}

    pipeline = make_pipeline(infer_fn=infer)
    for found in (infer_of(pipeline, [4, 17]), loop(pipeline)):
        assert found.status_code == 422
        assert "outputs[17]" in found.json["error"]["message"]
        assert "not finite" in found.json["error"]["message"]
    assert infer_of(pipeline, [4]).status_code == 200


def test_probabilities_that_are_not_named_so_are_said(
    make_pipeline: MakePipeline, caplog: pytest.LogCaptureFixture
) -> None:
    def pipeline_of(name: str | None, rows: Any) -> Pipeline:
        def infer(args: Any, unlabeled: Any, ckpt_file: Any) -> Any:
            row = {name: rows} if name else rows
            return {"outputs": dict.fromkeys(unlabeled, row)}

        return make_pipeline(infer_fn=infer)

    for number, name in enumerate((None, "logits", "pre_softmax")):
        pipeline = pipeline_of(name, [0.2, 0.8])
        body = {"experiment_id": f"e{number}"}
        for found in (infer_of(pipeline, [4]).json, loop(pipeline, **body).json):
            assert "look like probabilities" in found["warnings"][0]
        again = loop(pipeline, **body).json  # from what is kept
        assert "look like probabilities" in again["warnings"][0]
    assert "look like probabilities" in caplog.text
    for name, row in (("softmax", [0.2, 0.8]), (None, [0.2, 0.9]), (None, [-0.5, 1.5])):
        assert infer_of(pipeline_of(name, row), [4]).json["warnings"] == []
    found = infer_of(pipeline_of("softmax", [3.0, -1.0]), [4])
    assert found.status_code == 200  # as returned
    found = loop(pipeline_of("softmax", [3.0, -1.0]), experiment_id="wrong")
    assert "softmax: expected 0 to 1, found 3" in found.json["error"]["message"]


def test_what_test_returns_and_nobody_can_measure_is_said(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(test_fn=lambda ckpt_file: {"predictions": [0.5], "labels": ["a"]})
    found = test_of(pipeline).json
    assert found["metrics"] is None and "expected" in found["warnings"][0]


# -- Odd returns ------------------------------------------


def test_a_database_beside_a_dictionary_is_refused(make_pipeline: MakePipeline) -> None:
    def pipeline_of(returned: Any) -> Pipeline:
        def infer(args: Any, unlabeled: Any, ckpt_file: Any) -> Any:
            path = Path(args["EXPT_DIR"]) / f"infer_outputs_{args['cur_loop']}.db"
            with sql_client.database(path) as conn:
                sql_client.add_many(conn, ((place, [0.0, 1.0]) for place in range(len(unlabeled))))
            return returned(unlabeled)

        return make_pipeline(infer_fn=infer)

    found = loop(pipeline_of(lambda records: {"outputs": {key: [0.0, 1.0] for key in records}}))
    assert found.status_code == 422
    assert (
        "expected returned outputs or the file infer_outputs_0.db" in found.json["error"]["message"]
    )
    for number, nothing in enumerate((None, {}, {"outputs": None}, {"outputs": {}})):
        found = loop(pipeline_of(lambda records, it=nothing: it), experiment_id=f"e{number}")
        assert found.json["artifacts"]["infer_outputs"].endswith(".db"), found.json


ROW = [0.0, 2.0, 1.0]


@pytest.mark.parametrize(
    "outputs",
    [
        lambda records: {np.uint8(place): ROW for place in range(len(records))},
        lambda records: {(record,): ROW for record in reversed(records)},
        lambda records: {str(record).encode(): ROW for record in reversed(records)},
        lambda records: collections.defaultdict(list, {float(one): ROW for one in records}),
        lambda records: dict.fromkeys(records, ROW).values(),
        lambda records: (ROW for _ in records),
        lambda records: collections.deque(ROW for _ in records),
        lambda records: torch.tensor([ROW for _ in records], dtype=torch.bfloat16),
        lambda records: {record: {"logits": [tuple(ROW)]} for record in records},
    ],
)
def test_outputs_of_any_kind_find_their_records(outputs: Any, make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(infer_fn=lambda args, unlabeled: {"outputs": outputs(unlabeled)})
    answer = loop(pipeline).json
    stored = np.load(urlsplit(answer["artifacts"]["infer_outputs"]).path)
    assert stored["index"].tolist() == list(range(3, 60))
    assert (stored["logits"] == ROW).all()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([10**400, 0], "outputs[17]: logits: expected numbers"),
        ([[1.0, 2.0], [3.0, 4.0]], "outputs[17]: logits: expected a vector, found [2, 2]"),
        ([1.0], "outputs[17]: expected 2 numbers as before, found 1"),
        ({0: 1.0}, "outputs[17]: expected one of pre_softmax, logits"),
        ({"logits": {0: 1.0, 1: 2.0}}, "outputs[17]: logits: expected numbers"),
    ],
)
def test_a_row_that_is_none_names_its_record(
    row: Any, message: str, make_pipeline: MakePipeline
) -> None:
    def infer(args: Any, unlabeled: Any, ckpt_file: Any) -> Any:
        return {"outputs": {record: row if record == 17 else [0.0, 2.0] for record in unlabeled}}

    error = loop(make_pipeline(infer_fn=infer)).json["error"]
    assert message in error["message"] and (error["phase"], error["loop"]) == ("infer", 0)


def test_the_largest_logits_have_a_distribution(make_pipeline: MakePipeline) -> None:
    rows = {record: [1e308, -1e308] for record in range(3, 60)}
    answer = loop(make_pipeline(infer_fn=lambda payload: {"outputs": rows})).json
    stored = np.load(urlsplit(answer["artifacts"]["infer_outputs"]).path)
    assert stored["entropy"].tolist() == [0.0] * 57 and stored["margin"].tolist() == [1.0] * 57


def test_a_pool_that_is_used_up_infers_nothing(make_pipeline: MakePipeline, functions: Any) -> None:
    answer = loop(make_pipeline(), selected_indices=list(range(60))).json
    assert answer["phases"]["infer"]["count"] == 0 and "infer_outputs" not in answer["artifacts"]
    assert functions.calls == ["train 60 from None", "test"]


def test_no_records_ask_no_function(make_pipeline: MakePipeline, functions: Any) -> None:
    for more in ({}, {"cur_loop": 0}):
        body = {"ckpt_file": "c", "unlabeled": [], **more}
        found = make_pipeline().app.test_client().post("/infer", json=body).json
        assert found["outputs"] == {} and found["count"] == 0
    assert functions.calls == []


def test_no_test_items_are_no_figures(make_pipeline: MakePipeline) -> None:
    for empty in ([], {}, np.zeros(0), torch.zeros(0)):
        pipeline = make_pipeline(
            test_fn=lambda ckpt_file, it=empty: {"predictions": it, "labels": it}
        )
        found = test_of(pipeline).json
        assert found["metrics"]["accuracy"] is None and found["status"] == 200


# -- Functions that are none, or do more than they should ------------------------------------------


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
    runs = make_pipeline(test_fn=lambda ckpt_file: asyncio.run(later({}, ckpt_file)))
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
    asked = loop(pipeline)
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
        found = urllib3.request("POST", f"{server.url}/test", json={"ckpt_file": "c"})
    finally:
        server.close()
    assert found.status == 500 and found.json()["error"]["type"] == leaves.__name__


def test_a_function_that_changes_folder_changes_it_for_nobody_else(
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
        assert loop(pipeline, number).status_code == 200
    body = {"labeled": [1], "ckpt_file": "raise"}
    assert pipeline.app.test_client().post("/train", json=body).status_code == 500
    assert Path.cwd() == tmp_path and (tmp_path / "log" / "ckpt_1").is_file()


def test_as_array_leaves_the_rest_alone() -> None:
    for value in (None, "text", 5, {"a": 1}, [1], object):
        assert as_array(value) is value
