"""Metrics of masks: overlaps of classes, from one confusion matrix over all pixels.

An overlap is None for a class that neither a mask nor a prediction has, and 0 for one that is only
predicted. `categorical_accuracy` over pixels is the pixel accuracy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from overrides import overrides
from torch import Tensor

from allencv_al.metrics.base import Metric, MetricValue
from allencv_al.metrics.classification import ConfusionMatrix
from allencv_al.metrics.scores import mean_of_known, overlap_scores


@Metric.register("per_class_iou")
class PerClassIoU(ConfusionMatrix):
    """For each class the intersection over union `TP / (TP + FP + FN)` of its pixels, `[C]`."""

    @overrides
    def _value(self, sums: Tensor | None) -> MetricValue:
        return [] if sums is None else overlap_scores(sums.numpy())["IoU"]


@Metric.register("miou")
class MeanIoU(ConfusionMatrix):
    """The mean intersection over union of the classes that occur in masks or predictions."""

    @overrides
    def _value(self, sums: Tensor | None) -> MetricValue:
        return 0.0 if sums is None else mean_of_known(overlap_scores(sums.numpy())["IoU"]) or 0.0


@Metric.register("per_class_dice")
class PerClassDice(ConfusionMatrix):
    """For each class the Dice coefficient `2 TP / (2 TP + FP + FN)` of its pixels, `[C]`."""

    @overrides
    def _value(self, sums: Tensor | None) -> MetricValue:
        return [] if sums is None else overlap_scores(sums.numpy())["dice"]


@Metric.register("mean_dice")
class MeanDice(ConfusionMatrix):
    """The mean Dice coefficient of the classes that occur in masks or predictions."""

    @overrides
    def _value(self, sums: Tensor | None) -> MetricValue:
        return 0.0 if sums is None else mean_of_known(overlap_scores(sums.numpy())["dice"]) or 0.0


@Metric.register("frequency_weighted_iou")
class FrequencyWeightedIoU(ConfusionMatrix):
    """The mean intersection over union, each class by its share of the gold pixels.

    Long, Shelhamer and Darrell 2015, arXiv:1411.4038, section 5.
    """

    @overrides
    def _value(self, sums: Tensor | None) -> MetricValue:
        return 0.0 if sums is None else frequency_weighted_iou(sums)


def frequency_weighted_iou(counts: Tensor) -> float:
    """Return the frequency-weighted IoU of a confusion matrix `[C, C]`; 0 without pixels."""
    overlaps = overlap_scores(counts.numpy())["IoU"]
    total = int(counts.sum())
    parts = zip(counts.sum(dim=1).tolist(), overlaps, strict=True)
    return sum(gold * (overlap or 0.0) for gold, overlap in parts) / total if total else 0.0


class SegmentationMetrics:
    """Count what the metrics of masks need, and give them by their names in metrics.json.

    Args:
        num_classes: C.
    """

    def __init__(self, num_classes: int) -> None:
        self._num_classes = num_classes
        self.confusion_matrix = ConfusionMatrix()

    def __call__(self, predicted: Tensor, gold: Tensor, mask: Tensor) -> None:
        """Add a batch.

        Args:
            predicted: The class of each pixel, int64 `[B, H, W]`.
            gold: The right class of each pixel, int64 `[B, H, W]`.
            mask: The pixels that count, bool `[B, H, W]`.
        """
        self.confusion_matrix.count(predicted, gold, self._num_classes, mask)

    def values(self, class_names: Sequence[str], reset: bool = False) -> dict[str, Any]:
        """Return the metrics of the pixels so far, all of them JSON.

        Args:
            class_names: A name for each class.
            reset: Whether to begin anew afterwards.
        """
        counts = self.confusion_matrix.state()
        if counts is None:
            counts = torch.zeros((self._num_classes, self._num_classes), dtype=torch.int64)
        if reset:
            self.confusion_matrix.reset()
        overlaps = overlap_scores(counts.numpy())
        total = int(counts.sum())
        return {
            "miou": mean_of_known(overlaps["IoU"]) or 0.0,
            "accuracy": int(counts.trace()) / total if total else 0.0,
            "mean_dice": mean_of_known(overlaps["dice"]) or 0.0,
            "frequency_weighted_iou": frequency_weighted_iou(counts),
            "per_class_iou": dict(zip(class_names, overlaps["IoU"], strict=True)),
            "per_class_dice": dict(zip(class_names, overlaps["dice"], strict=True)),
        }
