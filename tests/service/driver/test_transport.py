"""The error for each kind of answer that is not a success."""

from __future__ import annotations

from typing import Any

import pytest

from allencv_al.common.errors import ConfigurationError
from allencv_al.service.driver.transport import TransportError, refusal


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_token_is_a_fault_of_the_config(status: int) -> None:
    error = refusal("scans", "/train", status, {"error": {"message": "wrong token"}})
    assert isinstance(error, ConfigurationError)
    expected = f"active_learning.learner.token: scans refuses access ({status}): wrong token"
    assert str(error) == expected
    assert str(refusal("scans", "/train", status, None, "x")).startswith("x.token: ")


@pytest.mark.parametrize("answer", [None, [], {}, {"error": "text"}, {"error": {"message": 5}}])
def test_an_answer_of_something_else_is_no_pipelines(answer: Any) -> None:
    error = refusal("scans", "/train", 404, answer)
    assert isinstance(error, TransportError) and (error.status, error.code) == (404, "no_answer")
    assert "check that a pipeline listens there" in str(error)


@pytest.mark.parametrize(("status", "finding"), [(500, "has failed"), (409, "refuses")])
def test_a_pipeline_is_quoted_up_to_a_limit(status: int, finding: str) -> None:
    body = {"error": {"message": "m" * 5000, "type": "busy"}}
    error = refusal("scans", "/train", status, body)
    assert isinstance(error, TransportError) and (error.status, error.code) == (status, "busy")
    assert str(error) == f"scans {finding}: {'m' * 2000}"
