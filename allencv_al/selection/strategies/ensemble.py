"""Scores from the disagreement of an ensemble's members (or passes with dropout)."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray
from overrides import overrides

from allencv_al.common.errors import ConfigurationError
from allencv_al.data.id_hash import id_hashes, id_uniforms
from allencv_al.selection.pool.unlabeled_pool import FloatArray, Pool
from allencv_al.selection.selection import Picks
from allencv_al.selection.strategies.base import PositiveFloat, QueryStrategy, highest
from allencv_al.selection.strategies.shared.softmax import (
    cached_blocks,
    members_softmax,
    prediction_reasons,
)

TINY = float(np.finfo(np.float64).tiny)
_BYTES_PER_LOGIT = 24  # up to three float64 intermediates per logit
_NOISE = 1e-12  # nats: mutual information below this is rounding
_GUMBEL_STREAM = 2**64  # seeds of ties are smaller, so the noise is independent of them


class EnsembleStrategy(QueryStrategy):
    """Scores each item by the outputs of S members; p̄ is the mean of their softmax.

    Args:
        temperature: Divisor of the logits before softmax.
        memory_budget_mb: Memory for a block of intermediate results, in MiB; the result is the same
            for every value.
    """

    needs = frozenset({"mc_logits"})

    def __init__(
        self, temperature: PositiveFloat = 1.0, memory_budget_mb: PositiveFloat = 512.0
    ) -> None:
        super().__init__(memory_budget_mb)
        self.temperature = temperature

    @overrides
    def score(self, pool: Pool) -> NDArray[np.float32] | None:
        return self._scores(pool).astype(np.float32)

    @abstractmethod
    def _scores(self, pool: Pool) -> NDArray[np.float64]:
        """Return the score of each item in float64, `[N]`."""

    @overrides
    def _reasons(self, pool: Pool, indices: NDArray[np.int64]) -> tuple[dict[str, Any], ...]:
        logits = members_logits(pool)
        return prediction_reasons(
            indices, lambda some: mean_probabilities(logits[some], self.temperature)
        )


class DisagreementStrategy(EnsembleStrategy):
    """Scores each item by its own members' outputs, a block of items at a time."""

    @overrides
    def _scores(self, pool: Pool) -> NDArray[np.float64]:
        logits = members_logits(pool)
        _, members, classes = logits.shape
        scores = np.empty(len(logits), np.float64)
        for rows in cached_blocks(self, len(logits), members * classes * _BYTES_PER_LOGIT):
            scores[rows] = self._score_block(logits[rows])
        return scores

    @abstractmethod
    def _score_block(self, block: FloatArray) -> NDArray[np.float64]:
        """Return the scores `[n]` of a block of members' logits `[n, S, C]`."""


@QueryStrategy.register("variation_ratio")
class VariationRatio(DisagreementStrategy):
    """Prefers items on which members vote differently: 1 − the share of the commonest vote.

    Freeman, "Elementary applied statistics", 1965; Gal, Islam & Ghahramani, "Deep Bayesian active
    learning with image data", ICML 2017.
    """

    @overrides
    def _score_block(self, block: FloatArray) -> NDArray[np.float64]:
        count, members, classes = block.shape
        cells = block.argmax(axis=2) + classes * np.arange(count)[:, None]
        votes = np.bincount(cells.ravel(), minlength=count * classes).reshape(count, classes)
        shares: NDArray[np.float64] = 1 - votes.max(axis=1) / members
        return shares


@QueryStrategy.register("mean_std")
class MeanStd(DisagreementStrategy):
    """Prefers items whose probabilities vary over members: the mean over classes of std_s p_sc.

    Kampffmeyer, Salberg & Jenssen, "Semantic segmentation of small objects and modeling of
    uncertainty", CVPR Workshops 2016.
    """

    @overrides
    def _score_block(self, block: FloatArray) -> NDArray[np.float64]:
        probabilities, _ = members_softmax(block, self.temperature)
        probabilities -= probabilities.mean(axis=1, keepdims=True)
        np.square(probabilities, out=probabilities)
        deviations: NDArray[np.float64] = np.sqrt(probabilities.mean(axis=1)).mean(axis=0)
        return deviations


@QueryStrategy.register("bald")
class Bald(DisagreementStrategy):
    """Prefers items on which members are sure and disagree: H[p̄] − mean of H[p_s], in nats.

    This is the mutual information of an item's label and the model's parameters. Houlsby et al.,
    "Bayesian active learning for classification and preference learning", 2011; Gal, Islam &
    Ghahramani, "Deep Bayesian active learning with image data", ICML 2017.
    """

    @overrides
    def _score_block(self, block: FloatArray) -> NDArray[np.float64]:
        return mutual_information(block, self.temperature)


@QueryStrategy.register("power_bald")
class PowerBald(Bald):
    """Draws a batch by BALD with Gumbel noise, for diversity.

    The picks are the highest of the score below plus Gumbel noise drawn from the id and the seed,
    which is sampling without replacement; i ranks from 1, the highest BALD. It costs what BALD
    costs and does about as well as BatchBALD. Kirsch et al., "Stochastic batch acquisition: a
    simple baseline for deep active learning", TMLR 2023.

    Args:
        variant: `power`: β log BALD; `softmax`: β BALD; `softrank`: −β log i.
        beta: β, the inverse temperature: 0 picks at random, a large value picks as BALD does.
        temperature: Divisor of the logits before softmax.
        memory_budget_mb: Memory for a block of intermediate results, in MiB; the result is the same
            for every value.
    """

    def __init__(
        self,
        variant: Literal["power", "softmax", "softrank"] = "power",
        beta: Annotated[float, Ge(0)] = 1.0,
        temperature: PositiveFloat = 1.0,
        memory_budget_mb: PositiveFloat = 512.0,
    ) -> None:
        super().__init__(temperature, memory_budget_mb)
        self.variant = variant
        self.beta = beta

    @overrides
    def score(self, pool: Pool) -> None:
        return None

    @overrides
    def _pick(self, pool: Pool, count: int, seed: int) -> Picks:
        bald = self._scores(pool)
        noise = -np.log(-np.log(id_uniforms(pool.ids, seed + _GUMBEL_STREAM)))
        perturbed = self.beta * self._wanted(bald, pool, seed) + noise
        indices = highest(perturbed, count, pool, seed)
        reasons = self._reasons(pool, indices)
        for index, reason in zip(indices.tolist(), reasons, strict=True):
            reason["bald"] = float(bald[index])
        return Picks(indices, perturbed[indices].astype(np.float32), reasons)

    def _wanted(self, bald: NDArray[np.float64], pool: Pool, seed: int) -> NDArray[np.float64]:
        if self.variant == "softmax":
            return bald
        if self.variant == "power":
            powers: NDArray[np.float64] = np.log(np.maximum(bald, _NOISE))
            return powers
        ranks = np.empty(len(bald))
        ranks[np.lexsort((id_hashes(pool.ids, seed), -bald))] = np.arange(1, len(bald) + 1)
        wanted: NDArray[np.float64] = -np.log(ranks)
        return wanted


def members_logits(pool: Pool) -> FloatArray:
    """Return the members' logits of the pool, `[N, S, C]`; raise if S is 0."""
    logits = pool.mc_logits
    assert logits is not None
    if not logits.shape[1]:
        raise ConfigurationError(
            f"pool.mc_logits: expected at least one member, found shape {logits.shape}"
        )
    return logits


def mean_probabilities(block: FloatArray, temperature: float) -> NDArray[np.float64]:
    """Return p̄ `[n, C]` of a block of members' logits `[n, S, C]`."""
    probabilities, _ = members_softmax(block, temperature)
    return np.ascontiguousarray(probabilities.mean(axis=1).T)


def mutual_information(block: FloatArray, temperature: float) -> NDArray[np.float64]:
    """Return BALD `[n]` of a block of members' logits `[n, S, C]`, at least 0."""
    probabilities, negative_entropies = members_softmax(block, temperature)
    mean = probabilities.mean(axis=1)
    of_mean = (mean * np.log(np.maximum(mean, TINY))).sum(axis=0)
    information: NDArray[np.float64] = negative_entropies.mean(axis=0) - of_mean
    information[information < _NOISE] = 0  # rounding noise must not decide ties
    return information
