"""Thirds of the budget: where along the curve a strategy is ahead, with few labels or with many."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from allencv_al.active_learning.rounds.curves import CurveTable, FloatArray, IntArray
from allencv_al.comparison.significance import PairedComparison, holm, paired_comparison

THIRDS = ("low", "mid", "high")


@dataclass(frozen=True, eq=False)
class StrategyThird:
    """One strategy in one third.

    Args:
        strategy: The name.
        mean: Mean over the label counts of the third and the seeds.
        standard_error: Standard error of that mean over the seeds; None for one seed.
        comparison: Against the baseline, over the seeds that both have; None for the baseline, and
            without common seeds.
        t_p_holm: p value of the t test after Holm's correction for the strategies in this third.
    """

    strategy: str
    mean: float
    standard_error: float | None
    comparison: PairedComparison | None = None
    t_p_holm: float | None = None


@dataclass(frozen=True, eq=False)
class BudgetThird:
    """A third of the label counts, as in the protocol of BoSS (arXiv:2603.13109).

    Args:
        name: "low", "mid" or "high".
        first_labels: Its smallest label count.
        last_labels: Its largest.
        strategies: A row per strategy, in the order given.
    """

    name: str
    first_labels: int
    last_labels: int
    strategies: tuple[StrategyThird, ...]


def budget_thirds(table: CurveTable, baseline: str | None) -> tuple[BudgetThird, ...]:
    """Return the three thirds of the label counts; none where there are fewer than three counts.

    Of 21 label counts they are points 0 to 6, 7 to 13 and 14 to 20; what does not divide by three
    goes to the first thirds.

    Args:
        table: The curves.
        baseline: The strategy that the others are tested against, if any.
    """
    if len(table.labels) < len(THIRDS):
        return ()
    # Counts that three does not divide: the first thirds have one more
    parts = np.array_split(np.arange(len(table.labels)), len(THIRDS))
    return tuple(
        BudgetThird(
            name,
            int(table.labels[part[0]]),
            int(table.labels[part[-1]]),
            _strategies(table, baseline, part),
        )
        for name, part in zip(THIRDS, parts, strict=True)
    )


def _strategies(
    table: CurveTable, baseline: str | None, part: IntArray
) -> tuple[StrategyThird, ...]:
    compared: dict[str, PairedComparison] = {}
    for name in table.strategies:
        seeds = table.common_seeds(name, baseline) if baseline is not None else ()
        if name != baseline and baseline is not None and seeds:
            ours, theirs = (
                table.rows(which, seeds)[:, part].mean(axis=1) for which in (name, baseline)
            )
            compared[name] = paired_comparison(ours, theirs)
    tested = {n: found.t_p_value for n, found in compared.items() if found.t_p_value is not None}
    corrected = dict(zip(tested, holm(list(tested.values())), strict=True))
    return tuple(
        _strategy(name, table.values[name][:, part], compared.get(name), corrected.get(name))
        for name in table.strategies
    )


def _strategy(
    name: str, values: FloatArray, comparison: PairedComparison | None, t_p_holm: float | None
) -> StrategyThird:
    means = values.mean(axis=1)
    error = float(means.std(ddof=1)) / len(means) ** 0.5 if len(means) > 1 else None
    return StrategyThird(name, float(means.mean()), error, comparison, t_p_holm)
