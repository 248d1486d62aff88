"""The penalty matrix against SciPy's t test; the profile against its definition."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from allencv_al.active_learning.rounds.curves import Curve, tabulate
from allencv_al.comparison.rankings import penalty_matrix, performance_profile

LABELS = np.array([10, 20, 30, 40, 50])


def test_it_counts_what_scipy_finds_significant_at_each_label_count() -> None:
    generator = np.random.default_rng(0)
    curves = [
        Curve(name, seed, LABELS, np.clip(generator.normal(mean, 0.02, 5), 0, 1))
        for name, mean, seeds in [("a", 0.5, 8), ("b", 0.52, 6), ("c", 0.54, 7)]
        for seed in range(seeds)
    ]
    found = penalty_matrix(tabulate(curves))
    values = {
        name: np.stack([c.values for c in curves if c.strategy == name]) for name in ("a", "b", "c")
    }
    for i, first in enumerate("abc"):
        for j, second in enumerate("abc"):
            n, beaten = min(len(values[first]), len(values[second])), 0.0
            for budget in range(len(LABELS) if i != j else 0):
                test = stats.ttest_rel(values[first][:n, budget], values[second][:n, budget])
                beaten += (test.pvalue < 0.05 and test.statistic > 0) / len(LABELS)
            assert found.shares[i, j] == pytest.approx(beaten)
    assert 0 < found.shares[1, 0] < 1  # the data decide something
    assert found.penalties == pytest.approx(found.shares.sum(axis=0) / 2)


def test_one_seed_or_no_common_seed_shows_no_winner() -> None:
    curves = [
        Curve("a", 0, LABELS, np.full(5, 0.9)),
        Curve("b", 0, LABELS, np.full(5, 0.1)),
        Curve("c", 1, LABELS, np.full(5, 0.1)),
    ]
    assert (penalty_matrix(tabulate(curves)).shares == 0).all()
    assert penalty_matrix(tabulate(curves[:1])).penalties.tolist() == [0.0]


def test_the_same_difference_in_every_seed_shows_no_winner() -> None:
    curves = [
        Curve(name, seed, LABELS, np.full(5, height + seed / 10))
        for name, height in (("a", 0.5), ("b", 0.51))
        for seed in range(2)
    ]
    assert (penalty_matrix(tabulate(curves)).shares == 0).all()


THREE = np.array([10, 20, 30])


def test_shares_are_those_of_the_definition() -> None:
    generator = np.random.default_rng(0)
    curves = [
        Curve(name, seed, THREE, generator.uniform(0.3, 0.95, 3))
        for name in ("a", "b", "c")
        for seed in range(4 if name == "b" else 5)
    ]
    profile = performance_profile(tabulate(curves))
    assert profile.seeds == 4
    error = {(c.strategy, c.seed): 1 - c.values for c in curves}
    for tau in (1.0, 1.2, 2.0, 10.0):
        for row, name in enumerate(("a", "b", "c")):
            near = [
                error[name, seed][budget] <= tau * min(error[s, seed][budget] for s in "abc")
                for seed in range(4)
                for budget in range(3)
            ]
            assert profile.shares(tau)[row, 0] == pytest.approx(np.mean(near))


def test_at_one_every_problem_has_a_best_and_shares_never_fall() -> None:
    generator = np.random.default_rng(1)
    curves = [Curve(n, s, THREE, generator.uniform(0, 1, 3)) for n in "abcd" for s in range(6)]
    profile = performance_profile(tabulate(curves))
    assert profile.shares(1.0).sum() == pytest.approx(1.0)  # no ties among random numbers
    shares = profile.shares(profile.factors())
    assert (np.diff(shares, axis=1) >= 0).all()


def test_no_error_at_all_is_best_and_infinitely_better_than_some() -> None:
    profile = performance_profile(
        tabulate(
            [
                Curve("a", 0, THREE, np.array([1.0, 1.0, 0.9])),
                Curve("b", 0, THREE, np.array([1.0, 0.9, 0.8])),
            ]
        )
    )
    assert profile.ratios.tolist() == [[1, 1, 1], [1, np.inf, pytest.approx(2)]]
    assert profile.shares([1, 1e9]).tolist() == [
        [1, 1],
        [pytest.approx(1 / 3), pytest.approx(2 / 3)],
    ]
    assert np.isfinite(profile.factors()).all()


def test_without_a_seed_that_all_have_there_are_no_problems() -> None:
    curves = [
        Curve("a", 0, THREE, np.zeros(3)),
        Curve("b", 1, THREE, np.zeros(3)),
    ]
    profile = performance_profile(tabulate(curves))
    assert profile.seeds == 0
    assert profile.shares([1.0, 2.0]).tolist() == [[0, 0], [0, 0]]
    assert profile.factors()[0] == 1
