"""Comparisons of strategies at single label counts: penalty matrix and performance profile."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from allencv_al.active_learning.rounds.curves import CurveTable, FloatArray
from allencv_al.comparison.significance import ALPHA, paired_t


@dataclass(frozen=True, eq=False)
class PenaltyMatrix:
    """Shares of the label counts at which one strategy beat another (Ash et al. 2020, BADGE).

    Each label count has a two-sided paired t test at 0.05 over the seeds that both have.

    Args:
        strategies: The rows and columns.
        shares: `[i, j]` is the share of the label counts at which i was significantly better than
            j. The smaller the numbers of its column, the more seldom a strategy is beaten.
    """

    strategies: tuple[str, ...]
    shares: FloatArray

    @property
    def penalties(self) -> FloatArray:
        """The mean of each column over the other strategies, `[S]`; small is good."""
        # A strategy is not compared with itself; one alone has no others
        others = max(len(self.strategies) - 1, 1)
        means: FloatArray = self.shares.sum(axis=0) / others
        return means


@dataclass(frozen=True, eq=False)
class PerformanceProfile:
    """Error of each strategy relative to the best, per problem (Dolan & Moré 2002).

    A problem is one label count of one seed; its cost is the error, 1 - accuracy.

    Args:
        strategies: The names.
        ratios: The error divided by the smallest error of any strategy on that problem,
            `[strategies, problems]`; infinite where only others made no error.
        seeds: Number of seeds that all strategies have; the problems are those of these seeds.
    """

    strategies: tuple[str, ...]
    ratios: FloatArray
    seeds: int

    def shares(self, tau: ArrayLike) -> FloatArray:
        """Return rho: the share of problems with a ratio of at most `tau`, for each strategy.

        Args:
            tau: Factors of at least 1, `[T]`.

        Returns:
            Shares `[strategies, T]`.
        """
        factors = np.atleast_1d(np.asarray(tau, dtype=np.float64))
        ordered = np.sort(self.ratios, axis=1)  # infinite ones come last
        counts = [np.searchsorted(row, factors, side="right") for row in ordered]
        shares: FloatArray = np.stack(counts) / max(self.ratios.shape[1], 1)
        return shares

    def factors(self, points: int = 101) -> FloatArray:
        """Return factors to draw the profile at, from 1 to the 99th percentile of the ratios."""
        finite = self.ratios[np.isfinite(self.ratios)]
        # A single very bad problem would press the others' curves to the left edge
        top = float(np.percentile(finite, 99)) if finite.size else 1.0
        return np.linspace(1.0, max(top, 1.05), points)


def penalty_matrix(table: CurveTable) -> PenaltyMatrix:
    """Return the penalty matrix of all pairs; a pair with fewer than two common seeds has zeros."""
    names = table.strategies
    shares = np.zeros((len(names), len(names)))
    for i, first in enumerate(names):
        for j, second in enumerate(names[:i]):
            seeds = table.common_seeds(first, second)
            if len(seeds) >= 2:
                # NaN, of differences that do not vary, is neither a win nor a loss
                t, p = paired_t(table.rows(first, seeds) - table.rows(second, seeds))
                shares[i, j] = ((p < ALPHA) & (t > 0)).mean()
                shares[j, i] = ((p < ALPHA) & (t < 0)).mean()
    return PenaltyMatrix(names, shares)


def performance_profile(table: CurveTable) -> PerformanceProfile:
    """Compare the errors of all strategies over the label counts and seeds that all have."""
    seeds = table.common_seeds(*table.strategies)
    errors = np.stack([1 - table.rows(name, seeds).ravel() for name in table.strategies])
    best = errors.min(axis=0)
    # If the best makes no error, another without error is as good, and any other infinitely worse
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(best > 0, errors / best, np.where(errors > 0, np.inf, 1.0))
    return PerformanceProfile(table.strategies, ratios, len(seeds))
