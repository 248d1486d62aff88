"""Errors of a pipeline, and their JSON body."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from allencv_al.service.pipeline import Pipeline
from allencv_al.service.pipeline.pipeline_errors import (
    FunctionError,
    PipelineError,
    ReturnValueError,
    body_of,
)

MakePipeline = Callable[..., Pipeline]


def raised(cause: BaseException) -> FunctionError:
    """Return the error of a function, with the exception as its cause."""
    with pytest.raises(FunctionError) as caught:
        try:
            raise cause
        except BaseException as error:
            raise FunctionError(error, "infer", 3) from error
    return caught.value


def test_a_body_has_the_status_the_phase_and_the_loop() -> None:
    found = body_of(PipelineError(409, "unfinished", "loop 0 is not finished", "train", 1))
    id = found["error"].pop("request_id")
    assert found == {
        "status": 409,
        "error": {
            "type": "unfinished",
            "message": "loop 0 is not finished",
            "phase": "train",
            "loop": 1,
        },
    }
    assert len(id) == 12


def test_a_wrong_return_value_names_its_function() -> None:
    error = ReturnValueError("test", "missing: predictions")
    assert (error.status, error.code, error.phase) == (422, "return_value", "test")
    assert error.message == "test: missing: predictions"


@pytest.mark.parametrize("cause", [KeyError("a key"), SystemExit(2)])
def test_an_exception_of_a_function_has_its_class_as_type(cause: BaseException) -> None:
    found = body_of(raised(cause))["error"]
    name = type(cause).__name__
    assert (found["type"], found["phase"], found["loop"]) == (name, "infer", 3)
    assert found["message"] == f"infer: {name}: {cause}"


def test_a_long_message_is_cut() -> None:
    assert len(body_of(raised(ValueError("x" * 10_000)))["error"]["message"]) == 2000


@pytest.mark.parametrize(("error", "shown"), [(FileNotFoundError, True), (ValueError, False)])
def test_only_a_file_that_a_function_did_not_find_has_its_path(
    error: type[Exception], shown: bool
) -> None:
    assert raised(error("/home/me/cat.png")).shows_paths == shown


def test_clients_of_the_second_generation_find_a_failed_callback() -> None:
    found = body_of(PipelineError(502, "callback", "not reached"))
    assert found["Message"] == "Loop Failed - non 200 status returned"
    assert "Message" not in body_of(PipelineError(502, "other", "not reached"))


def test_what_functions_raise_has_its_traceback_only_in_debug(make_pipeline: MakePipeline) -> None:
    def test(args: Any, ckpt_file: str) -> Any:
        return {}["a key"]

    for debug in (False, True):
        client = make_pipeline(test_fn=test, debug=debug).app.test_client()
        found = client.post("/test", json={"ckpt_file": "c"})
        assert found.status_code == 500
        assert "KeyError: 'a key'" in found.json["error"]["message"]
        assert ("Traceback" in str(found.json)) == debug
        assert str(Path(__file__).parent) not in str(found.json)
