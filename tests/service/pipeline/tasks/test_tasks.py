"""Metrics of the other tasks, beside scikit-learn and torchmetrics."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allencv_al.service.pipeline import Pipeline
from allencv_al.service.pipeline.tasks.pipeline_metrics import metrics_of
from allencv_al.service.pipeline.tasks.tasks import named_task, task_of
from allencv_al.tasks import LabelTask

MakePipeline = Callable[..., Pipeline]


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("Object Detection", "detection"),
        ("2d_object_detection", "detection"),
        ("Classification", "single_label"),
        ("Image Classification", "single_label"),
        ("single_label_classification", "single_label"),
        ("multi_label_classification", "multi_label"),
        ("multilabel_text_classification", "multi_label"),
        ("regression", "regression"),
        ("2d_segmentation", "segmentation"),
        ("instance_segmentation", "segmentation"),
        *((name, name) for name in LabelTask.list_available() if name in LabelTask.builtin),
        ("something", None),
        (None, None),
    ],
)
def test_the_tasks_of_all_generations_have_names(name: str | None, task: str | None) -> None:
    assert named_task(name) == task


@pytest.mark.parametrize(
    ("predictions", "labels", "task"),
    [
        ([1, 0], [1, 1], "single_label"),
        ([1.0, 0.0], np.array([1, 1]), "single_label"),
        ({"a": 1}, {"a": 0}, "single_label"),
        ([1.5, 0.0], [1, 1], "regression"),
        ([1, 0], [1, 0.5], "regression"),
        ([[0, 1], []], [[1], [0]], "multi_label"),
        (
            {"a": {"boxes": [], "objects": [], "scores": []}},
            {"a": {"boxes": [], "objects": []}},
            "detection",
        ),
        ([[[0, 1], [1, 0]]], [np.zeros((2, 2))], "segmentation"),
        ([], [], "single_label"),
    ],
)
def test_values_tell_their_task(predictions: Any, labels: Any, task: str) -> None:
    assert task_of(predictions, labels) == task
    assert metrics_of(predictions, labels)["task"] == task


def loop(**more: Any) -> dict[str, Any]:
    body = {"experiment_id": "e", "project_id": "p", "cur_loop": 0, "selected_indices": [0, 1]}
    return {**body, "training_set_size": 6, **more}


@pytest.mark.parametrize("task", [None, "multi_label_classification"])
def test_a_loop_with_several_classes_a_record(
    task: str | None, make_pipeline: MakePipeline, tmp_path: Path
) -> None:
    def test(args: Any, ckpt_file: Any) -> Any:
        return {"predictions": [[0, 2], []], "labels": [[0], [1]]}

    def infer(args: Any, unlabeled: Any, ckpt_file: Any) -> Any:
        return {"outputs": {record: {"sigmoid": [0.5, 0.9, 0.1]} for record in unlabeled}}

    client = make_pipeline(test_fn=test, infer_fn=infer).app.test_client()
    answer = client.post("/one_loop", json=loop(type=task)).json
    assert answer["metrics"]["hamming_loss"] == pytest.approx(2 / 6)
    stored = np.load(tmp_path / "log" / "storage" / "p" / "e" / "infer_outputs_0.npz")
    assert stored["sigmoid"][0] == pytest.approx([0.5, 0.9, 0.1]) and stored["margin"][0] < 1e-9


def test_a_loop_that_predicts_numbers(make_pipeline: MakePipeline, tmp_path: Path) -> None:
    def test(args: Any, ckpt_file: Any) -> Any:
        return {"predictions": [1.5, 2.0], "labels": [1.0, 2.0]}

    def infer(args: Any, unlabeled: Any, ckpt_file: Any) -> Any:
        return {"outputs": {record: {"prediction": record / 2} for record in unlabeled}}

    client = make_pipeline(test_fn=test, infer_fn=infer).app.test_client()
    answer = client.post("/one_loop", json=loop(task_type="regression")).json
    assert answer["metrics"]["MAE"] == 0.25
    assert answer["artifacts"]["infer_outputs"].endswith("regression_predictions_0.npz")
    stored = np.load(tmp_path / "log" / "storage" / "p" / "e" / "regression_predictions_0.npz")
    assert stored["index"].tolist() == [2, 3, 4, 5]
    assert stored["predictions"].tolist() == [1, 1.5, 2, 2.5]
