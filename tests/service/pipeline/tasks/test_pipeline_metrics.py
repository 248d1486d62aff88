"""Metrics equal those of scikit-learn and torchmetrics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from allencv_al.service.pipeline.pipeline_errors import PipelineError
from allencv_al.service.pipeline.tasks.pipeline_metrics import (
    classification_metrics,
    detection_metrics,
    metrics_of,
    queried_per_class,
)


def test_the_golden_vector_of_the_original() -> None:
    found = classification_metrics([0, 1, 2, 2, 1, 0], [0, 1, 2, 1, 1, 2])
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["confusion_matrix"] == [[1, 0, 0], [0, 2, 1], [1, 0, 1]]
    assert found["acc_per_class"] == pytest.approx({"0": 1, "1": 2 / 3, "2": 0.5})
    assert found["precision_per_class"] == pytest.approx({"0": 0.5, "1": 1, "2": 0.5})
    assert found["precision"] == pytest.approx(2 / 3)
    assert found["recall"] == pytest.approx(0.7222, abs=1e-4)
    assert found["f1_score_per_class"] == pytest.approx({"0": 2 / 3, "1": 0.8, "2": 0.5})
    assert found["f1_score"] == pytest.approx(0.6556, abs=1e-4)
    assert found["label_disagreement"] == pytest.approx({"0": 0.2, "1": 0, "2": 0.25})
    assert found["confusion_matrix_per_class"] == {
        "0": [[1, 0], [1, 4]],
        "1": [[2, 1], [0, 3]],
        "2": [[1, 1], [1, 3]],
    }


CLASSES = st.integers(0, 4)


@pytest.mark.filterwarnings("ignore:A single label was found:UserWarning")
@given(st.lists(st.tuples(CLASSES, CLASSES), min_size=1, max_size=40))
def test_metrics_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    from sklearn import metrics as oracle

    predicted, truth = (list(side) for side in zip(*pairs, strict=True))
    found = classification_metrics(predicted, truth)
    labels = [int(name) for name in found["classes"]]
    options: dict[str, Any] = {"labels": labels, "average": "macro", "zero_division": 0}
    assert found["accuracy"] == pytest.approx(oracle.accuracy_score(truth, predicted))
    assert found["precision"] == pytest.approx(oracle.precision_score(truth, predicted, **options))
    assert found["recall"] == pytest.approx(oracle.recall_score(truth, predicted, **options))
    assert found["f1_score"] == pytest.approx(oracle.f1_score(truth, predicted, **options))
    matrix = oracle.confusion_matrix(truth, predicted, labels=labels).tolist()
    assert found["confusion_matrix"] == matrix


def test_classes_that_are_not_seen_keep_their_keys() -> None:
    names = {0: "car", 1: "ship", 2: "dog", 3: "cat"}
    found = classification_metrics([1, 1], [1, 2], names)
    assert found["classes"] == ["0", "1", "2", "3"]
    assert found["acc_per_class"] == {"0": None, "1": 1.0, "2": 0.0, "3": None}
    one = classification_metrics([0, 0], [0, 0])
    assert one["label_disagreement"] == {"0": None}


def test_dictionaries_are_joined_by_their_keys() -> None:
    found = classification_metrics({"5": 1, 3: 0}, {3: 0, 5: np.int64(1)})
    assert found["accuracy"] == 1.0
    tensors = classification_metrics(torch.tensor([1, 0]), np.array([1, 0]))
    assert tensors["accuracy"] == 1.0


@pytest.mark.parametrize(
    ("predictions", "labels", "message"),
    [
        ({1: 0, 2: 1}, {1: 0, 3: 1}, "predictions without label: 2; labels without prediction: 3"),
        ([0, 1], [0], "2 predictions and 1 labels"),
        ({1: 0}, [0], "one of each"),
        (["cat"], [0], "expected class numbers, found 'cat'"),
        ([0.5], [0], "expected class numbers"),
        (3, 4, "expected two dictionaries"),
    ],
)
def test_what_does_not_fit_together_is_said(predictions: Any, labels: Any, message: str) -> None:
    with pytest.raises(PipelineError, match=message):
        classification_metrics(predictions, labels)


@pytest.mark.parametrize(
    ("labels", "count", "expected"),
    [
        ([0, 1, 1], 3, {"0": 1, "1": 2}),
        ([0, 1, 1] * 5, 3, {"0": 1, "1": 2}),
        (torch.tensor([2, 2]), 2, {"2": 2}),
        ({7: 0, 9: 1}, 2, {"0": 1, "1": 1}),
        (["cat", "dog", "cat"], 3, {"cat": 2, "dog": 1}),
        (["cat", 1], 2, None),
        (None, 1, None),
    ],
)
def test_each_record_is_counted_once(labels: Any, count: int, expected: Any) -> None:
    assert queried_per_class(labels, count) == expected


marks = st.integers(2, 5).flatmap(
    lambda classes: st.lists(
        st.tuples(*[st.tuples(*[st.integers(0, 1)] * classes)] * 2), min_size=1, max_size=12
    )
)


@given(marks)
def test_multi_label_metrics_are_those_of_scikit_learn(
    rows: list[tuple[tuple[int, ...], tuple[int, ...]]],
) -> None:
    from sklearn import metrics as oracle

    predicted, truth = (np.array([row[side] for row in rows]) for side in (0, 1))
    names = {number: str(number) for number in range(predicted.shape[1])}
    found = metrics_of(predicted.tolist(), truth.tolist(), names)
    assert found["task"] == "multi_label"
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
    from sklearn import metrics as oracle

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
    import torchmetrics

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


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), np.float32("nan")])
def test_labels_that_are_no_classes_are_not_counted(value: Any) -> None:
    assert queried_per_class([value], 1) is None
