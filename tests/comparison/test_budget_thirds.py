"""The thirds of a budget, against SciPy and the protocol they come from."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from allencv_al.active_learning.rounds.curves import Curve, tabulate
from allencv_al.comparison.budget_thirds import budget_thirds
from allencv_al.comparison.significance import holm

LABELS = np.arange(10, 220, 10)  # 21 counts, as in BoSS: 10 picks, 20 rounds


def curves(names: tuple[str, ...], seeds: int = 10, labels: np.ndarray = LABELS) -> list[Curve]:
    return [
        Curve(name, seed, labels, np.random.default_rng([seed, place]).uniform(size=len(labels)))
        for place, name in enumerate(names)
        for seed in range(seeds)
    ]


def test_of_21_points_each_third_has_seven() -> None:
    given = curves(("random", "margin"))
    thirds = budget_thirds(tabulate(given), "random")
    assert [(t.name, t.first_labels, t.last_labels) for t in thirds] == [
        ("low", 10, 70),
        ("mid", 80, 140),
        ("high", 150, 210),
    ]
    margin = np.array([c.values for c in given if c.strategy == "margin"])
    for place, third in enumerate(thirds):
        means = margin[:, 7 * place : 7 * place + 7].mean(axis=1)
        found = third.strategies[1]
        assert found.mean == pytest.approx(means.mean())
        assert found.standard_error == pytest.approx(stats.sem(means))


def test_each_third_has_tests_of_its_own_corrected_by_holm() -> None:
    names = ("random", "margin", "badge", "bait")
    given = curves(names)
    for place, third in enumerate(budget_thirds(tabulate(given), "random")):
        part = slice(7 * place, 7 * place + 7)
        means = {
            name: [c.values[part].mean() for c in given if c.strategy == name] for name in names
        }
        p_values = [stats.ttest_rel(means[name], means["random"]).pvalue for name in names[1:]]
        assert third.strategies[0].comparison is None
        found = third.strategies[1:]
        assert [one.comparison.t_p_value for one in found if one.comparison] == pytest.approx(
            p_values
        )
        assert [one.t_p_holm for one in found] == pytest.approx(holm(p_values))


def test_seeds_of_one_strategy_alone_count_for_its_mean_and_not_for_the_test() -> None:
    given = [
        curve
        for curve in curves(("random", "margin"))
        if (curve.strategy, curve.seed) != ("random", 0)
    ]
    low = budget_thirds(tabulate(given), "random")[0].strategies[1]
    assert low.comparison is not None and low.comparison.seeds == 9
    everything = [c.values[:7].mean() for c in given if c.strategy == "margin"]
    assert low.mean == pytest.approx(np.mean(everything))


def test_without_baseline_or_with_one_seed_there_is_no_test() -> None:
    table = tabulate(curves(("random", "margin"), seeds=1))
    assert budget_thirds(table, "random")[2].strategies[1].standard_error is None
    assert budget_thirds(table, "random")[2].strategies[1].t_p_holm is None
    assert budget_thirds(table, None)[0].strategies[1].comparison is None


def test_fewer_than_three_counts_have_no_thirds() -> None:
    two = tabulate(curves(("random", "margin"), labels=LABELS[:2]))
    assert budget_thirds(two, "random") == ()
    three = budget_thirds(tabulate(curves(("random",), labels=LABELS[:3])), None)
    assert [t.first_labels for t in three] == [10, 20, 30]
