"""`environment.json`, written when a run begins and when it resumes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from allencv_al.training.environment import (
    FILE_NAME,
    describe_environment,
    read_environment,
    write_environment,
)


def test_environment_variables_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "a-secret-of-this-test")
    found = describe_environment()
    assert found["versions"]["torch"] and found["command"] == sys.argv
    assert "a-secret-of-this-test" not in json.dumps(found)


def test_a_resumed_run_keeps_its_start_and_warns_of_decisive_changes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_environment(tmp_path, device="cpu")
    first = read_environment(tmp_path)
    assert first is not None and "continued" not in first and not caplog.records
    changed = {**first, "started": "2020-01-01T00:00:00+00:00", "platform": "another"}
    (tmp_path / FILE_NAME).write_text(json.dumps(changed))
    write_environment(tmp_path, device="cuda")
    second = read_environment(tmp_path)
    assert second is not None and second["started"] == changed["started"]
    assert second["continued"] >= first["started"] and second["device"] == "cuda"
    assert [record.getMessage() for record in caplog.records] == [
        "this run began with device cpu and resumes with cuda: it will not be bit-equal to an "
        "uninterrupted run"
    ]


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_an_absent_or_damaged_file_is_no_environment(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / FILE_NAME).write_text(content)
    assert read_environment(tmp_path) is None
