"""Significance of differences between strategies: paired tests and the bootstrap over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from allencv_al.active_learning.rounds.curves import FloatArray
from allencv_al.common.errors import DataError

ALPHA = 0.05
"""Significance level: the probability of a false alarm that counts as small."""

# Accuracies that differ by rounding alone are ties
_DECIMALS = 12


@dataclass(frozen=True)
class Bootstrap:
    """Settings of the percentile bootstrap over seeds (Efron 1979).

    Args:
        resamples: Number of resamples.
        confidence: Share of the resamples inside an interval.
        seed: Seed of the generator; equal seeds give equal intervals.
    """

    resamples: int = 2000
    confidence: float = 0.95
    seed: int = 0

    def weights(self, seeds: int) -> FloatArray:
        """Return the weight of each seed in each resample, `[resamples, seeds]`.

        Equal for every caller with as many seeds, so that the resamples of two strategies are
        paired.
        """
        generator = np.random.default_rng(self.seed)
        # Counts of drawing with replacement, without the draws themselves
        counts = generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=self.resamples)
        return counts / seeds

    @property
    def tails(self) -> tuple[float, float]:
        """The percentiles at the lower and at the upper end of an interval."""
        return 50 * (1 - self.confidence), 50 * (1 + self.confidence)


@dataclass(frozen=True)
class PairedComparison:
    """Difference between two strategies over the seeds that both have.

    Args:
        seeds: Number of seeds.
        mean_difference: Mean of the differences.
        sd_difference: Their standard deviation; None for one seed.
        confidence: 95 % confidence interval of the mean by the t distribution; None for one seed,
            and where the differences do not vary.
        t_statistic: Statistic of the paired t test; None for one seed, and where the differences do
            not vary and are not zero.
        t_p_value: Its two-sided p value; None where there is no statistic.
        wilcoxon_statistic: The smaller sum of signed ranks.
        wilcoxon_p_value: Two-sided p value of Wilcoxon's signed-rank test (1945), exact also with
            ties; None for one seed. Seeds without a difference do not count, as Wilcoxon proposed.
        smallest_wilcoxon_p: Smallest attainable p value for this number of differing seeds.
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


def mean_band(values: FloatArray, bootstrap: Bootstrap) -> tuple[FloatArray, FloatArray] | None:
    """Return the bootstrap interval of the mean over seeds, or None for a single seed.

    Args:
        values: A row per seed, `[seeds, R]`.
        bootstrap: The settings.

    Returns:
        The lower and the upper end, each `[R]`.
    """
    if len(values) < 2:
        return None
    low, high = np.percentile(bootstrap.weights(len(values)) @ values, bootstrap.tails, axis=0)
    return low, high


def paired_comparison(a: ArrayLike, b: ArrayLike) -> PairedComparison:
    """Compare two values per seed; differences are `a - b`.

    Args:
        a: One value per seed, `[n]`.
        b: The values of the other strategy for the same seeds, `[n]`.

    Raises:
        DataError: The rows are empty or differ in length.
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

    Differences that are all zero have t = 0 and p = 1. Other constant differences have NaN for
    both: the test divides the mean by a spread, which a few equal numbers do not show to be zero.
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
    """Return the p values after Holm's step-down correction (1979) for multiple comparisons.

    It bounds the probability of any false alarm among all by the significance level: the smallest p
    is multiplied by their number, the next by one less, and none becomes smaller than the one
    before.
    """
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected


def seeds_needed(comparisons: int = 1, alpha: float = ALPHA) -> int:
    """Return the number of differing seeds that Wilcoxon's test needs to reach `alpha`.

    With n of them the smallest two-sided p is 2 / 2^n, and Holm's correction multiplies the
    smallest of several by their number.

    Args:
        comparisons: Number of comparisons to correct for.
        alpha: The level to reach.
    """
    return math.ceil(math.log2(2 * comparisons / alpha))


def _interval(mean: float, sd: float, n: int) -> tuple[float, float]:
    half = float(stats.t.ppf(1 - ALPHA / 2, n - 1)) * sd / math.sqrt(n)
    return mean - half, mean + half


def _signed_rank(differences: FloatArray) -> tuple[float, float]:
    """Return Wilcoxon's statistic and its exact two-sided p, given the ties.

    Not SciPy's: it approximates where values tie, and how changes from version to version.
    """
    nonzero = differences[differences != 0]
    # Tied values share the mean of their ranks; doubled, all ranks are whole
    ranks = np.rint(2 * stats.rankdata(np.abs(nonzero))).astype(np.int64)
    positive = int(ranks[nonzero > 0].sum())
    smaller = min(positive, int(ranks.sum()) - positive)
    # chances[s]: the share of the 2^n sign patterns whose positive ranks sum to s
    chances = np.zeros(int(ranks.sum()) + 1)
    # Shares, not counts: 2^n is beyond the whole numbers of a float from 54 seeds on
    chances[0] = 1.0
    for rank in ranks:
        shifted = np.zeros_like(chances)
        shifted[rank:] = chances[:-rank]
        chances = (chances + shifted) / 2
    return smaller / 2, float(min(1.0, 2 * chances[: smaller + 1].sum()))
