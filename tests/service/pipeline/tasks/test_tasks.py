"""Metrics of the other tasks, beside scikit-learn and torchmetrics."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchmetrics
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn import metrics as oracle

from allencv_al.service.pipeline import Pipeline
from allencv_al.service.pipeline.pipeline_errors import PipelineError
from allencv_al.service.pipeline.tasks.infer_outputs import (
    distribution,
    independent_classes,
    to_numbers,
)
from allencv_al.service.pipeline.tasks.pipeline_metrics import detection_metrics, metrics_of
from allencv_al.service.pipeline.tasks.tasks import named_task, task_of

MakePipeline = Callable[..., Pipeline]
marks = st.integers(2, 5).flatmap(
    lambda classes: st.lists(
        st.tuples(*[st.tuples(*[st.integers(0, 1)] * classes)] * 2), min_size=1, max_size=12
    )
)


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("Object Detection", "object_detection"),
        ("2d_object_detection", "object_detection"),
        ("Classification", "classification"),
        ("Image Classification", "classification"),
        ("single_label_classification", "classification"),
        ("multi_label_classification", "multi_label_classification"),
        ("multilabel_text_classification", "multi_label_classification"),
        ("regression", "regression"),
        ("2d_segmentation", "segmentation"),
        ("instance_segmentation", "segmentation"),
        ("something", None),
        (None, None),
    ],
)
def test_the_tasks_of_all_generations_have_names(name: str | None, task: str | None) -> None:
    assert named_task(name) == task


@pytest.mark.parametrize(
    ("predictions", "labels", "task"),
    [
        ([1, 0], [1, 1], "classification"),
        ([1.0, 0.0], np.array([1, 1]), "classification"),
        ({"a": 1}, {"a": 0}, "classification"),
        ([1.5, 0.0], [1, 1], "regression"),
        ([1, 0], [1, 0.5], "regression"),
        ([[0, 1], []], [[1], [0]], "multi_label_classification"),
        (
            {"a": {"boxes": [], "objects": [], "scores": []}},
            {"a": {"boxes": [], "objects": []}},
            "object_detection",
        ),
        ([[[0, 1], [1, 0]]], [np.zeros((2, 2))], "segmentation"),
        ([], [], "classification"),
    ],
)
def test_values_tell_their_task(predictions: Any, labels: Any, task: str) -> None:
    assert task_of(predictions, labels) == task
    assert metrics_of(predictions, labels)["task"] == task


@given(marks)
def test_multi_label_metrics_are_those_of_scikit_learn(
    rows: list[tuple[tuple[int, ...], tuple[int, ...]]],
) -> None:
    predicted, truth = (np.array([row[side] for row in rows]) for side in (0, 1))
    names = {number: str(number) for number in range(predicted.shape[1])}
    found = metrics_of(predicted.tolist(), truth.tolist(), names)
    assert found["task"] == "multi_label_classification"
    assert found["accuracy"] == pytest.approx(oracle.accuracy_score(truth, predicted))
    assert found["hamming_loss"] == pytest.approx(oracle.hamming_loss(truth, predicted))
    for kind in ("micro", "macro"):
        expected = oracle.precision_recall_fscore_support(
            truth, predicted, average=kind, zero_division=0
        )
        for name, value in zip(("precision", "recall", "f1_score"), expected, strict=False):
            assert found[f"{name}_{kind}"] == pytest.approx(value)
    matrices = oracle.multilabel_confusion_matrix(truth, predicted)
    for number, matrix in enumerate(matrices):
        [[tn, fp], [fn, tp]] = matrix.tolist()
        assert found["confusion_matrix_per_class"][str(number)] == [[tp, fn], [fp, tn]]
    # The same by the numbers of the classes
    numbers = [[np.flatnonzero(row).tolist() for row in side] for side in (predicted, truth)]
    if any(len(row) != len(names) or set(row) - {0, 1} for side in numbers for row in side):
        assert metrics_of(*numbers, names) == found


def test_classes_that_no_record_has_keep_their_places() -> None:
    found = metrics_of([[3], []], [[3], [1]], {0: "a", 1: "b", 2: "c", 3: "d"})
    assert found["classes"] == ["0", "1", "2", "3"]
    assert found["confusion_matrix_per_class"]["2"] == [[0, 0], [0, 2]]
    assert found["accuracy"] == 0.5
    assert metrics_of([[0], [1]], [[0], [0]])["classes"] == ["0", "1"]  # single classes in lists


def test_one_class_alone_has_the_metrics_of_its_presence() -> None:
    found = metrics_of([[0], [], [0]], [[0], [0], []], task="multi_label_classification")
    assert found["classes"] == ["0"]
    assert found["precision_per_class"] == {"0": 0.5} and found["recall_micro"] == 0.5
    assert found["confusion_matrix_per_class"] == {"0": [[1, 1], [1, 0]]}


def test_records_without_any_class_have_no_macro_mean() -> None:
    found = metrics_of([[], []], [[], []], task="multi_label_classification")
    assert found["accuracy"] == 1 and found["hamming_loss"] is None
    assert found["f1_score_micro"] == 0 and found["f1_score_macro"] is None


numbers = st.floats(0, 100).map(lambda value: round(value, 3))


@example([(0.0, 3.633)] * 3)  # whose variance is not 0
@given(st.lists(st.tuples(numbers, numbers), min_size=2, max_size=20))
def test_regression_metrics_are_those_of_scikit_learn(pairs: list[tuple[float, float]]) -> None:
    predicted, truth = [one for one, _ in pairs], [other for _, other in pairs]
    found = metrics_of(predicted, truth, task="regression")
    assert found["MAE"] == pytest.approx(oracle.mean_absolute_error(truth, predicted))
    assert found["MSE"] == pytest.approx(oracle.mean_squared_error(truth, predicted))
    assert found["RMSE"] == pytest.approx(oracle.root_mean_squared_error(truth, predicted))
    assert found["RMSLE"] == pytest.approx(oracle.root_mean_squared_log_error(truth, predicted))
    if len(set(truth)) > 1:
        assert found["R2"] == pytest.approx(oracle.r2_score(truth, predicted), rel=1e-6, abs=1e-9)
    else:
        assert found["R2"] is None


def test_what_a_regression_cannot_say_is_none() -> None:
    found = metrics_of([-1.5, 2.0], [1.0, 2.0])
    assert found["RMSLE"] is None and found["MAE"] == 1.25
    assert metrics_of([], [], task="regression")["R2"] is None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(5))
def test_segmentation_metrics_are_those_of_torchmetrics(seed: int) -> None:
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, 4, (3, 8, 9))
    predicted = np.where(generator.random(truth.shape) < 0.7, truth, generator.integers(0, 4))
    found = metrics_of(list(predicted), list(truth))
    arguments = {"num_classes": 4, "average": "none"}
    jaccard = torchmetrics.JaccardIndex("multiclass", **arguments)
    dice = torchmetrics.F1Score("multiclass", **arguments)
    pair = torch.from_numpy(predicted), torch.from_numpy(truth)
    assert list(found["IoU_per_class"].values()) == pytest.approx(jaccard(*pair).tolist())
    assert list(found["dice_per_class"].values()) == pytest.approx(dice(*pair).tolist())
    assert found["pixel_accuracy"] == pytest.approx((predicted == truth).mean())
    shares = np.bincount(truth.ravel(), minlength=4) / truth.size
    assert found["fwIoU"] == pytest.approx((jaccard(*pair).numpy() * shares).sum())


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


BOX, FAR = [0.0, 0.0, 10.0, 10.0], [50.0, 50.0, 60.0, 60.0]


def test_detections_are_counted_by_what_they_found() -> None:
    predictions = {
        0: {"boxes": [BOX, FAR], "objects": [0, 1], "scores": [0.9, 0.8]},
        1: {"boxes": [BOX, BOX], "objects": [1, 0], "scores": [0.9, 0.1]},
    }
    labels = {
        0: {"boxes": [BOX], "objects": [0]},
        1: {"boxes": [BOX, FAR], "objects": [0, 1]},
    }
    found = detection_metrics(predictions, labels)
    # 0: one right; FAR is of no box. 1: the best takes the box as the wrong class, the other is
    # then of no box; FAR is missed
    assert found["confusion_matrix"] == [[1, 1, 0], [0, 0, 1], [1, 1, 0]]
    assert found["precision_per_class"] == {"0": 1.0, "1": 0.0}
    assert found["recall_per_class"] == {"0": 1.0, "1": 0.0}
    assert found["precision"] == 0.5 and found["recall"] == 0.5


def test_a_difficult_box_may_be_found_twice() -> None:
    predictions = {0: {"boxes": [BOX, BOX, FAR], "objects": [0] * 3, "scores": [0.9, 0.8, 0.7]}}
    labels = {0: {"boxes": [BOX, FAR], "objects": [0, 0], "difficulties": [1, 0]}}
    found = detection_metrics(predictions, labels)
    assert found["mAP"] == 1 and found["precision"] == 1
    assert found["confusion_matrix"] == [[1, 0], [0, 0]]


def test_a_class_without_boxes_is_in_no_mean() -> None:
    predictions = {0: {"boxes": [BOX, FAR], "objects": [0, 1], "scores": [0.9, 0.8]}}
    labels = {0: {"boxes": [BOX], "objects": [0]}}
    found = detection_metrics(predictions, labels, {0: "a", 1: "b", 2: "c"})
    assert found["precision"] == 1 and found["recall_per_class"] == {"0": 1.0, "1": None, "2": None}
    assert found["precision_per_class"] == {"0": 1.0, "1": 0.0, "2": None}


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


def test_numbers_of_records_are_finite() -> None:
    assert to_numbers({3: 1.5, 4: {"prediction": np.float32(2)}, 5: [0.5]}).tolist() == [
        1.5,
        2,
        0.5,
    ]
    for bad in (float("nan"), [1.0, 2.0], None, "x", {"value": 1}):
        with pytest.raises(PipelineError, match=r"outputs\[7\]: expected a finite number"):
            to_numbers({7: bad})
