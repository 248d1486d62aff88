"""A repeated request gets its kept answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from allencv_al.service.pipeline import Pipeline

MakePipeline = Callable[..., Pipeline]


def test_what_came_with_the_same_key_is_not_done_again(
    make_pipeline: MakePipeline, functions: Any
) -> None:
    body = {"labeled": [0, 1, 2], "resume_from": None, "ckpt_file": "ckpt_0"}
    first = make_pipeline().app.test_client()
    once = first.post("/train", json=body, headers={"Idempotency-Key": "a"})
    again = make_pipeline().app.test_client()  # after a death
    assert again.post("/train", json=body, headers={"Idempotency-Key": "a"}).json == once.json
    assert functions.calls == ["train 3 from None"]
    assert again.post("/train", json=body, headers={"Idempotency-Key": "b"}).status_code == 200
    assert again.post("/train", json=body).status_code == 200
    assert len(functions.calls) == 3
    for path, asked in (("/test", {"ckpt_file": "ckpt_0"}), ("/train", {**body, "labeled": [4]})):
        found = again.post(path, json=asked, headers={"Idempotency-Key": "a"})
        assert found.status_code == 422 and found.json["error"]["type"] == "idempotency_key"
    too_long = again.post("/train", json=body, headers={"Idempotency-Key": "k" * 201})
    assert too_long.status_code == 400


def test_only_the_last_answers_are_kept(make_pipeline: MakePipeline, tmp_path: Path) -> None:
    client = make_pipeline().app.test_client()
    body = {"labeled": [0, 1, 2], "resume_from": None, "ckpt_file": "ckpt_0"}
    for number in range(12):
        client.post("/train", json=body, headers={"Idempotency-Key": f"key {number}"})
    kept = tmp_path / "log" / "pipeline-state" / "answers"
    assert len(list(kept.iterdir())) == 8
