"""The pairwise penalty matrix: how often one strategy is significantly better than another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from allencv_al.active_learning.rounds.curves import CurveTable, FloatArray
from allencv_al.comparison.paired_tests import ALPHA, paired_t


@dataclass(frozen=True, eq=False)
class PenaltyMatrix:
    """Shares of the label counts at which one strategy beat another (Ash et al. 2020, BADGE).

    At each label count a two-sided paired t test at 0.05 over the seeds that both have.

    Args:
        strategies: The rows and columns.
        shares: `[i, j]` is the share of the label counts at which i was significantly better than
            j. A column with small numbers belongs to a strategy that is seldom beaten.
    """

    strategies: tuple[str, ...]
    shares: FloatArray

    @property
    def penalties(self) -> FloatArray:
        """The mean of each column over the other strategies: how often it is beaten, `[S]`."""
        others = max(len(self.strategies) - 1, 1)
        means: FloatArray = self.shares.sum(axis=0) / others
        return means


def penalty_matrix(table: CurveTable) -> PenaltyMatrix:
    """Count for each pair of strategies at which share of the label counts one beat the other.

    A pair with fewer than two seeds in common has zeros.
    """
    names = table.strategies
    shares = np.zeros((len(names), len(names)))
    for i, first in enumerate(names):
        for j, second in enumerate(names[:i]):
            seeds = table.common_seeds(first, second)
            if len(seeds) >= 2:
                t, p = paired_t(table.rows(first, seeds) - table.rows(second, seeds))
                shares[i, j] = ((p < ALPHA) & (t > 0)).mean()
                shares[j, i] = ((p < ALPHA) & (t < 0)).mean()
    return PenaltyMatrix(names, shares)
