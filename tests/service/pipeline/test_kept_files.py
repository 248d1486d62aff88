"""What loops keep beside their results, and how `args` may be said."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allencv_al.service.pipeline import Pipeline

MakePipeline = Callable[..., Pipeline]
BODY = {"experiment_id": "e", "project_id": "p"}


def loop(pipeline: Pipeline, number: int, selected: list[int]) -> Any:
    body = {**BODY, "cur_loop": number, "selected_indices": selected}
    return pipeline.app.test_client().post("/one_loop", json=body)


def test_results_may_have_twins_for_old_readers(
    make_pipeline: MakePipeline, tmp_path: Path
) -> None:
    pipeline = make_pipeline(write_pickles=True)
    answer = loop(pipeline, 0, [0, 1, 2]).json
    folder = tmp_path / "log" / "storage" / "p" / "e"
    names = {path.stem for path in folder.glob("*.pkl")}
    assert names == {
        *("data_map", "insights_0", "test_predictions_0", "test_ground_truth", "metrics_0"),
        "infer_outputs_0",
    }
    with (folder / "metrics_0.pkl").open("rb") as file:
        assert pickle.load(file) == answer["metrics"]
    with (folder / "infer_outputs_0.pkl").open("rb") as file:
        outputs = pickle.load(file)
    assert sorted(outputs) == list(range(3, 60))
    logits = np.load(folder / "infer_outputs_0.npz")["logits"]
    assert outputs[3]["pre_softmax"] == pytest.approx(logits[0])
    # They are not read here
    for path in folder.glob("*.pkl"):
        path.write_bytes(b"cos\nsystem\n(S'touch hurt'\ntR.")
    assert loop(pipeline, 1, [5]).status_code == 200


def test_without_being_asked_nothing_is_pickled(
    make_pipeline: MakePipeline, tmp_path: Path
) -> None:
    loop(make_pipeline(), 0, [0, 1, 2])
    assert not list(tmp_path.rglob("*.pkl")) and list(tmp_path.rglob("metrics_0.json"))


def test_outputs_of_other_records_do_not_replace_those_of_the_same_checkpoint(
    make_pipeline: MakePipeline,
) -> None:
    client = make_pipeline().app.test_client()
    body = {"labeled": [0, 1, 2], "resume_from": None, "ckpt_file": "c"}
    client.post("/train", json=body)
    places = {
        client.post("/infer?store=1", json={"ckpt_file": "c", "unlabeled": records}).json[
            "artifact"
        ]
        for records in ([3, 4], [5, 6], [4, 3])
    }
    assert len(places) == 2
