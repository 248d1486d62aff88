"""Requests to the labeling server: what they may hold."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from allencv_al.service.labeling import labeling_messages
from allencv_al.service.labeling.labeling_messages import (
    MOST_DECIDED,
    AnswerRequest,
    NextImagesRequest,
    ReviewRequest,
)

ANSWER = {"client_id": "client-1", "item": "i1", "kind": "label", "class_id": "c2"}
REVIEW = {"client_id": "client-1", "items": ["i1"], "kind": "label"}
REQUESTS = [
    model
    for model in vars(labeling_messages).values()
    if isinstance(model, type) and issubclass(model, BaseModel) and model is not BaseModel
]


@pytest.mark.parametrize("model", REQUESTS)
def test_an_unknown_key_is_refused(model: type[BaseModel]) -> None:
    with pytest.raises(ValidationError) as caught:
        model.model_validate({"more": 1})
    assert ("more",) in [error["loc"] for error in caught.value.errors()]


@pytest.mark.parametrize("id", ["i0", "i01", "1", "c1", "i-1", "i1\n", "i" + "9" * 17, "", "../i1"])
def test_a_wrong_number_of_an_image_is_refused(id: str) -> None:
    with pytest.raises(ValidationError):
        AnswerRequest.model_validate({**ANSWER, "item": id})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(
            ("kind", "guess"),
            ("class_id", "i1"),
            ("client_id", "short"),
            ("client_id", "a b c d e"),
        ),
        *(("seconds", -1), ("seconds", 86_401), ("labeling", "x" * 32), ("annotator", "a" * 65)),
        pytest.param("image", "x" * 10_001, id="a long name"),
    ],
)
def test_a_wrong_part_of_an_answer_is_named(field: str, value: Any) -> None:
    AnswerRequest.model_validate(ANSWER)
    with pytest.raises(ValidationError) as caught:
        AnswerRequest.model_validate({**ANSWER, field: value})
    assert [error["loc"] for error in caught.value.errors()] == [(field,)]


def test_a_review_decides_some_images_and_not_too_many() -> None:
    items = [f"i{number}" for number in range(1, MOST_DECIDED + 2)]
    ReviewRequest.model_validate({**REVIEW, "items": items[:-1]})
    for wrong in ([], items):
        with pytest.raises(ValidationError):
            ReviewRequest.model_validate({**REVIEW, "items": wrong})


def test_a_skip_is_an_answer_and_no_decision() -> None:
    assert AnswerRequest.model_validate({**ANSWER, "kind": "skip"}).kind == "skip"
    with pytest.raises(ValidationError):
        ReviewRequest.model_validate({**REVIEW, "kind": "skip"})


@pytest.mark.parametrize("count", [0, 7])
def test_a_page_loads_few_images_ahead(count: int) -> None:
    with pytest.raises(ValidationError):
        NextImagesRequest.model_validate({"count": count})
