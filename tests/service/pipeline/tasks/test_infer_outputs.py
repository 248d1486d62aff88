"""Outputs of infer become logits and scores."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from allencv_al.service.pipeline import Pipeline
from allencv_al.service.pipeline.pipeline_errors import PipelineError
from allencv_al.service.pipeline.tasks.infer_outputs import (
    distribution,
    independent_classes,
    to_logits,
    to_numbers,
)


@given(st.lists(st.floats(-20, 20), min_size=2, max_size=6))
def test_every_activation_leads_to_the_same_distribution(row: list[float]) -> None:
    logits = np.array(row)
    softmax = torch.softmax(torch.tensor(logits), 0).numpy()
    expected = distribution(logits[None])
    for value in (
        row,
        logits,
        torch.tensor(logits),
        {"pre_softmax": row},
        {"logits": torch.tensor(logits)},
        {"softmax": softmax, "prediction": 1},
        [torch.tensor(one) for one in row],
    ):
        found = distribution(to_logits({7: value}))
        for name in ("softmax", "confidence", "margin", "entropy"):
            assert np.allclose(found[name], expected[name], atol=1e-6), name
    assert np.allclose(expected["softmax"][0], softmax, atol=1e-9)
    entropy = torch.distributions.Categorical(probs=torch.tensor(softmax)).entropy().item()
    assert expected["entropy"][0] == pytest.approx(entropy, abs=1e-6)


def test_a_sigmoid_is_turned_back() -> None:
    logits = torch.tensor([2.0, -3.0, 0.5], dtype=torch.float64)
    found = to_logits({0: {"sigmoid": torch.sigmoid(logits)}})
    assert np.allclose(found[0], logits.numpy())


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({4: {"boxes": []}}, r"outputs\[4\]: expected one of pre_softmax, logits"),
        ({4: [1.0, 2.0], 5: [1.0]}, r"outputs\[5\]: expected 2 numbers"),
        ({4: [1.0, math.nan]}, r"outputs\[4\]: found a number that is not finite"),
        ({4: {"logits": "abc"}}, r"outputs\[4\]: logits: expected numbers"),
        ({4: []}, r"outputs\[4\]: logits: expected numbers, found none"),
    ],
)
def test_wrong_activations_name_their_record(outputs: Any, message: str) -> None:
    with pytest.raises(PipelineError, match=message):
        to_logits(outputs)


def test_one_column_is_the_second_of_two_classes() -> None:
    found = distribution(np.array([[0.0], [2.0]]))
    p = 1 / (1 + np.exp(-2.0))
    assert found["softmax"] == pytest.approx(np.array([[0.5, 0.5], [1 - p, p]]))
    assert found["confidence"] == pytest.approx([0.5, p])
    assert found["margin"] == pytest.approx([0, 2 * p - 1])
    assert found["entropy"] == pytest.approx(
        [np.log(2), -(p * np.log(p) + (1 - p) * np.log(1 - p))]
    )


def test_classes_of_one_record_are_apart() -> None:
    logits = np.array([[0.0, 3.0], [-800.0, 800.0]])
    found = independent_classes(logits)
    assert found["sigmoid"] == pytest.approx(1 / (1 + np.exp(-np.clip(logits, -700, 700))))
    assert found["margin"] == pytest.approx([0, 1])
    p = found["sigmoid"][0]
    assert found["entropy"] == pytest.approx(
        [-(p * np.log(p) + (1 - p) * np.log(1 - p)).sum(), 0], abs=1e-12
    )


def test_numbers_of_records_are_finite() -> None:
    assert to_numbers({3: 1.5, 4: {"prediction": np.float32(2)}, 5: [0.5]}).tolist() == [
        1.5,
        2,
        0.5,
    ]
    for bad in (float("nan"), [1.0, 2.0], None, "x", {"value": 1}):
        with pytest.raises(PipelineError, match=r"outputs\[7\]: expected a finite number"):
            to_numbers({7: bad})


MakePipeline = Callable[..., Pipeline]


def loop_of(pipeline: Pipeline, number: int = 0, **more: Any) -> Any:
    body = {"experiment_id": "e", "project_id": "p", "cur_loop": number, **more}
    body.setdefault("selected_indices", [3 * number, 3 * number + 1, 3 * number + 2])
    return pipeline.app.test_client().post("/one_loop", json=body)


def infer_of(pipeline: Pipeline, records: list[int]) -> Any:
    return pipeline.app.test_client().post("/infer", json={"ckpt_file": "c", "unlabeled": records})


@pytest.mark.parametrize("row", [np.array([1j, 2]), [np.complex64(1j), 2.0], [1j, 2]])
def test_complex_numbers_are_refused(row: Any, make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(
        infer_fn=lambda unlabeled, ckpt_file: {"outputs": dict.fromkeys(unlabeled, row)}
    )
    answer = loop_of(pipeline)
    assert answer.status_code == 422
    assert answer.json["error"]["message"] == "infer: outputs[3]: logits: expected numbers"


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
    for found in (infer_of(pipeline, [4, 17]), loop_of(pipeline)):
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
        for found in (infer_of(pipeline, [4]).json, loop_of(pipeline, **body).json):
            assert "look like probabilities" in found["warnings"][0]
        again = loop_of(pipeline, **body).json  # from what is kept
        assert "look like probabilities" in again["warnings"][0]
    assert "look like probabilities" in caplog.text
    for name, row in (("softmax", [0.2, 0.8]), (None, [0.2, 0.9]), (None, [-0.5, 1.5])):
        assert infer_of(pipeline_of(name, row), [4]).json["warnings"] == []
    found = infer_of(pipeline_of("softmax", [3.0, -1.0]), [4])
    assert found.status_code == 200  # as returned
    found = loop_of(pipeline_of("softmax", [3.0, -1.0]), experiment_id="wrong")
    assert "softmax: expected 0 to 1, found 3" in found.json["error"]["message"]


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

    error = loop_of(make_pipeline(infer_fn=infer)).json["error"]
    assert message in error["message"] and (error["phase"], error["loop"]) == ("infer", 0)


def test_the_largest_logits_have_a_distribution(make_pipeline: MakePipeline) -> None:
    rows = {record: [1e308, -1e308] for record in range(3, 60)}
    answer = loop_of(make_pipeline(infer_fn=lambda payload: {"outputs": rows})).json
    stored = np.load(urlsplit(answer["artifacts"]["infer_outputs"]).path)
    assert stored["entropy"].tolist() == [0.0] * 57 and stored["margin"].tolist() == [1.0] * 57
