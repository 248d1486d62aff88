"""Precision, recall and F scores of classes and of labels, and the area under one ROC curve.

Names, parameters and meanings are AllenNLP's. A ratio without a denominator is 0 here, as there
and as with scikit-learn's `zero_division=0`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt, Interval
from overrides import overrides
from torch import Tensor

from allencv_al.metrics.base import Metric, MetricValue
from allencv_al.metrics.classification import log_odds
from allencv_al.metrics.numbers import KeptRows

Index = Annotated[int, Ge(0)]
AverageOver = Literal["micro", "macro", "weighted"]


class _Counted(Metric):
    """Hits, predictions and gold values of each class or label, `[3, C]`."""

    def _count(self, predicted: Tensor, gold: Tensor, near: Tensor) -> None:
        """Add one-hot rows `[N, C]`, bool."""
        counts = self._sums_like((3, near.shape[1]), torch.int64, near)
        counts += torch.stack([(predicted & gold).sum(0), predicted.sum(0), gold.sum(0)])


@Metric.register("fbeta")
class FBetaMeasure(_Counted):
    """Precision, recall and F score of each class: `precision`, `recall`, `fscore`.

    `(1 + beta^2) * precision * recall / (beta^2 * precision + recall)`, as scikit-learn's
    `precision_recall_fscore_support`.

    Args:
        beta: Weight of the recall beside the precision.
        average: One number instead of a list: "micro", of the counts of all classes; "macro", the
            mean over classes; "weighted", that mean by their numbers of gold items.
        labels: Indices of the classes to report, in this order. Default: all.
    """

    def __init__(
        self,
        beta: Annotated[float, Gt(0)] = 1.0,
        average: AverageOver | None = None,
        labels: list[Index] | None = None,
    ) -> None:
        super().__init__()
        self.beta = beta
        self.average = average
        self.labels = labels

    @overrides
    def _update(self, predictions: Tensor, gold: Tensor) -> None:
        count = predictions.shape[1]
        one_hot = torch.nn.functional.one_hot
        predicted = one_hot(predictions.argmax(-1), count).bool()
        self._count(predicted, one_hot(gold, count).bool(), predictions)

    @overrides
    def _value(self, sums: Tensor | None) -> MetricValue:
        counts = torch.zeros((3, 0)) if sums is None else sums.double()
        if self.labels is not None and sums is not None:
            if max(self.labels, default=0) >= counts.shape[1]:
                raise ValueError(
                    f"labels: expected indices below {counts.shape[1]}, the number of classes, "
                    f"found {max(self.labels)}"
                )
            counts = counts[:, self.labels]
        return f_scores(counts, self.beta, self.average)


@Metric.register("fbeta_multi_label")
class FBetaMultiLabelMeasure(FBetaMeasure):
    """The scores of `fbeta` where an image has any number of labels.

    Predictions are probabilities `[..., L]`; gold values `[..., L]` are 1 for a label of the image,
    0 for one that it has not, and -1 for one that was not looked for, which does not count.

    Args:
        beta: Weight of the recall beside the precision.
        average: As for `fbeta`.
        labels: Indices of the labels to report, in this order. Default: all.
        threshold: Probability from which on a label is predicted.
    """

    takes = "labels"

    def __init__(
        self,
        beta: Annotated[float, Gt(0)] = 1.0,
        average: AverageOver | None = None,
        labels: list[Index] | None = None,
        threshold: Annotated[float, Interval(ge=0, le=1)] = 0.5,
    ) -> None:
        super().__init__(beta, average, labels)
        self.threshold = threshold

    @overrides
    def __call__(self, predictions: Any, gold: Any = None, mask: Tensor | None = None) -> None:
        """Add a batch.

        Args:
            predictions: Probabilities `[..., L]`, float.
            gold: 1, 0 or -1 for each, `[..., L]`.
            mask: The items that count, bool `[...]`; all by default.

        Raises:
            ValueError: The shapes differ.
        """
        if predictions.ndim < 2 or gold.shape != predictions.shape:
            raise self._misfit("predictions and gold of one shape [..., L]", predictions, gold)
        rows = predictions.detach().flatten(0, -2), gold.flatten(0, -2)
        self._update(*self._masked(*rows, mask))

    @overrides
    def _update(self, predictions: Tensor, gold: Tensor) -> None:
        known = gold >= 0
        predicted = (predictions >= self.threshold) & known
        self._count(predicted, (gold > 0) & known, predictions)


@Metric.register("f1")
class F1Measure(_Counted):
    """Precision, recall and F1 score of one class against all others: `precision`, `recall`, `f1`.

    Args:
        positive_label: Index of the class, in the vocabulary's (sorted) order.
    """

    def __init__(self, positive_label: Index = 1) -> None:
        super().__init__()
        self.positive_label = positive_label

    @overrides
    def _update(self, predictions: Tensor, gold: Tensor) -> None:
        positive = self.positive_label
        predicted = (predictions.argmax(-1) == positive)[:, None]
        self._count(predicted, (gold == positive)[:, None], predicted)

    @overrides
    def _value(self, sums: Tensor | None) -> MetricValue:
        counts = torch.zeros((3, 1)) if sums is None else sums
        values = f_scores(counts.double(), 1.0, "micro")
        return {
            "precision": values["precision"],
            "recall": values["recall"],
            "f1": values["fscore"],
        }


@Metric.register("auc")
class Auc(Metric):
    """The area under the ROC curve of one class against all others.

    Exact, as scikit-learn's `roc_auc_score`: all scores are kept, 16 bytes for each (`roc_auc` has
    all classes in memory that does not grow). Predictions are logits `[..., C]`, or the scores
    `[N]` of the class alone. None where all items, or none, are of the class.

    Args:
        positive_label: Index of the class, in the vocabulary's (sorted) order.
    """

    def __init__(self, positive_label: Index = 1) -> None:
        super().__init__()
        self.positive_label = positive_label
        self._rows = KeptRows(2)

    @overrides
    def __call__(self, predictions: Any, gold: Any = None, mask: Tensor | None = None) -> None:
        """Add a batch.

        Args:
            predictions: Logits `[..., C]`, or scores `[N]`.
            gold: Class indices `[...]`, or `[N]`.
            mask: The items that count, bool; all by default.

        Raises:
            ValueError: The shapes do not match, or a class index is out of range.
        """
        if predictions.shape != gold.shape:
            super().__call__(predictions, gold, mask)
            return
        scores, gold = self._masked(predictions.detach().flatten(), gold.flatten(), mask)
        self._rows.add(scores, gold == self.positive_label)

    @overrides
    def reset(self) -> None:
        super().reset()
        self._sums = None

    @overrides
    def _update(self, predictions: Tensor, gold: Tensor) -> None:
        if self.positive_label >= predictions.shape[1]:
            raise ValueError(
                f"positive_label: expected an index below {predictions.shape[1]}, the number of "
                f"classes, found {self.positive_label}"
            )
        scores = log_odds(predictions.double())[:, self.positive_label]
        self._rows.add(scores, gold == self.positive_label)

    @overrides
    def _settle(self) -> None:
        self._sums = self._rows.joined(self._sums)

    @overrides
    def _value(self, sums: Tensor | None) -> MetricValue:
        if sums is None or not sums.shape[1]:
            return 0.0
        scores, gold = sums.numpy()
        if gold.min() == gold.max():
            return None
        from sklearn.metrics import roc_auc_score  # 1 s to import

        return float(roc_auc_score(gold, scores.clip(-1e300, 1e300)))


def f_scores(counts: Tensor, beta: float, average: AverageOver | None) -> dict[str, Any]:
    """Return precision, recall and F score.

    Args:
        counts: Hits, predictions and gold values of each class, float `[3, C]`.
        beta: See `FBetaMeasure`.
        average: See `FBetaMeasure`.

    Returns:
        `precision`, `recall` and `fscore`: a number each, or a list of C.
    """
    support = counts[2]
    if average == "micro":
        counts = counts.sum(dim=1, keepdim=True)
    hits, predicted, gold = counts
    square = beta**2
    values = {
        "precision": _ratio(hits, predicted),
        "recall": _ratio(hits, gold),
        "fscore": _ratio((1 + square) * hits, square * gold + predicted),
    }
    if average is None:
        return {name: value.tolist() for name, value in values.items()}
    if average == "weighted":
        weights = _ratio(support, support.sum())
        return {name: float((value * weights).sum()) for name, value in values.items()}
    return {name: float(value.mean()) if len(value) else 0.0 for name, value in values.items()}


def _ratio(parts: Tensor, wholes: Tensor) -> Tensor:
    return torch.where(wholes > 0, parts / wholes.clamp(min=1e-300), 0.0)
