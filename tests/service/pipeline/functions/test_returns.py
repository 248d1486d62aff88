"""What functions may return, and what is refused by name: the values users really have."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from allencv_al.service.pipeline import Pipeline
from allencv_al.service.pipeline.functions.infer_keys import by_record
from allencv_al.service.pipeline.functions.returns import as_array, side_by_side, to_plain
from allencv_al.service.pipeline.pipeline_errors import PipelineError
from allencv_al.service.pipeline.tasks.pipeline_metrics import (
    metrics_of,
)

MakePipeline = Callable[..., Pipeline]


RECORDS = [3, 5, 9]


def loop_of(pipeline: Pipeline, number: int = 0, **more: Any) -> Any:
    body = {"experiment_id": "e", "project_id": "p", "cur_loop": number, **more}
    body.setdefault("selected_indices", [3 * number, 3 * number + 1, 3 * number + 2])
    return pipeline.app.test_client().post("/one_loop", json=body)


def test_of(pipeline: Pipeline) -> Any:
    return pipeline.app.test_client().post("/test", json={"ckpt_file": "c"})


test_of.__test__ = False  # type: ignore[attr-defined]


def infer_of(pipeline: Pipeline, records: list[int]) -> Any:
    return pipeline.app.test_client().post("/infer", json={"ckpt_file": "c", "unlabeled": records})


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor([0.5, -2.0], dtype=torch.bfloat16),
        torch.tensor([0.5, -2.0], dtype=torch.bfloat16, requires_grad=True),
        torch.tensor([0.5, -2.0]).to_sparse(),
        torch.tensor([0.5, -2.0], dtype=torch.float16),
    ],
    ids=["bf16", "bf16 with gradient", "sparse", "half"],
)
def test_tensors_of_any_kind_are_arrays(tensor: torch.Tensor) -> None:
    check_array(tensor)


def test_series_and_indices_of_pandas_are_arrays() -> None:
    import pandas as pd

    check_array(pd.Series([0.5, -2.0], index=[7, 3]))
    check_array(pd.Index([0.5, -2.0]))


def check_array(values: Any) -> None:
    assert to_plain(values, "test") == [0.5, -2.0]
    assert by_record([values, values, values], RECORDS).keys() == set(RECORDS)


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
    for answer in (infer_of(pipeline, RECORDS), loop_of(pipeline)):
        assert answer.status_code == 422 and cause in answer.json["error"]["message"]
        assert "more" not in answer.json["error"]["message"]
    trained = make_pipeline(train_fn=lambda labeled, ckpt_file: {"labels": value})
    body = {"labeled": [1], "ckpt_file": "c"}
    assert trained.app.test_client().post("/train", json=body).status_code == 200


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_quantized_tensors_are_their_numbers() -> None:
    tensor = torch.quantize_per_tensor(torch.tensor([0.5, -2.0]), 0.5, 0, torch.qint8)
    assert to_plain(tensor, "test") == [0.5, -2.0]


def test_half_a_character_is_no_class(make_pipeline: MakePipeline) -> None:
    named = {"predictions": ["\ud800", "b"], "labels": ["b", "b"]}
    pipeline = make_pipeline(test_fn=lambda ckpt_file: named)
    for answer in (test_of(pipeline), loop_of(pipeline)):
        assert answer.status_code == 422
        assert answer.json["error"]["message"] == (
            "test: predictions: expected Unicode text, found a lone surrogate in '\\ud800'"
        )
    found = {"labels": ["\ud800", "b", "b"], "hyperparams": "\ud800"}
    pipeline = make_pipeline(train_fn=lambda labeled, ckpt_file: found)
    trained = loop_of(pipeline, experiment_id="other")
    assert trained.status_code == 200 and "queried_per_class" not in trained.json["phases"]["train"]


def test_files_may_have_names_that_are_no_utf_8(make_pipeline: MakePipeline) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    pipeline = make_pipeline(getstate_fn=lambda: dict.fromkeys(range(60), name))
    answer = pipeline.app.test_client().post("/getdatasetstate", json={})
    assert (answer.status_code, answer.json["state"]["0"]) == (200, name)
    assert loop_of(pipeline).status_code == 200


def test_a_data_set_of_nothing_is_said(make_pipeline: MakePipeline) -> None:
    answer = loop_of(make_pipeline(getstate_fn=dict))
    assert answer.status_code == 422
    assert answer.json["error"]["message"].endswith("at least one record from getdatasetstate")


def test_iterators_are_run() -> None:
    assert to_plain({"a": (n for n in (1, 2)), "b": range(2)}, "test") == {"a": [1, 2], "b": [0, 1]}
    assert to_plain({1: 2}.values(), "test") == [2]


def test_two_series_are_joined_as_pandas_does() -> None:
    import pandas as pd

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
    import pandas as pd

    labels = pd.Series([0, 1], index=["a.png", "b.png"])
    assert metrics_of(*side_by_side({"b.png": 1, "a.png": 0}, labels))["accuracy"] == 1.0
    with pytest.raises(PipelineError, match="one of each"):
        metrics_of(*side_by_side({"b.png": 1}, [1]))


def test_paths_are_texts() -> None:
    assert to_plain({0: Path("a") / "b.png"}, "getdatasetstate") == {0: "a/b.png"}


def test_a_pipeline_of_pandas(make_pipeline: MakePipeline) -> None:
    import pandas as pd

    def test(args: Any, ckpt_file: Any) -> Any:
        labels = pd.Series(["cat", "dog", "cat"], index=[12, 4, 8], name="y")
        return {"predictions": np.array(["cat", "cat", "cat"]), "labels": labels}

    def infer(args: Any, unlabeled: Any, ckpt_file: Any) -> Any:
        return {"outputs": pd.DataFrame({0: [0.0] * len(unlabeled), 1: 2.0}, index=unlabeled)}

    pipeline = make_pipeline(test_fn=test, infer_fn=infer)
    assert test_of(pipeline).json["metrics"]["accuracy"] == pytest.approx(2 / 3)
    answer = loop_of(pipeline).json
    assert answer["metrics"]["classes"] == ["cat", "dog"]
    assert answer["phases"]["infer"]["count"] == 57


def test_no_test_items_are_no_figures(make_pipeline: MakePipeline) -> None:
    for empty in ([], {}, np.zeros(0), torch.zeros(0)):
        pipeline = make_pipeline(
            test_fn=lambda ckpt_file, it=empty: {"predictions": it, "labels": it}
        )
        found = test_of(pipeline).json
        assert found["metrics"]["accuracy"] is None and found["status"] == 200


def test_as_array_leaves_the_rest_alone() -> None:
    for value in (None, "text", 5, {"a": 1}, [1], object):
        assert as_array(value) is value


def test_what_is_returned_becomes_plain() -> None:
    value = {
        np.int64(3): np.float32(1.5),
        "a": torch.tensor([[1, 2]]),
        "b": (math.nan, math.inf, True, None, np.bool_(False)),
        torch.tensor(4): np.arange(2),
    }
    assert to_plain(value, "test") == {
        3: 1.5,
        "a": [[1, 2]],
        "b": [None, None, True, None, False],
        4: [0, 1],
    }


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({1, 2}, "found a set"),
        ({"a": object()}, r"\['a'\]: expected numbers.*found a object"),
        ({(1, 2): 3}, "expected integers or strings as keys, found a tuple"),
        (b"bytes", "found a bytes"),
    ],
)
def test_what_json_cannot_hold_is_refused(value: Any, message: str) -> None:
    with pytest.raises(PipelineError, match=message):
        to_plain(value, "test")


def test_what_is_nested_without_end_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(PipelineError, match="nested too deep"):
        to_plain(value, "test")
