"""Requests to a pipeline, with the names of fields of all generations of clients."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from allencv_al.service.pipeline import pipeline_messages as messages
from allencv_al.service.pipeline.pipeline_messages import InferQuery, OneLoopRequest, TrainRequest

NEEDED = {"experiment_id": "e", "project_id": 7, "cur_loop": 0}


@pytest.mark.parametrize(
    ("name", "other", "value"),
    [
        ("user_id", "tenant_id", "me"),
        ("cur_loop", "current_loop", 3),
        ("type", "task_type", "Image Classification"),
        ("n_rec", "n_rec_per_loop", 5),
        ("training_set_size", "train_size", 30),
        ("class_labels", "classes", ["a", "b"]),
    ],
)
def test_a_field_of_a_loop_has_two_names(name: str, other: str, value: Any) -> None:
    rest = {key: given for key, given in NEEDED.items() if key != name}
    for key in (name, other):
        assert getattr(OneLoopRequest.model_validate({**rest, key: value}), name) == value


def test_requests_may_say_more_and_queries_may_not() -> None:
    for request, body in (
        (TrainRequest, {"labeled": [1], "ckpt_file": "c"}),
        (messages.TestRequest, {"ckpt_file": "c"}),
        (messages.InferRequest, {"ckpt_file": "c", "unlabeled": [1]}),
        (messages.StateRequest, {}),
        (messages.EndRequest, {}),
        (OneLoopRequest, NEEDED),
    ):
        assert request.model_validate({**body, "of_a_later_version": 1})  # type: ignore[attr-defined]
    with pytest.raises(ValidationError, match="of_a_later_version"):
        InferQuery.model_validate({"of_a_later_version": 1})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(
            ("labeled", [-1]),
            ("labeled", [2**53 + 1]),
            ("labeled", ["a"]),
            ("ckpt_file", "c" * 201),
        ),
        *(("cur_loop", -1), ("cur_loop", 10**6 + 1), ("labels", {"x": "cat"})),
    ],
)
def test_a_value_out_of_range_is_refused(field: str, value: Any) -> None:
    body = {"labeled": [1], "ckpt_file": "c", field: value}
    with pytest.raises(ValidationError) as caught:
        TrainRequest.model_validate(body)
    assert {error["loc"][0] for error in caught.value.errors()} == {field}


def test_labels_have_numbers_of_records() -> None:
    body = {"labeled": [3], "ckpt_file": "c", "labels": {"3": "cat"}}
    assert TrainRequest.model_validate(body).labels == {3: "cat"}
