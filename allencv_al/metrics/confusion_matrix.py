"""Confusion matrix and the metrics derived from it."""

from __future__ import annotations

import torch
from overrides import overrides
from torch import Tensor

from allencv_al.metrics.base import Metric, MetricValue
from allencv_al.metrics.scores import ratios


@Metric.register("confusion_matrix")
class ConfusionMatrix(Metric):
    """Counts `[C, C]`: row = the class of the image, column = the class predicted."""

    @overrides
    def _update(self, predictions: Tensor, gold: Tensor) -> None:
        num_classes = predictions.shape[1]
        counts = self._sums_like((num_classes, num_classes), torch.int64, predictions)
        cells = gold * num_classes + predictions.argmax(-1)
        # index_add_, because bincount waits for the device.
        counts.view(-1).index_add_(0, cells, torch.ones_like(cells))

    @overrides
    def _value(self, sums: Tensor | None) -> MetricValue:
        counts: list[list[int]] = [] if sums is None else sums.tolist()
        return counts


@Metric.register("macro_f1")
class MacroF1(ConfusionMatrix):
    """The F1 score of each class, averaged over the classes that occur.

    A class occurs if an image is of it or is predicted to be; scikit-learn's
    `f1_score(average="macro")` averages over the same ones.
    """

    @overrides
    def _value(self, sums: Tensor | None) -> float:
        return 0.0 if sums is None else macro_f1(sums)


@Metric.register("per_class_accuracy")
class PerClassAccuracy(ConfusionMatrix):
    """For each class the share of its images that are recognized (its recall), `[C]`.

    None for a class without images.
    """

    @overrides
    def _value(self, sums: Tensor | None) -> list[float | None]:
        return [] if sums is None else per_class_accuracy(sums)


def macro_f1(counts: Tensor) -> float:
    """Return the mean F1 score over the classes that occur in a confusion matrix `[C, C]`."""
    # scikit-learn's f1_score takes the predictions, of which only the counts are kept
    hits = counts.diagonal().double()
    occurrences = (counts.sum(0) + counts.sum(1)).double()
    occurring = occurrences > 0
    if not occurring.any():
        return 0.0
    return float((2 * hits[occurring] / occurrences[occurring]).mean())


def per_class_accuracy(counts: Tensor) -> list[float | None]:
    """Return the recall of each class of a confusion matrix `[C, C]`; None without images."""
    return ratios(counts.diagonal(), counts.sum(1))
