"""What a pipeline answers, as arrays and figures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from allencv_al.active_learning.learners.base import TestFigures, TestOutputs
from allencv_al.common.errors import AllenCVError, DataError
from allencv_al.service.driver.outputs import embeddings_of, logits_of, stacked, test_outputs


def test_logits_come_in_the_order_that_was_asked_for() -> None:
    outputs = {"7": [0.0, 1.0], "3": {"pre_softmax": [2.0, 3.0]}}
    found = logits_of(outputs, [3, 7])
    assert found.dtype == np.float32 and found.tolist() == [[2, 3], [0, 1]]
    with pytest.raises(DataError, match="1 records have no output, the first is 5"):
        logits_of(outputs, [3, 5])
    assert logits_of({}, []).shape == (0, 0)


def test_the_least_certain_box_speaks_for_an_image() -> None:
    sure, unsure = [9.0, 0.0, 0.0], [1.0, 0.9, -5.0]
    boxes = [[0, 0, 1, 1]] * 2
    outputs = {
        "0": {"boxes": boxes, "scores": [0.9, 0.5], "pre_softmax": [sure, unsure]},
        "1": {"boxes": boxes[:1], "scores": [0.9], "pre_softmax": [sure]},
        "2": {"boxes": [], "scores": [], "pre_softmax": []},
    }
    logits = logits_of(outputs, [0, 1, 2])
    assert logits[0].tolist() == pytest.approx(unsure) and logits[1].tolist() == sure
    margins = -np.diff(np.sort(logits, axis=1)[:, -2:], axis=1)
    assert margins[2] < margins[1] < margins[0]  # no boxes: nothing to ask
    only_empty = {"0": {"boxes": [], "scores": [], "pre_softmax": []}}
    assert logits_of(only_empty, [0]).shape == (1, 2)


@pytest.mark.parametrize("empty", [None, {}, {"boxes": None, "scores": None, "pre_softmax": None}])
def test_images_without_boxes_need_no_asking(empty: Any) -> None:
    box = {"boxes": [[0, 0, 1, 1]], "scores": [0.9], "pre_softmax": [[1.0, 0.9, -5.0]]}
    logits = logits_of({"0": empty, "1": box}, [0, 1])
    assert logits[0].tolist() == [1000, 0, 0] and logits[1].tolist() == pytest.approx([1, 0.9, -5])
    alone = logits_of({"0": empty}, [0], "object_detection")  # a block of its own
    for blocks in ([alone, logits], [logits, alone]):
        assert stacked(blocks, 0).shape == (3, 3)
    with pytest.raises(DataError, match="vectors of one length, found 2 and 3"):
        stacked([np.array([[1, 2]], np.float32), logits], 0)


def test_the_least_certain_class_speaks_for_a_record_of_several() -> None:
    outputs = {"0": {"pre_softmax": [9.0, -0.5, -7.0]}, "1": {"sigmoid": [0.9, 0.6]}}
    outputs["1"]["sigmoid"].append(0.01)
    logits = logits_of(outputs, [0, 1], "multi_label_classification")
    assert logits == pytest.approx(np.array([[0, -0.5], [0, np.log(0.6 / 0.4)]]), abs=1e-6)
    assert logits_of(outputs, [0]).shape == (1, 3)


def test_one_column_is_the_second_of_two_classes() -> None:
    found = logits_of({"0": [3.0], "1": {"sigmoid": [0.5]}}, [0, 1])
    assert found == pytest.approx(np.array([[0, 3], [0, 0]]))


@pytest.mark.parametrize(
    "row", [[1.0, 2.0], {"pre_softmax": [1.0]}, {"embedding": []}, {"embedding": ["x"]}]
)
def test_a_record_without_embedding_is_named(row: Any) -> None:
    outputs = {"0": {"embedding": [1.0, 2.0]}, "4": row}
    with pytest.raises(DataError, match=r"outputs\[4\]: expected a vector 'embedding'"):
        embeddings_of(outputs, [0, 4])


def test_embeddings_have_one_length() -> None:
    outputs = {"0": {"embedding": [1.0, 2.0]}, "1": {"embedding": [1.0]}}
    with pytest.raises(DataError, match="vectors of one length"):
        embeddings_of(outputs, [0, 1])


def test_figures_follow_from_predictions_alone() -> None:
    from sklearn.metrics import balanced_accuracy_score, f1_score

    labels, predictions = [0, 1, 2, 1, 1, 2], [0, 1, 2, 2, 1, 0]
    found = test_outputs({"labels": labels, "predictions": predictions}, ["a", "b", "c", "d"])
    assert isinstance(found, TestFigures)
    assert found.confusion_matrix == [[1, 0, 0, 0], [0, 2, 1, 0], [1, 0, 1, 0], [0, 0, 0, 0]]
    assert found.metrics["accuracy"] == pytest.approx(4 / 6)
    assert found.metrics["balanced_accuracy"] == pytest.approx(
        balanced_accuracy_score(labels, predictions)
    )
    assert found.metrics["macro_f1"] == pytest.approx(
        f1_score(labels, predictions, average="macro")
    )
    assert list(found.classes) == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    "values", [{"5": 0, "1": 1}, ["a", "b"], ["0", "1"], [0.0, 1.0], [False, True]]
)
def test_classes_may_be_written_in_any_way(values: Any) -> None:
    found = test_outputs({"labels": values, "predictions": values}, ["a", "b"])
    assert isinstance(found, TestFigures) and found.metrics["accuracy"] == 1


def test_logits_are_taken_with_their_labels() -> None:
    answer = {"labels": [1, 0], "predictions": [1, 0], "outputs": [[0.0, 2.0], [1.0, 0.0]]}
    found = test_outputs(answer, [])
    assert isinstance(found, TestOutputs)
    assert found.labels.tolist() == [1, 0] and found.logits.dtype == np.float32
    with pytest.raises(DataError, match="expected labels 0 to 1"):
        test_outputs({**answer, "labels": [2, 0]}, [])


@pytest.mark.parametrize("labels", [[[0, 1], [1]], {"0": {"boxes": []}}, [0.5, 1.5], [-1], "x"])
def test_what_has_no_single_class_is_measured_by_the_pipeline(labels: Any) -> None:
    metrics = {"mAP": 0.5, "AP": {"0": 0.5}, "hamming_loss": 0.25, "flag": True}
    found = test_outputs({"labels": labels, "predictions": labels, "metrics": metrics}, [])
    assert isinstance(found, TestFigures)
    assert found.metrics == {"mean_average_precision": 0.5, "hamming_loss": 0.25}
    assert found.confusion_matrix is None


def test_no_test_items_are_no_figures() -> None:
    found = test_outputs({"labels": [], "predictions": []}, ["a"])
    assert isinstance(found, TestFigures) and not found.metrics


@pytest.mark.parametrize("row", [[float("nan"), 0.0], {"other": [1.0]}, ["x"], [], None])
def test_outputs_that_are_none_are_refused(row: Any) -> None:
    with pytest.raises(AllenCVError, match=r"infer: outputs\[1\]"):
        logits_of({"0": [0.0, 1.0], "1": row}, [0, 1])
