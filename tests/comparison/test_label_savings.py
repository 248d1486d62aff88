"""Label savings at matched accuracy."""

from __future__ import annotations

import numpy as np
import pytest

from allencv_al.active_learning.rounds.curves import Curve, CurveTable, tabulate
from allencv_al.comparison.label_savings import (
    label_savings,
    labels_to_reach,
    round_levels,
)
from allencv_al.comparison.significance import Bootstrap

LABELS = np.arange(10, 210, 10)


def noisy(strategy: str, slope: float, seeds: int, spread: float = 0.01) -> list[Curve]:
    return [
        Curve(
            strategy,
            seed,
            LABELS,
            0.3
            + slope * (LABELS - 10)
            + np.random.default_rng(seed).normal(0, spread, len(LABELS)) * (LABELS > 10),
        )
        for seed in range(seeds)
    ]


def straight(strategy: str, slope: float) -> Curve:
    return noisy(strategy, slope, 1, spread=0)[0]


def test_twice_the_slope_saves_what_arithmetic_says() -> None:
    table = tabulate([straight("random", 0.001), straight("margin", 0.002)])
    found = {round(s.level, 4): s for s in label_savings(table, "random", Bootstrap())}
    assert list(found) == [0.35, 0.4, 0.45, 0.49]
    for level, saving in found.items():
        needed = 10 + (level - 0.3) / 0.001, 10 + (level - 0.3) / 0.002
        assert (saving.baseline_labels, saving.strategy_labels) == pytest.approx(needed)
        assert saving.ratio == pytest.approx(needed[0] / needed[1])
        assert (saving.low, saving.high, saving.seeds) == (None, None, 1)


def test_what_is_never_reached_saves_nothing_that_could_be_counted() -> None:
    table = tabulate([straight("random", 0.002), straight("margin", 0.001)])
    last = label_savings(table, "random", Bootstrap())[-1]
    assert last.level == pytest.approx(0.68)
    assert last.baseline_labels == pytest.approx(200)
    assert last.strategy_labels is None
    assert last.ratio is None


def test_labels_to_reach_is_the_first_crossing_and_interpolates() -> None:
    labels = np.array([10, 20, 40])
    curves = np.array([[0.1, 0.5, 0.3], [0.1, 0.2, 0.3], [0.6, 0.7, 0.9], [0.0, 0.1, 0.2]])
    assert labels_to_reach(0.3, labels, curves).tolist() == [15.0, 40.0, 10.0, np.inf]


def brute_interval(table: CurveTable, level: float, bootstrap: Bootstrap) -> list[float]:
    ratios = []
    seeds = table.common_seeds("random", "margin")
    for weights in bootstrap.weights(len(seeds)):
        rows = np.repeat(np.arange(len(seeds)), np.rint(weights * len(seeds)).astype(int))
        assert len(rows) == len(seeds)
        needed = []
        for name in ("random", "margin"):
            mean = table.rows(name, seeds)[rows].mean(axis=0)
            fine = np.linspace(LABELS[0], LABELS[-1], 190_001)
            needed.append(fine[np.argmax(np.interp(fine, LABELS, mean) >= level)])
        ratios.append(needed[0] / needed[1])
    ordered = sorted(ratios)
    return [ordered[int(np.ceil(share * len(ordered))) - 1] for share in (0.025, 0.975)]


def test_the_interval_is_that_of_resampled_pairs_of_seeds() -> None:
    table = tabulate(noisy("random", 0.001, 7) + noisy("margin", 0.002, 6))
    bootstrap = Bootstrap(resamples=77, seed=3)
    found = next(
        s for s in label_savings(table, "random", bootstrap) if s.level == pytest.approx(0.4)
    )
    assert found.seeds == 6
    assert [found.low, found.high] == pytest.approx(brute_interval(table, 0.4, bootstrap), rel=1e-4)
    assert found.low < found.ratio < found.high


def test_an_interval_is_open_where_a_resample_may_never_get_there() -> None:
    table = tabulate(noisy("random", 0.001, 8, 0.05) + noisy("margin", 0.002, 8, 0.05))
    last = label_savings(table, "random", Bootstrap())[-1]
    assert last.ratio is not None
    assert last.high is None  # in some resamples random ends below its own mean
    assert 1 < last.low < last.ratio


def test_the_interval_depends_on_its_own_pair_alone() -> None:
    both = noisy("random", 0.001, 5) + noisy("margin", 0.002, 5)
    alone = label_savings(tabulate(both), "random", Bootstrap())
    among = label_savings(tabulate(noisy("badge", 0.0015, 5) + both), "random", Bootstrap())
    assert [s for s in among if s.strategy == "margin"] == alone


@pytest.mark.parametrize(
    ("curve", "levels"),
    [
        ([0.48, 0.7, 0.927], [0.5, 0.6, 0.7, 0.8, 0.9, 0.927]),
        ([0.80, 0.82, 0.853], [0.81, 0.82, 0.83, 0.84, 0.85, 0.853]),
        ([0.5, 0.5], []),
        ([0.6, 0.7, 0.5], []),
        ([0.5, 0.504], [0.504]),
        ([0.1, 0.999], [0.2, 0.4, 0.6, 0.8, 0.999]),
    ],
)
def test_levels_are_round_numbers_and_the_end(curve: list[float], levels: list[float]) -> None:
    assert round_levels(np.array(curve)) == pytest.approx(levels)
