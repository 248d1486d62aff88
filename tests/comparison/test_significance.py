"""The bootstrap; paired tests against SciPy, enumeration and the literature."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from allencv_al.common.errors import DataError
from allencv_al.comparison.significance import (
    ALPHA,
    Bootstrap,
    holm,
    mean_band,
    paired_comparison,
    paired_t,
    seeds_needed,
)


@pytest.mark.parametrize("n", [2, 3, 6, 10, 20, 40])
def test_both_tests_are_those_of_scipy_where_nothing_ties(n: int) -> None:
    generator = np.random.default_rng(n)
    a, b = generator.normal(0.86, 0.01, n), generator.normal(0.85, 0.01, n)
    found = paired_comparison(a, b)
    t = stats.ttest_rel(a, b)
    assert found.t_statistic == pytest.approx(t.statistic, rel=1e-6)
    assert found.t_p_value == pytest.approx(t.pvalue, rel=1e-6)
    assert found.confidence == pytest.approx(tuple(t.confidence_interval()), rel=1e-6)
    rank = stats.wilcoxon(a - b, method="exact")
    assert found.wilcoxon_statistic == rank.statistic
    assert found.wilcoxon_p_value == pytest.approx(rank.pvalue, rel=1e-9)
    assert found.mean_difference == pytest.approx((a - b).mean())
    assert found.sd_difference == pytest.approx(np.std(a - b, ddof=1))
    assert (found.wins, found.ties, found.losses) == ((a > b).sum(), 0, (a < b).sum())


@given(st.lists(st.integers(-3, 3), min_size=2, max_size=9))
def test_wilcoxon_is_exact_with_ties_and_zeros(tenths: list[int]) -> None:
    found = paired_comparison(np.array(tenths) / 10 + 0.2, np.full(len(tenths), 0.2))
    nonzero = np.array([value for value in tenths if value != 0])
    ranks = stats.rankdata(np.abs(nonzero)) if len(nonzero) else np.zeros(0)
    observed = min(ranks[nonzero > 0].sum(), ranks[nonzero < 0].sum())
    sums = [
        sum(rank for rank, sign in zip(ranks, signs, strict=True) if sign)
        for signs in itertools.product([False, True], repeat=len(ranks))
    ]
    extreme = sum(min(one, ranks.sum() - one) <= observed for one in sums)
    assert found.wilcoxon_p_value == pytest.approx(extreme / len(sums))
    assert found.ties == tenths.count(0)


def test_twenty_wins_have_the_p_of_twenty_wins() -> None:
    found = paired_comparison(np.linspace(0.8, 0.9, 20), np.linspace(0.75, 0.84, 20))
    assert found.wilcoxon_p_value == pytest.approx(1.9e-06, rel=0.01)  # 2 / 2^20


def test_equal_values_are_no_evidence() -> None:
    found = paired_comparison([0.8, 0.9, 0.7], [0.8, 0.9, 0.7])
    assert (found.t_statistic, found.t_p_value) == (0.0, 1.0)
    assert found.wilcoxon_p_value == 1.0
    assert found.sd_difference == 0.0
    assert (found.wins, found.ties, found.losses) == (0, 3, 0)


def test_values_that_differ_by_rounding_alone_are_equal() -> None:
    found = paired_comparison([0.1 + 0.2, 0.5], [0.3, 0.5])
    assert found.ties == 2
    assert found.t_p_value == 1.0


def test_a_difference_that_never_varies_allows_no_t_test() -> None:
    found = paired_comparison(np.array([0.1, 0.2, 0.7]) + 0.1, [0.1, 0.2, 0.7])
    assert (found.t_statistic, found.t_p_value, found.confidence) == (None, None, None)
    assert found.sd_difference == 0.0
    assert found.wilcoxon_p_value == pytest.approx(0.25)


def test_one_seed_has_a_difference_and_no_test() -> None:
    found = paired_comparison([0.8], [0.7])
    assert found.mean_difference == pytest.approx(0.1)
    assert found.sd_difference is None
    assert found.confidence is None
    assert found.t_p_value is None
    assert found.wilcoxon_p_value is None
    assert found.smallest_wilcoxon_p == 1.0


def test_unpaired_values_are_refused() -> None:
    with pytest.raises(DataError, match=r"two rows of one length, not \(2,\) and \(3,\)"):
        paired_comparison([1, 2], [1, 2, 3])
    with pytest.raises(DataError, match="two rows"):
        paired_comparison([], [])


@pytest.mark.parametrize(("n", "reaches"), [(2, False), (5, False), (6, True)])
def test_whether_wilcoxon_can_be_significant_is_what_scipy_gives_for_all_wins(
    n: int, reaches: bool
) -> None:
    differences = np.arange(1, n + 1) / 100
    found = paired_comparison(differences, np.zeros(n))
    smallest = stats.wilcoxon(differences, method="exact").pvalue
    assert found.smallest_wilcoxon_p == pytest.approx(smallest)
    assert (found.smallest_wilcoxon_p <= ALPHA) is reaches
    assert bool(smallest < 0.05) is reaches


def test_the_seeds_needed_are_the_fewest_that_reach_the_level() -> None:
    assert seeds_needed() == 6
    for comparisons in range(1, 30):
        n = seeds_needed(comparisons)
        assert comparisons * 2 / 2**n <= 0.05 < comparisons * 2 / 2 ** (n - 1)


def test_the_t_test_of_many_columns_is_that_of_each() -> None:
    differences = np.random.default_rng(0).normal(size=(7, 4, 3))
    t, p = paired_t(differences)
    expected = stats.ttest_1samp(differences, 0)
    assert t == pytest.approx(expected.statistic)
    assert p == pytest.approx(expected.pvalue)


def test_holm_gives_the_values_of_the_textbook() -> None:
    # The worked example of the article on the Holm-Bonferroni method in Wikipedia
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.03]) == [0.03]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=7))
def test_holm_is_the_closed_test_of_bonferroni(p_values: list[float]) -> None:
    # An independent definition: a hypothesis falls when Bonferroni rejects every set it is in
    everyone = range(len(p_values))
    sets = [s for size in everyone for s in itertools.combinations(everyone, size + 1)]
    expected = [
        max(min(1.0, len(s) * min(p_values[j] for j in s)) for s in sets if index in s)
        for index in everyone
    ]
    assert holm(p_values) == pytest.approx(expected)
    assert all(not math.isnan(p) for p in holm(p_values))


def test_the_band_of_many_seeds_is_that_of_the_normal_law() -> None:
    values = np.random.default_rng(0).normal(0.8, 0.02, size=(100, 3))
    band = mean_band(values, Bootstrap(resamples=20_000))
    assert band is not None
    half = 1.96 * values.std(axis=0) / np.sqrt(100)
    assert band[0] == pytest.approx(values.mean(axis=0) - half, abs=2e-4)
    assert band[1] == pytest.approx(values.mean(axis=0) + half, abs=2e-4)


def test_two_seeds_have_the_band_between_them_and_one_has_none() -> None:
    low, high = mean_band(np.array([[0.2, 0.5], [0.4, 0.5]]), Bootstrap()) or (None, None)
    assert low == pytest.approx([0.2, 0.5])
    assert high == pytest.approx([0.4, 0.5])
    assert mean_band(np.array([[0.2, 0.5]]), Bootstrap()) is None


def test_resamples_are_as_large_as_the_sample_and_the_same_for_one_seed() -> None:
    weights = Bootstrap(resamples=500, seed=1).weights(4)
    assert weights.sum(axis=1) == pytest.approx(np.ones(500))
    assert (weights * 4 == np.rint(weights * 4)).all()
    assert (weights == Bootstrap(resamples=500, seed=1).weights(4)).all()
    assert (weights != Bootstrap(resamples=500, seed=2).weights(4)).any()
    # Of four draws with replacement one misses a given seed with probability (3/4)^4
    assert (weights == 0).mean() == pytest.approx((3 / 4) ** 4, abs=0.04)
