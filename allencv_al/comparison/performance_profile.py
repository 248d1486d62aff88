"""Performance profiles: how often a strategy is within a factor of the best (Dolan & Moré 2002)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from allencv_al.active_learning.rounds.curves import CurveTable, FloatArray


@dataclass(frozen=True, eq=False)
class PerformanceProfile:
    """The distance of each strategy from the best, problem by problem.

    A problem is one label count of one seed; its cost is the error, 1 - accuracy.

    Args:
        strategies: Their names.
        ratios: The error divided by the smallest error of any strategy on that problem,
            `[strategies, problems]`; infinite where only others made no error.
        seeds: How many seeds all strategies have; the problems are theirs.
    """

    strategies: tuple[str, ...]
    ratios: FloatArray
    seeds: int

    def shares(self, tau: ArrayLike) -> FloatArray:
        """Return rho: for each strategy the share of problems with a ratio of at most `tau`.

        Args:
            tau: Factors of at least 1, `[T]`.

        Returns:
            Shares `[strategies, T]`.
        """
        factors = np.atleast_1d(np.asarray(tau, dtype=np.float64))
        ordered = np.sort(self.ratios, axis=1)
        counts = [np.searchsorted(row, factors, side="right") for row in ordered]
        shares: FloatArray = np.stack(counts) / max(self.ratios.shape[1], 1)
        return shares

    def factors(self, points: int = 101) -> FloatArray:
        """Return factors to draw it at, from 1 to where 99 % of all ratios are, `[points]`."""
        finite = self.ratios[np.isfinite(self.ratios)]
        top = float(np.percentile(finite, 99)) if finite.size else 1.0
        return np.linspace(1.0, max(top, 1.05), points)


def performance_profile(table: CurveTable) -> PerformanceProfile:
    """Compare the errors of all strategies over the label counts and seeds that all have."""
    seeds = table.common_seeds(*table.strategies)
    errors = np.stack([1 - table.rows(name, seeds).ravel() for name in table.strategies])
    best = errors.min(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(best > 0, errors / best, np.where(errors > 0, np.inf, 1.0))
    return PerformanceProfile(table.strategies, ratios, len(seeds))
