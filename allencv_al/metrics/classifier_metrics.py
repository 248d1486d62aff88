"""All metrics of a classifier over labeled images, by the names of metrics.json."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from allencv_al.metrics.base import Metric
from allencv_al.metrics.classification import (
    CategoricalAccuracy,
    ConfusionMatrix,
    ExpectedCalibrationError,
    RocAuc,
    average_precision,
    balanced_accuracy,
    macro_f1,
    per_class_accuracy,
    per_class_f1,
    per_class_precision,
    roc_auc,
)
from allencv_al.metrics.scores import mean_of_known

TOP_K = 5

_OF_COUNTS: Mapping[str, Callable[[Tensor], list[float | None]]] = {
    "per_class_accuracy": per_class_accuracy,
    "per_class_precision": per_class_precision,
    "per_class_f1": per_class_f1,
}
_OF_SCORES: Mapping[str, Callable[[Tensor], list[float | None]]] = {
    "roc_auc": roc_auc,
    "average_precision": average_precision,
}


class ClassifierMetrics:
    """Count what the metrics of a classifier need, in memory that does not grow with the images.

    Args:
        num_classes: C, the width of the logits.
    """

    def __init__(self, num_classes: int) -> None:
        self._num_classes = num_classes
        self._accuracy = CategoricalAccuracy()
        self._top_k_accuracy = CategoricalAccuracy(TOP_K) if num_classes > TOP_K else None
        self._confusion_matrix = ConfusionMatrix()
        self._scores = RocAuc()
        self._calibration_error = ExpectedCalibrationError()

    def __call__(self, logits: Tensor, gold: Tensor) -> None:
        """Add a batch: logits `[B, C]` and class indices `[B]`."""
        for metric in self._parts():
            metric(logits, gold)

    def values(self, class_names: Sequence[str], reset: bool = False) -> dict[str, Any]:
        """Return the metrics of the images so far, all of them JSON.

        The means `roc_auc` and `average_precision` are over the classes that have one; None if no
        class has, as where all images are of one class. Without images they are 0, as all are.

        Args:
            class_names: A name for each class.
            reset: Whether to begin anew afterwards.
        """
        counts, scores = self._confusion_matrix.state(), self._scores.state()
        if counts is None or scores is None:
            counts = torch.zeros((self._num_classes, self._num_classes), dtype=torch.int64)
            scores = torch.zeros((2, self._num_classes, 1), dtype=torch.int32)
        areas = {name: area(scores) for name, area in _OF_SCORES.items()}
        no_area = None if counts.any() else 0.0
        metrics: dict[str, Any] = {"accuracy": self._accuracy.get_metric()}
        if self._top_k_accuracy is not None:
            metrics[f"top_{TOP_K}_accuracy"] = self._top_k_accuracy.get_metric()
        metrics["balanced_accuracy"] = balanced_accuracy(counts)
        metrics["macro_f1"] = macro_f1(counts)
        for name, values in areas.items():
            mean = mean_of_known(values)
            metrics[name] = no_area if mean is None else mean
        metrics["expected_calibration_error"] = self._calibration_error.get_metric()
        per_class = {name: values(counts) for name, values in _OF_COUNTS.items()}
        per_class |= {f"per_class_{name}": values for name, values in areas.items()}
        for name, values in per_class.items():
            metrics[name] = dict(zip(class_names, values, strict=True))
        metrics["confusion_matrix"] = counts.tolist()
        if reset:
            for metric in self._parts():
                metric.reset()
        return metrics

    def _parts(self) -> Iterator[Metric]:
        yield self._accuracy
        if self._top_k_accuracy is not None:
            yield self._top_k_accuracy
        yield from (self._confusion_matrix, self._scores, self._calibration_error)
