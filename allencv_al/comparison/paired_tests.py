"""Paired tests: is one strategy better than another over the same seeds, or was it luck?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from allencv_al.common.errors import DataError

FloatArray = NDArray[np.float64]

ALPHA = 0.05
"""The chance of a false alarm that counts as small."""

# Differences of accuracies that differ by rounding alone are ties
_DECIMALS = 12


@dataclass(frozen=True)
class PairedComparison:
    """Difference of two strategies over their common seeds, with tests.

    Args:
        seeds: How many seeds there are.
        mean_difference: The mean of the differences.
        sd_difference: Their standard deviation; None for one seed.
        confidence: The 95 % confidence interval of the mean by the t distribution; None for one
            seed, and where the differences do not vary.
        t_statistic: Of the paired t test; None for one seed, and where the differences do not vary
            and are not zero.
        t_p_value: Its two-sided p; None where there is no statistic.
        wilcoxon_statistic: The smaller sum of signed ranks.
        wilcoxon_p_value: Two-sided p of Wilcoxon's signed-rank test, exact also with ties; None
            for one seed. Seeds without a difference do not count, as Wilcoxon proposed.
        smallest_wilcoxon_p: The smallest p that so many differing seeds can give.
        wins: Seeds in which the first was higher.
        ties: Seeds without a difference.
        losses: Seeds in which the second was higher.
    """

    seeds: int
    mean_difference: float
    sd_difference: float | None
    confidence: tuple[float, float] | None
    t_statistic: float | None
    t_p_value: float | None
    wilcoxon_statistic: float
    wilcoxon_p_value: float | None
    smallest_wilcoxon_p: float
    wins: int
    ties: int
    losses: int

    @property
    def wilcoxon_cannot_reach(self) -> bool:
        """Whether even the clearest result would not be significant by Wilcoxon's test."""
        return self.smallest_wilcoxon_p > ALPHA


def paired_comparison(a: ArrayLike, b: ArrayLike) -> PairedComparison:
    """Compare two values per seed; differences are `a - b`.

    Args:
        a: One value for each seed, `[n]`.
        b: The values of the other for the same seeds, `[n]`.

    Raises:
        DataError: There are none, or not as many of one as of the other.
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.ndim != 1 or first.shape != second.shape or len(first) == 0:
        raise DataError(
            f"paired values must be two rows of one length, not {first.shape} and {second.shape}"
        )
    differences = np.round(first - second, _DECIMALS)
    n, mean = len(differences), float(differences.mean())
    wins, losses = int((differences > 0).sum()), int((differences < 0).sum())
    statistic, wilcoxon_p = _signed_rank(differences)
    varies = bool((differences != differences[0]).any())
    # The deviation of equal numbers is not zero in floating point
    sd = None if n == 1 else float(differences.std(ddof=1)) if varies else 0.0
    t_value, t_p = (float(part) for part in paired_t(differences)) if n > 1 else (math.nan,) * 2
    return PairedComparison(
        seeds=n,
        mean_difference=mean,
        sd_difference=sd,
        confidence=_interval(mean, sd, n) if sd else None,
        t_statistic=t_value if math.isfinite(t_value) else None,
        t_p_value=t_p if math.isfinite(t_p) else None,
        wilcoxon_statistic=statistic,
        wilcoxon_p_value=wilcoxon_p if n > 1 else None,
        smallest_wilcoxon_p=min(1.0, 2.0 ** (1 - wins - losses)),
        wins=wins,
        ties=n - wins - losses,
        losses=losses,
    )


def paired_t(differences: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return t and the two-sided p of the paired t test along the first axis, `[n, ...]`.

    Differences that are all zero have t = 0 and p = 1. Others that do not vary have NaN for both:
    a test weighs the mean by a spread, and a few equal numbers are no evidence that there is none.
    """
    rounded = np.round(differences, _DECIMALS)
    n = len(rounded)
    mean = rounded.mean(axis=0)
    error = rounded.std(axis=0, ddof=1) / math.sqrt(n)
    # The deviation of equal numbers is not zero in floating point
    error = np.where((rounded == rounded[0]).all(axis=0), 0.0, error)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(error > 0, mean / error, np.where(mean == 0, 0.0, np.nan))
    return t, 2 * stats.t.sf(np.abs(t), n - 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p values corrected for their number by Holm's step-down method (1979).

    The corrected values keep the chance of even one false alarm among all below the level at
    which they are read: the smallest p is multiplied by their number, the next by one less, and
    none becomes smaller than the one before.
    """
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected


def seeds_needed(comparisons: int = 1, alpha: float = ALPHA) -> int:
    """Return how many differing seeds Wilcoxon's test needs to reach `alpha`.

    With n of them the smallest two-sided p is 2 / 2^n, and Holm's correction multiplies the
    smallest of several by their number.

    Args:
        comparisons: How many are corrected for.
        alpha: The level to reach.
    """
    return math.ceil(math.log2(2 * comparisons / alpha))


def _interval(mean: float, sd: float, n: int) -> tuple[float, float]:
    half = float(stats.t.ppf(1 - ALPHA / 2, n - 1)) * sd / math.sqrt(n)
    return mean - half, mean + half


def _signed_rank(differences: FloatArray) -> tuple[float, float]:
    """Return Wilcoxon's statistic and its exact two-sided p, given the ties.

    SciPy goes over to approximations where values tie, and to others from version to version.
    """
    nonzero = differences[differences != 0]
    # Tied values share the mean of their ranks; doubled, all ranks are whole
    ranks = np.rint(2 * stats.rankdata(np.abs(nonzero))).astype(np.int64)
    positive = int(ranks[nonzero > 0].sum())
    smaller = min(positive, int(ranks.sum()) - positive)
    # chances[s]: the share of the 2^n sign patterns whose positive ranks sum to s
    chances = np.zeros(int(ranks.sum()) + 1)
    chances[0] = 1.0
    for rank in ranks:
        shifted = np.zeros_like(chances)
        shifted[rank:] = chances[:-rank]
        chances = (chances + shifted) / 2
    return smaller / 2, float(min(1.0, 2 * chances[: smaller + 1].sum()))
