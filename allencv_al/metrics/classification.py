"""Metrics of classifiers: accuracy, confusion matrix, calibration."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from annotated_types import Ge
from overrides import overrides
from torch import Tensor

from allencv_al.metrics.base import Metric, MetricValue
from allencv_al.metrics.scores import ratios

# How many batches' hits are added up at once: four operations for all of them, not for each. The
# hits of a batch are a byte per image.
_MOST_PENDING = 256


@Metric.register("categorical_accuracy")
class CategoricalAccuracy(Metric):
    """The share of images whose class is among the `top_k` classes of highest score.

    Between equal scores the lower class index comes first, as in argmax. A NaN counts as higher
    than the right class.

    Args:
        top_k: Number of top classes that count; 1 is the usual accuracy.

    Raises:
        ConfigurationError: `top_k` is below 1.
    """

    def __init__(self, top_k: Annotated[int, Ge(1)] = 1) -> None:
        super().__init__()
        self.top_k = top_k
        self._pending: list[Tensor] = []

    @overrides
    def get_metric(self, reset: bool = False) -> float:
        value = super().get_metric(reset)
        assert isinstance(value, float)
        return value

    @overrides
    def _update(self, predictions: Tensor, gold: Tensor) -> None:
        self._pending.append(
            predictions.argmax(-1) == gold if self.top_k == 1 else self._in_top(predictions, gold)
        )
        if len(self._pending) >= _MOST_PENDING:
            self._settle()

    @overrides
    def _settle(self) -> None:
        if not self._pending:
            return
        device = self._pending[-1].device
        hits = torch.cat([hits.to(device) for hits in self._pending])
        self._pending.clear()
        sums = self._sums_like((2,), torch.int64, hits)
        sums[0].add_(hits.sum())  # not "+=", which copies once more
        sums[1].add_(len(hits))

    @overrides
    def _value(self, sums: Tensor | None) -> float:
        correct, total = (0, 0) if sums is None else sums.tolist()
        return correct / total if total else 0.0

    def _in_top(self, predictions: Tensor, gold: Tensor) -> Tensor:
        score = predictions.gather(1, gold[:, None])
        classes = torch.arange(predictions.shape[1], device=predictions.device)
        earlier = (predictions == score) & (classes < gold[:, None])
        ahead = ~(predictions <= score) | earlier  # not ">": a NaN is ahead
        return ahead.sum(-1) < self.top_k


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


@Metric.register("expected_calibration_error")
class ExpectedCalibrationError(Metric):
    """The mean gap between confidence and accuracy (Guo et al. 2017, arXiv:1706.04599, eq. 3).

    Images are sorted into bins of equal width by the probability of the predicted class; each
    bin's `|accuracy - mean confidence|` counts by its share of the images. 0 is perfect.

    Args:
        num_bins: Number of bins over (0, 1]; 15 in the paper.
        inputs: Whether the predictions are logits, or probabilities that sum to 1.

    Raises:
        ConfigurationError: `num_bins` is below 1.
    """

    def __init__(
        self, num_bins: Annotated[int, Ge(1)] = 15, inputs: Literal["logits", "probs"] = "logits"
    ) -> None:
        super().__init__()
        self.num_bins = num_bins
        self.inputs = inputs

    @overrides
    def get_metric(self, reset: bool = False) -> float:
        value = super().get_metric(reset)
        assert isinstance(value, float)
        return value

    @overrides
    def _update(self, predictions: Tensor, gold: Tensor) -> None:
        sums = self._sums_like((self.num_bins, 3), torch.float64, predictions)
        probs = predictions.float()
        if self.inputs == "logits":
            probs = probs.softmax(-1)
        confidence, predicted = probs.max(-1)
        # Bins are closed above, as in the paper: (0, 1/M], (1/M, 2/M] ...
        bins = (confidence * self.num_bins).ceil().long() - 1
        bins = bins.clamp(0, self.num_bins - 1)
        values = torch.stack(
            [torch.ones_like(confidence), confidence, (predicted == gold).float()], dim=1
        )
        # A product with one-hot rows, because index_add_ adds in no fixed order on a GPU.
        one_hot = torch.nn.functional.one_hot(bins, self.num_bins)
        sums += one_hot.T.double() @ values.double()

    @overrides
    def _value(self, sums: Tensor | None) -> float:
        if sums is None or not sums[:, 0].any():
            return 0.0
        counts, confidence, correct = sums.T
        return float((correct - confidence).abs().sum() / counts.sum())
