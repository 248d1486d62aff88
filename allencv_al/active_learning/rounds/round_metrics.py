"""Metrics of a round: the model on the test items, and the query on the pool."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import compress
from typing import Any

import numpy as np
import torch

from allencv_al.active_learning.learners.base import TestFigures, TestOutputs
from allencv_al.metrics.classification import (
    ConfusionMatrix,
    ExpectedCalibrationError,
    RocAuc,
    average_precision,
    balanced_accuracy,
    macro_f1,
    roc_auc,
)
from allencv_al.metrics.scores import mean_of_known
from allencv_al.selection.pool.pool_outputs import PoolOutputs
from allencv_al.selection.pool.unlabeled_pool import FloatArray
from allencv_al.selection.strategies.shared.softmax import softmax
from allencv_al.tasks.base import LabelTask

_ROWS = 8192


def measure_test(outputs: TestOutputs) -> tuple[dict[str, float | None], list[list[int]]]:
    """Return the metrics of a model on the test items, and its confusion matrix `[C, C]`.

    Balanced accuracy is the mean recall of the classes that occur, and the areas under the curves
    are means over the classes that have one; the negative log-likelihood is in nats per item; the
    calibration error has 15 bins.
    """
    logits = torch.from_numpy(np.array(outputs.logits, dtype=np.float32))
    labels = torch.from_numpy(outputs.labels)
    confusion, calibration, areas = ConfusionMatrix(), ExpectedCalibrationError(), RocAuc()
    confusion(logits, labels)
    calibration(logits, labels)
    # Several float64 arrays of the size of its input: in parts, they stay small
    for start in range(0, len(labels), _ROWS):
        areas(logits[start : start + _ROWS], labels[start : start + _ROWS])
    counts, scores = confusion.state(), areas.state()
    assert counts is not None and scores is not None
    likelihood = torch.nn.functional.cross_entropy(logits.double(), labels)
    metrics: dict[str, float | None] = {
        **metrics_of_counts(counts),
        "roc_auc": mean_of_known(roc_auc(scores)),
        "average_precision": mean_of_known(average_precision(scores)),
        "negative_log_likelihood": float(likelihood),
        "expected_calibration_error": calibration.get_metric(),
    }
    return metrics, counts.tolist()


def metrics_of_counts(counts: torch.Tensor) -> dict[str, float | None]:
    """Return the metrics of a confusion matrix, int64 `[C, C]`, with at least one count."""
    return {
        "accuracy": int(counts.diagonal().sum()) / int(counts.sum()),  # torch has float32 for it
        "balanced_accuracy": balanced_accuracy(counts),
        "macro_f1": macro_f1(counts),
    }


def test_figures(
    outputs: TestOutputs | TestFigures | None, class_names: Sequence[str]
) -> TestFigures:
    """Return the metrics on the test items, computed here or by the learner."""
    if isinstance(outputs, TestFigures):
        return outputs
    if outputs is None or not len(outputs.labels):
        return TestFigures({})
    metrics, confusion = measure_test(outputs)
    return TestFigures(metrics, confusion, column_names(class_names, outputs.logits.shape[1]))


test_figures.__test__ = False  # type: ignore[attr-defined]  # no test of pytest's


def class_entropy(counts: Mapping[str, int]) -> float | None:
    """Return the entropy of the classes of a batch, in nats; None for an empty batch."""
    total = sum(counts.values())
    if not total:
        return None
    shares = np.asarray([count / total for count in counts.values() if count])
    return float(-(shares * np.log(shares)).sum()) + 0.0


def redundancy(embeddings: FloatArray) -> float | None:
    """Return the mean distance of an item of the batch to the nearest other one, `[k, D]`.

    Small values mean that the batch contains near duplicates.
    """
    if len(embeddings) < 2:
        return None
    rows = np.asarray(embeddings, np.float64)
    # One row at a time: differences do not cancel as ||a||^2 - 2ab + ||b||^2 does
    nearest = []
    for place, row in enumerate(rows):
        distances = np.sqrt(((rows - row) ** 2).sum(axis=1))
        distances[place] = np.inf
        nearest.append(distances.min())
    return float(np.mean(nearest))


def query_detail(
    chosen: PoolOutputs, class_names: Sequence[str], predicts: bool, task: LabelTask
) -> dict[str, Any]:
    """Return the metrics and predictions of a query, as its state records them.

    Args:
        chosen: The outputs of the model for the items of the query, in the order of picking.
        class_names: The names of the classes, in the order of the columns of logits.
        predicts: Whether the logits mean something: those of a trained model do.
        task: The kind of labels.
    """
    detail: dict[str, Any] = {"metrics": {}}
    if chosen.embeddings is not None:
        detail["metrics"] = finite_metrics({"redundancy": redundancy(chosen.embeddings)})
    predicted = predicted_texts(chosen, class_names, task) if predicts else None
    if predicted is not None:
        detail["predicted"] = predicted
        detail["probabilities"] = confidences(chosen)
    return detail


def column_names(names: Sequence[str], columns: int) -> list[str]:
    """Return the class names of the columns of logits; columns beyond the names by number."""
    return [*names, *(str(index) for index in range(len(names), columns))]


PREDICTING = frozenset({"logits", "label_logits"})
"""Outputs of a model that say which label it predicts."""


def predicted_texts(
    outputs: PoolOutputs, names: Sequence[str], task: LabelTask
) -> list[str] | None:
    """Return the text of the likeliest label of each item; None where no output says it.

    Args:
        outputs: The outputs of a model.
        names: The class names, in the order of the columns of logits.
        task: The kind of labels.
    """
    if outputs.logits is not None:
        return task.predicted({"class": predicted_classes(outputs.logits, names)})
    if outputs.label_logits is None:
        return None
    columns = column_names(names, outputs.label_logits.shape[1])
    shown = np.asarray(outputs.label_logits) >= 0
    return task.predicted({"classes": [[*compress(columns, row)] for row in shown]})


def confidences(outputs: PoolOutputs) -> list[float] | None:
    """Return the probability of the likeliest label of each item; None where no output says it.

    Of several classes it is the product over them, as if they came independently and the threshold
    of each were 0.5.
    """
    if outputs.logits is not None:
        return top_probabilities(outputs.logits)
    if outputs.label_logits is None:
        return None
    odds = np.abs(np.asarray(outputs.label_logits, np.float64))
    found: list[float] = np.exp(-np.logaddexp(0, -odds).sum(axis=1)).tolist()
    return found


def predicted_classes(logits: FloatArray, names: Sequence[str]) -> list[str]:
    """Return the name of the likeliest class of each row."""
    columns = column_names(names, logits.shape[1])
    return [columns[index] for index in np.asarray(logits).argmax(axis=1).tolist()]


def top_probabilities(logits: FloatArray) -> list[float]:
    """Return the probability of the likeliest class of each row."""
    values: list[float] = softmax(logits, 1.0)[0].max(axis=1).tolist()
    return values


def finite_metrics(metrics: Mapping[str, float | None]) -> dict[str, float | None]:
    """Return the metrics with None for NaN and infinities, which JSON cannot hold."""
    return {
        name: value if value is None or math.isfinite(value) else None
        for name, value in metrics.items()
    }


def finite_numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """Return the values that are finite numbers."""
    return {
        name: value
        for name, value in values.items()
        if isinstance(value, float | int) and math.isfinite(value)
    }
