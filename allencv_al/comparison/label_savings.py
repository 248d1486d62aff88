"""Label savings: labels that the baseline needs, divided by those that a strategy needs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from allencv_al.active_learning.rounds.curves import CurveTable, FloatArray
from allencv_al.comparison.significance import Bootstrap

# The finest of these steps that gives few levels, so that tables have round accuracies
_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2)
_MOST_LEVELS = 5
# Levels that differ by rounding alone are equal
_TOLERANCE = 1e-9


@dataclass(frozen=True)
class LabelSaving:
    """Labels that two strategies need, on their mean curves, to reach the same accuracy.

    Args:
        strategy: The strategy.
        level: The accuracy, a fraction.
        baseline_labels: Labels that the baseline needs; None if it never reaches the level.
        strategy_labels: Labels that the strategy needs; None if it never reaches the level.
        ratio: The first divided by the second: 2 means half the labels. None if one is None.
        low: Lower end of the bootstrap interval of the ratio; 0 if the strategy may not reach the
            level at all. None for one seed.
        high: Upper end; None if it is open, as the baseline may not reach the level at all.
        seeds: Number of seeds that both have.
    """

    strategy: str
    level: float
    baseline_labels: float | None
    strategy_labels: float | None
    ratio: float | None
    low: float | None
    high: float | None
    seeds: int


def label_savings(table: CurveTable, baseline: str, bootstrap: Bootstrap) -> list[LabelSaving]:
    """Return the savings of the other strategies, at some round accuracies the baseline reaches."""
    levels = round_levels(table.values[baseline].mean(axis=0))
    savings = []
    for strategy in table.strategies:
        seeds = table.common_seeds(baseline, strategy)
        if strategy == baseline or not seeds:
            continue
        ours, theirs = table.rows(strategy, seeds), table.rows(baseline, seeds)
        for level in levels:
            savings.append(_saving(strategy, level, table, (theirs, ours), bootstrap))
    return savings


def labels_to_reach(level: float, labels: NDArray[np.int64], values: FloatArray) -> FloatArray:
    """Return the labels at which each curve first reaches `level`; infinite where it never does.

    Args:
        level: The accuracy.
        labels: Label counts, `[R]`.
        values: Curves at these counts, `[N, R]`, linear in between.
    """
    reached = values >= level - _TOLERANCE
    first = reached.argmax(axis=1)  # of True, and 0 without any: masked at the end
    rows, before = np.arange(len(values)), np.maximum(first - 1, 0)
    rise = values[rows, first] - values[rows, before]
    # Curves need not rise: at the first count, and on a flat step, the count itself is taken
    share = np.where(rise > 0, (level - values[rows, before]) / np.where(rise > 0, rise, 1), 1.0)
    needed = labels[before] + np.clip(share, 0, 1) * (labels[first] - labels[before])
    return np.where(reached.any(axis=1), needed, np.inf)


def round_levels(mean_curve: FloatArray) -> list[float]:
    """Return up to five round accuracies between the curve's start and its end, and its end.

    The end, not the highest point: of many noisy points the highest is the luckiest.
    """
    start, top = float(mean_curve[0]), float(mean_curve[-1])
    if top <= start + _TOLERANCE:
        return []
    for step in _STEPS:
        multiples = range(math.floor(start / step), math.ceil(top / step) + 1)
        rounds = [round(step * m, 10) for m in multiples]
        # A level next to the end would repeat it
        levels = [level for level in rounds if start + _TOLERANCE < level < top - step / 10]
        if len(levels) <= _MOST_LEVELS:
            break
    return [*levels, top]


def _saving(
    strategy: str,
    level: float,
    table: CurveTable,
    pair: tuple[FloatArray, FloatArray],
    bootstrap: Bootstrap,
) -> LabelSaving:
    means = np.stack([values.mean(axis=0) for values in pair])
    theirs, ours = labels_to_reach(level, table.labels, means)
    low, high = _interval(level, table, pair, bootstrap)
    return LabelSaving(
        strategy=strategy,
        level=level,
        baseline_labels=_finite(theirs),
        strategy_labels=_finite(ours),
        ratio=float(theirs / ours) if np.isfinite([theirs, ours]).all() else None,
        low=low,
        high=high,
        seeds=len(pair[0]),
    )


def _interval(
    level: float, table: CurveTable, pair: tuple[FloatArray, FloatArray], bootstrap: Bootstrap
) -> tuple[float | None, float | None]:
    if len(pair[0]) < 2:
        return None, None
    weights = bootstrap.weights(len(pair[0]))
    theirs, ours = (labels_to_reach(level, table.labels, weights @ values) for values in pair)
    # A resample in which neither reaches the level says nothing about their ratio
    known = np.isfinite(theirs) | np.isfinite(ours)
    if not known.any():
        return None, None
    ratios = theirs[known] / ours[known]
    # Ratios may be infinite, and nothing can be interpolated between infinities
    low, high = np.percentile(ratios, bootstrap.tails, method="inverted_cdf")
    return _finite(low), _finite(high)


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
