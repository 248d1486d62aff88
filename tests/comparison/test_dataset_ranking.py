"""Ranks over data sets, against the tables and the example of Demšar 2006."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from allencv_al.common.errors import DataError
from allencv_al.comparison.dataset_ranking import rank_over_data_sets

# Table 6 of Demšar 2006: AUC of four variants of C4.5 on 14 UCI data sets. In the last but one the
# two of .975 have ranks 2 and 3 there, so what was rounded differed.
C45 = {
    "C4.5": "763 599 954 628 882 936 661 583 775 1000 940 619 972 957",
    "C4.5+m": "768 591 971 661 888 931 668 583 838 1000 962 666 981 978",
    "C4.5+cf": "771 590 968 654 886 916 609 563 866 1000 965 614 975.1 946",
    "C4.5+m+cf": "798 569 967 657 898 931 685 625 875 1000 962 669 975 970",
}


def test_the_published_example_is_found_again() -> None:
    columns = {name: [float(n) / 1000 for n in text.split()] for name, text in C45.items()}
    heights = {str(n): {name: columns[name][n] for name in C45} for n in range(14)}
    found = rank_over_data_sets(heights)
    ranks = dict(zip(found.strategies, found.mean_ranks, strict=True))
    assert {name: round(float(rank), 3) for name, rank in ranks.items()} == {
        "C4.5": 3.143,
        "C4.5+m": 2.0,
        "C4.5+cf": 2.893,
        "C4.5+m+cf": 1.964,
    }
    assert found.critical_difference == pytest.approx(1.25, abs=0.005)  # for p < 0.05
    # The paper's statistic is without SciPy's correction for ties, which makes it larger
    assert 12 * 14 / 20 * ((found.mean_ranks**2).sum() - 25) == pytest.approx(9.28, abs=0.01)
    assert found.friedman_p is not None and found.friedman_p < stats.chi2.sf(9.28, 3)


@pytest.mark.parametrize(("strategies", "q"), [(2, 1.960), (3, 2.343), (5, 2.728), (10, 3.164)])
def test_critical_values_are_those_of_the_published_table(strategies: int, q: float) -> None:
    heights = {str(n): {str(k): k / 100 for k in range(strategies)} for n in range(6)}
    found = rank_over_data_sets(heights)
    expected = q * np.sqrt(strategies * (strategies + 1) / 36)
    assert found.critical_difference == pytest.approx(expected, rel=5e-4)
    assert list(found.mean_ranks) == [*range(1, strategies + 1)]


def test_groups_are_those_that_the_test_does_not_tell_apart() -> None:
    order = ["a", "b", "c", "d", "e"]
    heights = {str(n): {name: -float(k) for k, name in enumerate(order)} for n in range(10)}
    found = rank_over_data_sets(heights)
    assert found.critical_difference == pytest.approx(1.929, abs=0.001)
    assert found.groups() == [("a", "b"), ("b", "c"), ("c", "d"), ("d", "e")]
    assert found.friedman_p is not None and found.friedman_p < 1e-6
    assert "Not told apart: a, b; b, c" in found.finding()
    few = rank_over_data_sets(dict(list(heights.items())[:2]))
    assert few.groups() == [tuple(order)]


def test_strategies_that_a_data_set_lacks_are_left_out_and_ties_share_a_rank() -> None:
    found = rank_over_data_sets({"x": {"a": 0.5, "b": 0.5, "c": 1.0}, "y": {"b": 0.2, "a": 0.1}})
    assert found.strategies == ("b", "a")
    assert found.ranks.tolist() == [[1.5, 1.0], [1.5, 2.0]]
    assert found.friedman_p is None
    assert found.table().rows[0] == ["b", "1.25", "50.0% (1.5)", "20.0% (1)"]
    alone = rank_over_data_sets({"x": {"a": 0.5, "b": 0.4}})
    assert alone.critical_difference is None and alone.groups() == []
    assert alone.finding() == "One data set, or one strategy, tests nothing."
    with pytest.raises(DataError, match="no strategy has been measured on all of x, y"):
        rank_over_data_sets({"x": {"a": 0.5}, "y": {"b": 0.4}})
