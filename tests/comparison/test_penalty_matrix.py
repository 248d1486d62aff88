"""The pairwise penalty matrix against a loop over SciPy's t test."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from allencv_al.active_learning.rounds.curves import Curve, tabulate
from allencv_al.comparison.penalty_matrix import penalty_matrix

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


def test_one_seed_and_no_common_seed_beat_nobody() -> None:
    curves = [
        Curve("a", 0, LABELS, np.full(5, 0.9)),
        Curve("b", 0, LABELS, np.full(5, 0.1)),
        Curve("c", 1, LABELS, np.full(5, 0.1)),
    ]
    assert (penalty_matrix(tabulate(curves)).shares == 0).all()
    assert penalty_matrix(tabulate(curves[:1])).penalties.tolist() == [0.0]


def test_the_same_difference_in_every_seed_beats_nobody() -> None:
    curves = [
        Curve(name, seed, LABELS, np.full(5, height + seed / 10))
        for name, height in (("a", 0.5), ("b", 0.51))
        for seed in range(2)
    ]
    assert (penalty_matrix(tabulate(curves)).shares == 0).all()
