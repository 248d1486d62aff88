"""The share of images whose class is among the first k predictions."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge
from overrides import overrides
from torch import Tensor

from allencv_al.metrics.base import Metric

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
