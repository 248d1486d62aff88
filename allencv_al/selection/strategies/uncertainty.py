"""Uncertainty of one model: pointwise scores of the softmax of its logits."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from overrides import overrides

from allencv_al.common.errors import ConfigurationError
from allencv_al.selection.pool.unlabeled_pool import FloatArray, Pool
from allencv_al.selection.strategies.base import PositiveFloat, QueryStrategy
from allencv_al.selection.strategies.shared.softmax import (
    cached_blocks,
    prediction_reasons,
    shifted,
    softmax,
)
from allencv_al.tasks.base import LabelTask
from allencv_al.tasks.score_axes import AGGREGATES, UNIT_SCORES, Aggregate

_BYTES_PER_LOGIT = 16  # the block itself and its intermediates


class UncertaintyStrategy(QueryStrategy):
    """Scores each item by the softmax of its logits, p(1) ≥ p(2) ≥ …; higher is less sure.

    Where an image has several classes, masks or boxes, the scores of its classes, pixels or boxes
    make one.

    Args:
        temperature: Divisor of the logits before softmax; above 1 makes an overconfident
            model less so (fit it on validation data). For one class per image only.
        aggregate: The way from the scores of an image's pixels, boxes or classes to its own:
            "mean", "sum", "max", or "top", the mean of the highest (1 % of the pixels, 10 boxes, 1
            class). Default: the mean over pixels, the sum over boxes and classes.
        memory_budget_mb: Memory for a block of intermediate results, in MiB; the result is the same
            for every value.
    """

    needs = frozenset({"logits"})
    measure: ClassVar[str | None] = None
    """The one of `UNIT_SCORES` that is this score of pixels, boxes or classes."""

    def __init__(
        self,
        temperature: PositiveFloat = 1.0,
        aggregate: Aggregate | None = None,
        memory_budget_mb: PositiveFloat = 512.0,
    ) -> None:
        super().__init__(memory_budget_mb)
        self.temperature = temperature
        self.aggregate = aggregate

    @overrides
    def fitted(self, task: LabelTask) -> Self:
        fitted = super().fitted(task)
        if fitted is not self and self.temperature != 1:
            raise ConfigurationError(
                f'temperature: expected none with labels of the kind "{task.name()}", whose scores '
                f"the model reduces; found {self.temperature}"
            )
        return fitted

    @overrides
    def score(self, pool: Pool) -> NDArray[np.float32]:
        logits = pool.logits
        if logits is None:
            return self._of_units(pool)
        scores = np.empty(len(logits), np.float32)
        for rows in cached_blocks(self, len(logits), logits.shape[1] * _BYTES_PER_LOGIT):
            shifts = shifted(logits[rows], self.temperature)
            scores[rows] = self._score_block(_odds_of_the_others(shifts), shifts)
        return scores

    @overrides
    def _reasons(self, pool: Pool, indices: NDArray[np.int64]) -> tuple[dict[str, Any], ...]:
        logits = pool.logits
        if logits is None:
            return self._unit_reasons(pool, indices)
        return prediction_reasons(indices, lambda some: softmax(logits[some], self.temperature)[0])

    def _of_units(self, pool: Pool) -> NDArray[np.float32]:
        assert pool.scores is not None and self.measure is not None
        column = AGGREGATES.index(self.aggregate or "mean")
        scores = pool.scores[:, UNIT_SCORES.index(self.measure), column]
        return np.ascontiguousarray(scores, dtype=np.float32)

    def _unit_reasons(self, pool: Pool, indices: NDArray[np.int64]) -> tuple[dict[str, Any], ...]:
        assert pool.scores is not None
        column = AGGREGATES.index(self.aggregate or "mean")
        rows = pool.scores[indices][:, :, column]
        return tuple(dict(zip(UNIT_SCORES, row.tolist(), strict=True)) for row in rows)

    @abstractmethod
    def _score_block(self, odds: FloatArray, shifts: FloatArray) -> FloatArray:
        """Return the scores of a block, `[n]`.

        Args:
            odds: p(c) / p(1) of each class, `[C, n]`, but 0 for the likeliest.
            shifts: The logarithm of that, 0 for the likeliest.
        """


def _odds_of_the_others(shifts: FloatArray) -> FloatArray:
    """Return e^shifts with 0 for the likeliest class (for one of them, where several tie).

    So no digit is lost where a model is nearly certain and the other classes sum to almost 0.
    """
    odds: FloatArray = np.exp(shifts)
    likeliest = shifts == 0
    # The 1 of the likeliest class goes without rounding: 1 - p would lose the digits of small odds
    odds -= likeliest
    # Of tied classes one is the likeliest, and the others are its rivals
    tied = np.flatnonzero(likeliest.sum(axis=0) > 1)
    if len(tied):
        odds[:, tied] += likeliest[:, tied]
        odds[likeliest[:, tied].argmax(axis=0), tied] = 0
    return odds


@QueryStrategy.register("least_confidence")
class LeastConfidence(UncertaintyStrategy):
    """Prefers items whose likeliest class is least likely: 1 − p(1).

    Lewis & Gale, "A sequential algorithm for training text classifiers", SIGIR 1994.
    """

    measure = "least_confidence"
    reads_scores = True

    @overrides
    def _score_block(self, odds: FloatArray, shifts: FloatArray) -> FloatArray:
        rest = odds.sum(axis=0)
        scores: FloatArray = rest / (1 + rest)
        return scores


@QueryStrategy.register("margin")
class Margin(UncertaintyStrategy):
    """Prefers items whose two likeliest classes are nearly tied: 1 − (p(1) − p(2)).

    Scheffer, Decomain & Wrobel, "Active hidden Markov models for information extraction",
    IDA 2001.
    """

    measure = "margin"
    reads_scores = True

    @overrides
    def _score_block(self, odds: FloatArray, shifts: FloatArray) -> FloatArray:
        rest = odds.sum(axis=0)
        scores: FloatArray = (rest + odds.max(axis=0)) / (1 + rest)
        return scores


@QueryStrategy.register("ratio")
class Ratio(UncertaintyStrategy):
    """Prefers items whose runner-up is nearly as likely as the likeliest class: p(2) / p(1).

    Settles, "Active learning literature survey", 2009.
    """

    @overrides
    def _score_block(self, odds: FloatArray, shifts: FloatArray) -> FloatArray:
        runner_up: FloatArray = odds.max(axis=0)
        return runner_up


@QueryStrategy.register("entropy")
class Entropy(UncertaintyStrategy):
    """Prefers items whose class probabilities are most spread: −Σ p log p, in nats.

    Shannon, "A mathematical theory of communication", 1948; Settles, "Active learning literature
    survey", 2009.

    Args:
        normalize: Whether to divide by log C, so that scores lie in 0 to 1; the picks are the same.
            For one class per image only.
        temperature: Divisor of the logits before softmax; above 1 makes an overconfident
            model less so (fit it on validation data). For one class per image only.
        aggregate: The way from the scores of an image's pixels, boxes or classes to its own:
            "mean", "sum", "max", or "top", the mean of the highest (1 % of the pixels, 10 boxes, 1
            class). Default: the mean over pixels, the sum over boxes and classes.
        memory_budget_mb: Memory for a block of intermediate results, in MiB; the result is the same
            for every value.
    """

    measure = "entropy"
    reads_scores = True

    def __init__(
        self,
        normalize: bool = False,
        temperature: PositiveFloat = 1.0,
        aggregate: Aggregate | None = None,
        memory_budget_mb: PositiveFloat = 512.0,
    ) -> None:
        super().__init__(temperature, aggregate, memory_budget_mb)
        self.normalize = normalize

    @overrides
    def _score_block(self, odds: FloatArray, shifts: FloatArray) -> FloatArray:
        rest = odds.sum(axis=0)
        # log1p keeps the entropy of a sure model, whose rest may be 1e-20
        entropies: FloatArray = np.log1p(rest) - (odds * shifts).sum(axis=0) / (1 + rest)
        classes = len(odds)
        if self.normalize and classes > 1:
            entropies /= math.log(classes)
        return entropies
