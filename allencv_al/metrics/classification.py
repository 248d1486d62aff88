"""Metrics of classifiers, each by itself and all together: accuracy, areas, calibration."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge
from overrides import overrides
from torch import Tensor

from allencv_al.metrics.base import Metric, MetricValue
from allencv_al.metrics.scores import mean_of_known, ratios

# How many batches' hits are added up at once: four operations for all of them, not for each. The
# hits of a batch are a byte per image.
_MOST_PENDING = 256

# Log-odds beyond these are not told apart: probabilities of 1e-7 and 1 - 1e-7
_LARGEST_ODDS = 16
# Cells of log-odds: 1/1024 wide with up to 32 classes, and 8 MB of counts at most
_MOST_CELLS = 1 << 15
_MOST_CELLS_OF_ALL = 1 << 20

Inputs = Literal["logits", "probs"]


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

    def count(
        self, predicted: Tensor, gold: Tensor, num_classes: int, mask: Tensor | None = None
    ) -> None:
        """Add predicted classes instead of scores, without waiting for the device.

        Args:
            predicted: Class indices, int64, of any shape.
            gold: The right ones, of the same shape.
            num_classes: C.
            mask: The items that count, bool, of the same shape; all by default.

        Raises:
            ValueError: A gold index that counts is none of a class; see `__call__`.
        """
        weights = torch.ones_like(gold) if mask is None else mask.to(torch.int64)
        gold = self._range.add(gold if mask is None else gold.where(mask, 0), num_classes)
        counts = self._sums_like((num_classes, num_classes), torch.int64, predicted)
        # index_add_, because bincount waits for the device.
        cells = (gold * num_classes + predicted).flatten()
        counts.view(-1).index_add_(0, cells, weights.flatten())

    @overrides
    def _update(self, predictions: Tensor, gold: Tensor) -> None:
        self.count(predictions.argmax(-1), gold, predictions.shape[1])

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


@Metric.register("balanced_accuracy")
class BalancedAccuracy(ConfusionMatrix):
    """The mean recall of the classes that have images (scikit-learn's `balanced_accuracy_score`).

    A rare class counts as much as a frequent one; predicting one class throughout gives 1/C.
    """

    @overrides
    def _value(self, sums: Tensor | None) -> float:
        return 0.0 if sums is None else balanced_accuracy(sums)


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


def per_class_precision(counts: Tensor) -> list[float | None]:
    """Return the precision of each class of a confusion matrix `[C, C]`; None if unpredicted."""
    return ratios(counts.diagonal(), counts.sum(0))


def per_class_f1(counts: Tensor) -> list[float | None]:
    """Return the F1 score of each class of a confusion matrix `[C, C]`; None if it is absent.

    A class is absent if no image is of it and none is predicted to be.
    """
    return ratios(2 * counts.diagonal(), counts.sum(0) + counts.sum(1))


def balanced_accuracy(counts: Tensor) -> float:
    """Return the mean recall of the classes with images in a confusion matrix `[C, C]`."""
    return mean_of_known(per_class_accuracy(counts)) or 0.0


@Metric.register("roc_auc")
class RocAuc(Metric):
    """For each class the area under the ROC curve of the class against all others, `[C]`.

    The probability that an image of the class has a higher score for it than an image of another
    class, equal scores counting half. None for a class that no image, or every image, is of.

    Memory does not grow with the images: scores, the log-odds `log(p / (1 - p))` of the class,
    are counted in cells from -16 to 16, 1/1024 wide with up to 32 classes and C/32768 with more,
    and scores in one cell count as equal. That moves the area by at most half the share of pairs
    of images that lie in one cell.

    Args:
        inputs: Whether the predictions are logits, or probabilities that sum to 1.
    """

    def __init__(self, inputs: Inputs = "logits") -> None:
        super().__init__()
        self.inputs = inputs

    @overrides
    def _update(self, predictions: Tensor, gold: Tensor) -> None:
        num_classes = predictions.shape[1]
        per_class = max(min(_MOST_CELLS, _MOST_CELLS_OF_ALL // num_classes), 1)
        counts = self._sums_like((2, num_classes, per_class), torch.int32, predictions)
        logits = predictions.double()
        odds = log_odds(logits if self.inputs == "logits" else logits.log())
        cells = _cells_of(odds, per_class)
        own = torch.nn.functional.one_hot(gold, num_classes)
        classes = torch.arange(num_classes, device=predictions.device)
        places = ((own * num_classes + classes) * per_class + cells).view(-1)
        counts.view(-1).index_add_(0, places, torch.ones_like(places, dtype=torch.int32))

    @overrides
    def _value(self, sums: Tensor | None) -> MetricValue:
        return [] if sums is None else roc_auc(sums)


@Metric.register("average_precision")
class AveragePrecision(RocAuc):
    """For each class the area under its precision-recall curve (PR AUC) against all others, `[C]`.

    The mean over the images of the class of the precision among all images that score as high, as
    scikit-learn's `average_precision_score`: no line is drawn between the points of the curve,
    which would be too optimistic (Davis and Goadrich 2006). By chance it is the share of the class.
    None for a class without images. Scores lie in the cells of `roc_auc`.

    Args:
        inputs: Whether the predictions are logits, or probabilities that sum to 1.
    """

    @overrides
    def _value(self, sums: Tensor | None) -> MetricValue:
        return [] if sums is None else average_precision(sums)


def log_odds(logits: Tensor) -> Tensor:
    """Return the log-odds of each class against all others together.

    Args:
        logits: `[N, C]`, float64.

    Returns:
        `log(p / (1 - p))`, `[N, C]`, float64.
    """
    log_probs = logits.log_softmax(-1)
    odds = log_probs - torch.log1p(-log_probs.exp())
    # Of the likeliest class 1 - p would cancel: the others are added up instead
    top = logits.argmax(-1, keepdim=True)
    others = logits.scatter(1, top, -torch.inf).logsumexp(-1, keepdim=True)
    return odds.scatter(1, top, logits.gather(1, top) - others)


def _cells_of(odds: Tensor, cells: int) -> Tensor:
    """Return the cell of each score, int64, from 0; that of a NaN is 0."""
    share = (odds.nan_to_num(-torch.inf) / _LARGEST_ODDS + 1) / 2
    return (share.clamp(0, 1) * cells).long().clamp(max=cells - 1)


def roc_auc(counts: Tensor) -> list[float | None]:
    """Return the area under the ROC curve of each class.

    Args:
        counts: The images of other classes and of the class itself in each cell of scores, from
            the lowest, `[2, C, K]`.
    """
    # scikit-learn's roc_auc_score takes one class at a time; all of 1,000 are one pass here
    others, own = counts.double()
    below = others.cumsum(-1) - others / 2
    return ratios((own * below).sum(-1), own.sum(-1) * others.sum(-1))


def average_precision(counts: Tensor) -> list[float | None]:
    """Return the area under the precision-recall curve of each class.

    Args:
        counts: As for `roc_auc`.
    """
    others, own = counts.double().flip(-1)
    found = own.cumsum(-1)
    precision = found / (found + others.cumsum(-1)).clamp(min=1)
    return ratios((own * precision).sum(-1), own.sum(-1))


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

    def __init__(self, num_bins: Annotated[int, Ge(1)] = 15, inputs: Inputs = "logits") -> None:
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


@Metric.register("entropy")
class MeanEntropy(Metric):
    """The mean entropy of the predicted distributions, in nats; gold values are not needed.

    The mean over all items (AllenNLP's is the mean over batches of their means, which depends on
    how items are cut into batches).
    """

    @overrides
    def __call__(self, predictions: Any, gold: Any = None, mask: Tensor | None = None) -> None:
        """Add a batch.

        Args:
            predictions: Logits `[..., C]`.
            gold: Class indices `[...]`; not needed.
            mask: The items that count, bool `[...]`; all by default.

        Raises:
            ValueError: The shapes do not match.
        """
        if gold is None:
            gold = torch.zeros(predictions.shape[:-1], dtype=torch.int64, device=predictions.device)
        super().__call__(predictions, gold, mask)

    @overrides
    def _update(self, predictions: Tensor, gold: Tensor) -> None:
        sums = self._sums_like((2,), torch.float64, predictions)
        log_probs = predictions.double().log_softmax(-1)
        # A logit of -inf has the probability 0, and 0 * log 0 counts 0
        sums[0].sub_(torch.nan_to_num(log_probs.exp() * log_probs, nan=0.0).sum())
        sums[1].add_(len(gold))

    @overrides
    def _value(self, sums: Tensor | None) -> float:
        return float(sums[0] / sums[1]) if sums is not None and sums[1] else 0.0


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
