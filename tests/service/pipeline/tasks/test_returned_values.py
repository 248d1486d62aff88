"""Predictions and labels become arrays, or are refused with their place."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from allencv_al.service.pipeline import Pipeline
from allencv_al.service.pipeline.pipeline_errors import PipelineError
from allencv_al.service.pipeline.tasks.pipeline_metrics import (
    classification_metrics,
    detection_metrics,
    metrics_of,
)


@pytest.mark.parametrize(
    ("predictions", "labels", "task", "message"),
    [
        ([[0.5]], [[1]], None, "expected class numbers, or 0 and 1, found 0.5"),
        ([[0]], [1], None, "labels: expected the classes of each record as a list"),
        ([[-1]], [[1]], None, "found -1"),
        (["x", 1.5], [1, 1], "regression", "predictions: expected finite numbers, found 'x'"),
        ([float("nan")], [1.5], None, "expected finite numbers, found nan"),
        (
            [[[0, 1]]],
            [[[0], [1]]],
            None,
            r"predictions\[0\]: expected the shape of its label, \[2, 1\]",
        ),
        ([[[0.5]]], [[[0]]], None, r"predictions\[0\]: expected class numbers, \[H, W\]"),
        ([[[10**6]]], [[[0]]], None, "expected at most 10000 classes"),
        ([1, 0], [1, 0], "object_detection", "expected boxes as two dictionaries by image"),
        ([[1], [0]], [[1]], None, "found 2 predictions and 1 labels"),
    ],
)
def test_values_of_another_task_are_refused(
    predictions: Any, labels: Any, task: str | None, message: str
) -> None:
    with pytest.raises(PipelineError, match=message):
        metrics_of(predictions, labels, task=task)


MakePipeline = Callable[..., Pipeline]


def loop_of(pipeline: Pipeline, number: int = 0, **more: Any) -> Any:
    body = {"experiment_id": "e", "project_id": "p", "cur_loop": number, **more}
    body.setdefault("selected_indices", [3 * number, 3 * number + 1, 3 * number + 2])
    return pipeline.app.test_client().post("/one_loop", json=body)


def test_of(pipeline: Pipeline) -> Any:
    return pipeline.app.test_client().post("/test", json={"ckpt_file": "c"})


test_of.__test__ = False  # type: ignore[attr-defined]


@pytest.mark.parametrize("bad", [None, math.nan, math.inf])
def test_a_prediction_that_is_none_has_its_place(bad: Any, make_pipeline: MakePipeline) -> None:
    returned = {"predictions": [1, bad], "labels": [1, 0]}
    error = loop_of(make_pipeline(test_fn=lambda ckpt_file: returned)).json["error"]
    assert "predictions[1]: expected class numbers, found None or a number" in error["message"]


def test_classes_may_be_named() -> None:
    found = classification_metrics(["dog", "cat", "cat"], ["dog", "dog", "cat"])
    assert found["classes"] == ["cat", "dog"]
    assert found["confusion_matrix"] == [[1, 0], [1, 1]]
    assert found["acc_per_class"] == {"cat": 1.0, "dog": 0.5}
    named = classification_metrics(["dog", "1"], [2, "cat"], {0: "bird", 1: "cat", 2: "dog"})
    assert named["classes"] == ["0", "1", "2"] and named["accuracy"] == 1.0
    assert classification_metrics(["10", "2"], ["10", "2"])["classes"] == ["2", "10"]
    assert classification_metrics([True, False], [1, 0])["accuracy"] == 1.0


def test_a_name_of_no_class_is_said() -> None:
    with pytest.raises(PipelineError, match=r"or their names \(cat, dog\), found 'cow'"):
        classification_metrics(["cow"], ["cat"], {0: "cat", 1: "dog"})
    with pytest.raises(PipelineError, match="predictions: expected class numbers, found"):
        classification_metrics(["cow"], [1])


@pytest.mark.parametrize(
    "masks",
    [
        np.array([[[0, 1], [1, 1]]]),
        np.array([[[[0, 1], [1, 1]]]]),
        torch.tensor([[[[0], [1]], [[1], [1]]]]),
        torch.tensor([[[[False, True], [True, True]]]]),
    ],
    ids=["NHW", "N1HW", "NHW1", "bool"],
)
def test_masks_may_have_one_channel(masks: Any) -> None:
    found = metrics_of(masks, [[[0, 1], [1, 0]]])
    assert found["task"] == "segmentation" and found["pixel_accuracy"] == 0.75


def test_masks_of_scores_are_said() -> None:
    with pytest.raises(PipelineError, match=r"found \[3, 2, 2\]; of scores of classes take the ar"):
        metrics_of(np.zeros((1, 3, 2, 2)), np.zeros((1, 2, 2), int))
    with pytest.raises(PipelineError, match=r"\[H, W\], found 0.5"):
        metrics_of(np.full((1, 1, 2, 2), 0.5), np.zeros((1, 2, 2), int))


@pytest.mark.parametrize(
    "empty",
    [
        None,
        {},
        {"boxes": [], "objects": [], "scores": []},
        {"boxes": None, "objects": None, "scores": None},
        {"boxes": torch.zeros((0, 4)), "objects": torch.zeros(0), "scores": torch.zeros(0)},
    ],
)
def test_images_without_boxes_have_none(empty: Any) -> None:
    box = {"boxes": [[0, 0, 2, 2]], "objects": [1], "scores": [0.9]}
    found = detection_metrics({"a": box, "b": empty}, {"a": box, "b": empty})
    assert found["mAP"] == 1.0
    missed = detection_metrics({"a": empty}, {"a": box})
    assert missed["mAP"] == 0.0 and missed["confusion_matrix"] == [[0, 1], [0, 0]]


def test_boxes_that_lack_something_are_said() -> None:
    box = {"boxes": [[0, 0, 2, 2]], "labels": [1], "scores": [0.9]}
    message = r"predictions\[a\]: expected objects of 1 boxes; found boxes, labels, scores"
    with pytest.raises(PipelineError, match=message):
        detection_metrics({"a": box}, {"a": {}})


def test_returned_values_that_cannot_be_measured_are_named(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(test_fn=lambda ckpt_file: {"predictions": [0.5], "labels": ["a"]})
    found = test_of(pipeline).json
    assert found["metrics"] is None and "expected" in found["warnings"][0]
