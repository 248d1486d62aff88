"""Metrics of numbers beside gold numbers: means, errors and correlations.

Names and meanings are AllenNLP's. Where a value has no denominator it is None.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from overrides import overrides
from torch import Tensor

from allencv_al.metrics.base import Metric, MetricValue


class NumbersMetric(Metric):
    """A metric that takes two tensors of one shape, and a mask of that shape."""

    takes = "numbers"

    @overrides
    def __call__(self, predictions: Any, gold: Any = None, mask: Tensor | None = None) -> None:
        """Add a batch.

        Args:
            predictions: Numbers, of any shape.
            gold: Numbers, of the same shape.
            mask: The ones that count, bool, of the same shape; all by default.

        Raises:
            ValueError: The shapes differ.
        """
        predictions, gold = self._same_shape(predictions, gold)
        self._update(*self._masked(predictions.flatten(), gold.flatten(), mask))

    def _same_shape(self, predictions: Tensor, gold: Tensor) -> tuple[Tensor, Tensor]:
        if predictions.shape != gold.shape:
            raise self._misfit("predictions and gold of one shape", predictions, gold)
        return predictions.detach(), gold.detach()


@Metric.register("mean_absolute_error")
class MeanAbsoluteError(NumbersMetric):
    """The mean of `|prediction - gold|`."""

    @overrides
    def _update(self, predictions: Tensor, gold: Tensor) -> None:
        sums = self._sums_like((2,), torch.float64, predictions)
        sums[0].add_((predictions.double() - gold.double()).abs().sum())
        sums[1].add_(len(gold))

    @overrides
    def _value(self, sums: Tensor | None) -> MetricValue:
        return _mean(sums)


@Metric.register("boolean_accuracy")
class BooleanAccuracy(NumbersMetric):
    """The share of items whose whole prediction `[...]` equals the gold one.

    Masked values count as equal; an item with a mask of zeros only does not count.
    """

    @overrides
    def __call__(self, predictions: Any, gold: Any = None, mask: Tensor | None = None) -> None:
        """Add a batch.

        Args:
            predictions: One row per item, `[B, ...]`, of any type.
            gold: The same shape.
            mask: The values that count, bool `[B, ...]`; all by default.

        Raises:
            ValueError: The shapes differ.
        """
        predictions, gold = self._same_shape(predictions, gold)
        equal, kept = predictions == gold, None
        if mask is not None:
            if mask.shape != gold.shape:
                raise self._misfit("a mask of the shape of gold", mask, gold)
            equal = equal | ~mask.bool()
            kept = mask.bool().flatten(1).any(1) if mask.ndim > 1 else mask.bool()
        right = equal.flatten(1).all(1) if equal.ndim > 1 else equal
        self._update(right, torch.ones_like(right) if kept is None else kept)

    @overrides
    def _update(self, predictions: Tensor, gold: Tensor) -> None:
        sums = self._sums_like((2,), torch.float64, predictions)
        sums[0].add_((predictions & gold).sum())
        sums[1].add_(gold.sum())

    @overrides
    def _value(self, sums: Tensor | None) -> MetricValue:
        return _mean(sums)


@Metric.register("average")
class Average(Metric):
    """The mean of the numbers that a model's own code gives, such as parts of its loss.

    No config can name it among the metrics of a model: it has no outputs of its own to take.
    """

    takes = "value"

    @overrides
    def __call__(self, predictions: Any, gold: Any = None, mask: Tensor | None = None) -> None:
        """Add numbers.

        Args:
            predictions: A number, or a tensor of numbers.
            gold: Not used.
            mask: The numbers that count, bool; all by default.
        """
        values = torch.as_tensor(predictions).detach().flatten()
        self._update(*self._masked(values, values, mask))

    @overrides
    def _update(self, predictions: Tensor, gold: Tensor) -> None:
        sums = self._sums_like((2,), torch.float64, predictions)
        sums[0].add_(predictions.double().sum())
        sums[1].add_(len(predictions))

    @overrides
    def _value(self, sums: Tensor | None) -> MetricValue:
        return _mean(sums)


@Metric.register("covariance")
class Covariance(NumbersMetric):
    """The unbiased covariance of predictions and gold values; None below two of them.

    Means and squared differences of batches are merged as they come (Chan, Golub and LeVeque
    1983), so that large means cost no digits.
    """

    @overrides
    def _update(self, predictions: Tensor, gold: Tensor) -> None:
        pair = torch.stack([predictions.double(), gold.double()])
        # n, both means, the three sums of products of differences from them: xy, xx, yy
        moments = self._sums_like((6,), torch.float64, predictions)
        count, means, products = moments[0].clone(), moments[1:3].clone(), moments[3:]
        new = pair.shape[1]
        if not new:
            return
        new_means = pair.mean(dim=1)
        x, y = pair - new_means[:, None]
        apart = new_means - means
        total = count + new
        share = count * new / total
        products += torch.stack([(x * y).sum(), (x * x).sum(), (y * y).sum()])
        products += share * torch.stack([apart[0] * apart[1], apart[0] ** 2, apart[1] ** 2])
        moments[1:3] = means + apart * new / total
        moments[0] = total

    @overrides
    def _value(self, sums: Tensor | None) -> MetricValue:
        if sums is None or not sums[0]:
            return 0.0
        return float(sums[3] / (sums[0] - 1)) if sums[0] > 1 else None


@Metric.register("pearson_correlation")
class PearsonCorrelation(Covariance):
    """The linear correlation of predictions and gold values, -1 to 1.

    None below two of them, or where one side is constant (0 in AllenNLP).
    """

    @overrides
    def _value(self, sums: Tensor | None) -> MetricValue:
        if sums is None or not sums[0]:
            return 0.0
        products, first, second = sums[3:].tolist()
        return correlation(products, first, second)


@Metric.register("spearman_correlation")
class SpearmanCorrelation(NumbersMetric):
    """The correlation of the ranks of predictions and gold values (mean ranks where equal).

    Ranks need all values at once: they are kept, 16 bytes for each. None as for
    `pearson_correlation`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._rows = KeptRows(2)

    @overrides
    def reset(self) -> None:
        super().reset()
        self._sums = None

    @overrides
    def _update(self, predictions: Tensor, gold: Tensor) -> None:
        self._rows.add(predictions, gold)

    @overrides
    def _settle(self) -> None:
        self._sums = self._rows.joined(self._sums)

    @overrides
    def _value(self, sums: Tensor | None) -> MetricValue:
        if sums is None or not sums.shape[1]:
            return 0.0
        from scipy.stats import rankdata  # 0.5 s to import, and servers start without it

        first, second = rankdata(sums.numpy(), axis=1)
        first, second = first - first.mean(), second - second.mean()
        return correlation(first @ second, first @ first, second @ second)


class KeptRows:
    """Values of batches, kept for a metric that no sums give.

    Args:
        rows: Number of values for each item.
    """

    def __init__(self, rows: int) -> None:
        self._pending: list[Tensor] = []
        self._empty = torch.empty((rows, 0), dtype=torch.float64)

    def add(self, *rows: Tensor) -> None:
        """Keep a batch: for each row of values a tensor `[B]`."""
        self._pending.append(torch.stack([row.double() for row in rows]))

    def joined(self, before: Tensor | None) -> Tensor | None:
        """Return what was joined before and what was added since, `[rows, N]`, on the CPU."""
        if not self._pending:
            return before
        added = torch.cat(self._pending, dim=1).cpu()
        self._pending.clear()
        with torch.inference_mode(False):
            return torch.cat([self._empty if before is None else before.cpu(), added], dim=1)


def correlation(products: float, first: float, second: float) -> float | None:
    """Return a correlation from sums of products and of squares; None without variance."""
    scale = math.sqrt(first) * math.sqrt(second)
    # Rounding may leave a result beyond 1
    return max(-1.0, min(1.0, float(products / scale))) if scale else None


def _mean(sums: Tensor | None) -> float:
    return float(sums[0] / sums[1]) if sums is not None and sums[1] else 0.0
