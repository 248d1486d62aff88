"""ProbCover, MaxHerding and Uncertainty Herding: one greedy coverage with three kernels."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from overrides import overrides

from allencv_al.common.feature_scaling import FeatureScalingKind
from allencv_al.selection.pool.unlabeled_pool import FloatArray, Pool
from allencv_al.selection.selection import Picks
from allencv_al.selection.strategies.base import Part, PositiveFloat, PositiveInt, QueryStrategy
from allencv_al.selection.strategies.shared.calibration import fitted_temperature
from allencv_al.selection.strategies.shared.canonical_rows import CanonicalRows
from allencv_al.selection.strategies.shared.kernel_coverage import (
    Kernel,
    KernelCoverage,
    lazy_greedy,
    neighbor_distance,
    pure_radius,
    smallest_labeled_distance,
)
from allencv_al.selection.strategies.uncertainty import (
    Entropy,
    LeastConfidence,
    Margin,
    UncertaintyStrategy,
)

_UNCERTAINTIES: dict[str, type[UncertaintyStrategy]] = {
    "margin": Margin,
    "entropy": Entropy,
    "least_confidence": LeastConfidence,
}


_MOST_HALVINGS = 8  # to a radius of 1/256, far below the distances of different images


class CoverageStrategy(QueryStrategy):
    """Takes the items that, with the labeled ones, cover the pool best.

    Each pick is the item u of the highest Σ_x w_x · max(0, k(x, u) − m_x), which is its score: the
    gain in coverage, where m_x is the coverage of x by the labeled and picked items.

    Args:
        max_references: The number of items whose coverage counts; of a larger pool a random sample,
            with scores scaled up to the pool.
        max_candidates: The number of items that may be picked; of a larger pool a random sample.
        scaling: The scaling of the embeddings, by the statistics of the pool.
        memory_budget_mb: Memory for a block of intermediate results, in MiB; the result is the same
            for every value. Distances are computed in blocks of 256 items and the references,
            10 MB each, whatever it is.
    """

    needs = frozenset({"embeddings"})

    def __init__(
        self,
        max_references: PositiveInt = 10_000,
        max_candidates: PositiveInt = 50_000,
        scaling: FeatureScalingKind = "standardize_l2",
        memory_budget_mb: PositiveFloat = 512.0,
    ) -> None:
        super().__init__(memory_budget_mb)
        self.max_references = max_references
        self.max_candidates = max_candidates
        self.scaling = scaling

    @overrides
    def _pick(self, pool: Pool, count: int, seed: int) -> Picks:
        rows = CanonicalRows(pool, seed, self.scaling)
        references = min(len(pool), self.max_references)
        candidates = min(len(pool), max(self.max_candidates, count))
        weights = self._weights(pool, rows)
        if weights is not None:
            weights = weights[rows.order[:references]]
        scale = len(pool) / references
        picks: list[int] = []
        gains: list[float] = []
        reasons: list[dict[str, Any]] = []
        kernels = self._kernels(pool, rows, seed)
        for number, kernel in enumerate(kernels, 1):
            coverage = KernelCoverage(rows, references, kernel, weights)
            for position in picks:
                coverage.choose(position)
            last = number == len(kernels)
            if not last and coverage.share() == 1:
                continue
            for position, gain in lazy_greedy(coverage, candidates, count - len(picks), picks):
                if gain <= 0 and not last:
                    break
                picks.append(position)
                gains.append(gain * scale)
                reasons.append({**self._reason(gain * scale), "coverage": coverage.share()})
            if len(picks) == count:
                break
        return Picks(rows.order[picks], np.array(gains, np.float32), tuple(reasons))

    @abstractmethod
    def _kernels(self, pool: Pool, rows: CanonicalRows, seed: int) -> Sequence[Kernel]:
        """Return the kernel k, and those that take its place in turn once nothing gains by it."""

    def _weights(self, pool: Pool, rows: CanonicalRows) -> NDArray[np.float32] | None:
        """Return the weight of the coverage of each item, `[N]`; None for 1."""
        return None

    def _reason(self, gain: float) -> dict[str, Any]:
        return {"coverage_gain": gain}


@QueryStrategy.register("prob_cover")
class ProbCover(CoverageStrategy):
    """Takes the item with the most uncovered items nearer than a radius; for a cold start.

    An item is covered if a labeled or picked item is nearer than the radius. Once all are covered,
    a radius of its own choice is halved; picks by a given `radius` are random, as in the paper.
    Yehuda, Dekel, Hacohen & Weinshall, "Active learning through a covering lens",
    NeurIPS 2022, arXiv 2205.11320.

    Args:
        radius: The radius δ, in the units of the embeddings. Null: the largest at which a share
            `purity` of the balls hold only items of one pseudo-class, as in the paper.
        purity: That share; the paper takes 0.95.
        num_classes: The number of pseudo-classes that k-means finds. Null: the number of classes in
            the labels or logits of the pool, 10 if it has neither.
        max_references: The number of items whose coverage counts; of a larger pool a random sample,
            with scores scaled up to the pool.
        max_candidates: The number of items that may be picked; of a larger pool a random sample.
        scaling: The scaling of the embeddings, by the statistics of the pool. Null:
            `standardize_l2`, or `none` where `radius` is given, in the units of the embeddings.
        memory_budget_mb: Memory for a block of intermediate results, in MiB; the result is the same
            for every value. Distances are computed in blocks of 256 items and the references,
            10 MB each, whatever it is.
    """

    def __init__(
        self,
        radius: PositiveFloat | None = None,
        purity: Part = 0.95,
        num_classes: PositiveInt | None = None,
        max_references: PositiveInt = 10_000,
        max_candidates: PositiveInt = 50_000,
        scaling: FeatureScalingKind | None = None,
        memory_budget_mb: PositiveFloat = 512.0,
    ) -> None:
        super().__init__(
            max_references,
            max_candidates,
            scaling or _scaling_for(radius),
            memory_budget_mb,
        )
        self.radius = radius
        self.purity = purity
        self.num_classes = num_classes

    @overrides
    def _kernels(self, pool: Pool, rows: CanonicalRows, seed: int) -> Sequence[Kernel]:
        if self.radius is not None:
            return [_ball(self.radius)]
        classes = self.num_classes or _classes_of(pool)
        radius = pure_radius(rows, classes, self.purity, seed)
        return [_ball(radius / 2**halvings) for halvings in range(_MOST_HALVINGS + 1)]

    @overrides
    def _reason(self, gain: float) -> dict[str, Any]:
        return {"newly_covered": round(gain)}


@QueryStrategy.register("max_herding")
class MaxHerding(CoverageStrategy):
    """Takes the items whose Gaussian kernels cover the pool best; for a cold start and few labels.

    k(x, u) = exp(−‖x − u‖² / (2 σ²)). Bae, Noh & Sutherland, "Generalized coverage for more robust
    low-budget active learning", ECCV 2024, arXiv 2407.12212.

    Args:
        bandwidth: σ, in the units of the embeddings. Null: the median distance of an item to its
            `neighbor`-th nearest neighbor.
        neighbor: Rank of that neighbor, from 1.
        max_references: The number of items whose coverage counts; of a larger pool a random sample,
            with scores scaled up to the pool.
        max_candidates: The number of items that may be picked; of a larger pool a random sample.
        scaling: The scaling of the embeddings, by the statistics of the pool. Null:
            `standardize_l2`, or `none` where `bandwidth` is given, in the units of the embeddings.
        memory_budget_mb: Memory for a block of intermediate results, in MiB; the result is the same
            for every value. Distances are computed in blocks of 256 items and the references,
            10 MB each, whatever it is.
    """

    def __init__(
        self,
        bandwidth: PositiveFloat | None = None,
        neighbor: PositiveInt = 20,
        max_references: PositiveInt = 10_000,
        max_candidates: PositiveInt = 50_000,
        scaling: FeatureScalingKind | None = None,
        memory_budget_mb: PositiveFloat = 512.0,
    ) -> None:
        super().__init__(
            max_references,
            max_candidates,
            scaling or _scaling_for(bandwidth),
            memory_budget_mb,
        )
        self.bandwidth = bandwidth
        self.neighbor = neighbor

    @overrides
    def _kernels(self, pool: Pool, rows: CanonicalRows, seed: int) -> Sequence[Kernel]:
        bandwidth = self.bandwidth or self._fitted_bandwidth(rows)
        factor = -0.5 / bandwidth**2

        def gaussian(distances: FloatArray) -> FloatArray:
            distances *= factor
            return np.exp(distances, out=distances)

        return [Kernel(bandwidth, gaussian)]

    def _fitted_bandwidth(self, rows: CanonicalRows) -> float:
        return neighbor_distance(rows, self.neighbor)


@QueryStrategy.register("uncertainty_herding")
class UncertaintyHerding(MaxHerding):
    """Takes the items whose Gaussian kernels best cover the items that the model is unsure of.

    MaxHerding, with the coverage of each item weighted by its uncertainty. Bae, Oliveira
    & Sutherland, "Uncertainty herding: one active learning method for all label budgets", ICLR
    2025, arXiv 2412.20644.

    Args:
        uncertainty: The score of the softmax that is the weight.
        temperature: Divisor of the logits before softmax. Null: the one that calibrates the model,
            estimated from the labels; with few labels the weights are nearly equal.
        bandwidth: σ, in the units of the embeddings. Null: the smallest distance between two
            labeled items divided by √2, as in the paper, and at least the median distance of an
            item to its nearest neighbor; without two labels as for `max_herding`.
        neighbor: Rank of the neighbor whose distance is the bandwidth without labels, from 1.
        max_references: The number of items whose coverage counts; of a larger pool a random sample,
            with scores scaled up to the pool.
        max_candidates: The number of items that may be picked; of a larger pool a random sample.
        scaling: The scaling of the embeddings, by the statistics of the pool. Null:
            `standardize_l2`, or `none` where `bandwidth` is given, in the units of the embeddings.
        memory_budget_mb: Memory for a block of intermediate results, in MiB; the result is the same
            for every value. Distances are computed in blocks of 256 items and the references,
            10 MB each, whatever it is.
    """

    needs = frozenset({"logits", "embeddings"})
    reads_scores = True

    def __init__(
        self,
        uncertainty: Literal["margin", "entropy", "least_confidence"] = "margin",
        temperature: PositiveFloat | None = None,
        bandwidth: PositiveFloat | None = None,
        neighbor: PositiveInt = 20,
        max_references: PositiveInt = 10_000,
        max_candidates: PositiveInt = 50_000,
        scaling: FeatureScalingKind | None = None,
        memory_budget_mb: PositiveFloat = 512.0,
    ) -> None:
        super().__init__(
            bandwidth, neighbor, max_references, max_candidates, scaling, memory_budget_mb
        )
        self.uncertainty = uncertainty
        self.temperature = temperature

    @overrides
    def _weights(self, pool: Pool, rows: CanonicalRows) -> NDArray[np.float32]:
        temperature = self.temperature or fitted_temperature(pool, rows)
        strategy = _UNCERTAINTIES[self.uncertainty](
            temperature=temperature,
            aggregate=self.aggregate,
            memory_budget_mb=self.memory_budget_mb,
        )
        return strategy.score(pool)

    @overrides
    def _fitted_bandwidth(self, rows: CanonicalRows) -> float:
        least = smallest_labeled_distance(rows)
        if least is None:
            return super()._fitted_bandwidth(rows)
        # The paper's kernel is exp(-d²/h²), so σ = h/√2. Labeled near duplicates would make a
        # kernel that covers nothing but themselves
        return max(least / math.sqrt(2), neighbor_distance(rows, 1))


def _ball(radius: float) -> Kernel:
    square = radius**2
    return Kernel(radius, lambda distances: (distances < square).astype(np.float32))


def _scaling_for(distance: float | None) -> FeatureScalingKind:
    """Return the default scaling: a given distance is one between embeddings as they are."""
    return "standardize_l2" if distance is None else "none"


def _classes_of(pool: Pool) -> int:
    if pool.labeled_labels is not None and len(pool.labeled_labels):
        known = len(np.unique(pool.labeled_labels))
    else:
        known = 0
    in_logits = 0 if pool.logits is None else pool.logits.shape[1]
    return max(known, in_logits) or 10
