"""All statistics of a comparison in one tree, which reports show and `to_json` returns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np

from allencv_al.active_learning.rounds.curves import (
    Curve,
    CurveTable,
    FloatArray,
    IntArray,
    mean_height,
    tabulate,
)
from allencv_al.comparison.budget_thirds import BudgetThird, budget_thirds
from allencv_al.comparison.label_savings import LabelSaving, label_savings
from allencv_al.comparison.oracle import UpperBound, upper_bounds
from allencv_al.comparison.rankings import (
    PenaltyMatrix,
    PerformanceProfile,
    penalty_matrix,
    performance_profile,
)
from allencv_al.comparison.significance import (
    Bootstrap,
    PairedComparison,
    holm,
    mean_band,
    paired_comparison,
    seeds_needed,
)


@dataclass(frozen=True, eq=False)
class BaselineComparison:
    """A strategy against the baseline, by the AUBC of each seed.

    Args:
        aubc: Difference and tests.
        t_p_holm: p value of the t test after Holm's correction for the number of strategies.
        wilcoxon_p_holm: p value of Wilcoxon's test after the same correction.
    """

    aubc: PairedComparison
    t_p_holm: float | None
    wilcoxon_p_holm: float | None


@dataclass(frozen=True, eq=False)
class StrategySummary:
    """Results of one strategy.

    Args:
        strategy: The name.
        seeds: The seeds, increasing.
        aubc: Area under the curve of each seed divided by its range of labels, `[seeds]`.
        aubc_mean: Mean of the areas.
        aubc_sd: Standard deviation of the areas; None for one seed.
        aubc_log_mean: Mean area over the logarithm of the labels.
        final_mean: Mean value at the last label count.
        final_sd: Standard deviation of that value; None for one seed.
        mean_curve: Mean over the seeds, `[R]`.
        band_low: Lower end of the bootstrap interval of the mean, `[R]`; None for one seed.
        band_high: Upper end.
        comparison: The tests against the baseline; None for the baseline, and without common seeds.
    """

    strategy: str
    seeds: tuple[int, ...]
    aubc: FloatArray
    aubc_mean: float
    aubc_sd: float | None
    aubc_log_mean: float
    final_mean: float
    final_sd: float | None
    mean_curve: FloatArray
    band_low: FloatArray | None
    band_high: FloatArray | None
    comparison: BaselineComparison | None = None


@dataclass(frozen=True, eq=False)
class ComparisonSummary:
    """All results of a comparison.

    Args:
        baseline: The strategy that the others are compared with; None if it is not among them.
        labels: The label counts, `[R]`.
        strategies: A summary per strategy, in the order given.
        thirds: The low, middle and high third of the label counts; none for fewer than three.
        savings: Label savings at matched accuracy.
        penalty: The pairwise penalty matrix.
        profile: The performance profile.
        bootstrap: Settings of the intervals.
        notes: Warnings for the reader: too few seeds, missing seeds, interpolation.
        bounds: The results of oracles, which take part in nothing else.
    """

    baseline: str | None
    labels: IntArray
    strategies: tuple[StrategySummary, ...]
    thirds: tuple[BudgetThird, ...]
    savings: tuple[LabelSaving, ...]
    penalty: PenaltyMatrix
    profile: PerformanceProfile
    bootstrap: Bootstrap
    notes: tuple[str, ...] = ()
    bounds: tuple[UpperBound, ...] = ()

    def ranked(self) -> list[StrategySummary]:
        """Return the strategies by AUBC, the highest first."""
        return sorted(self.strategies, key=lambda found: -found.aubc_mean)

    def to_json(self) -> dict[str, Any]:
        """Return the summary as strict JSON values; numbers that are not finite become null."""
        result: dict[str, Any] = _as_json(self)
        # The ratios themselves are many (seeds times label counts), and their shares say as much
        factors = self.profile.factors()
        result["profile"] = {
            "strategies": list(self.profile.strategies),
            "seeds": self.profile.seeds,
            "factors": _as_json(factors),
            "shares": _as_json(self.profile.shares(factors)),
        }
        result["penalty"]["penalties"] = _as_json(self.penalty.penalties)
        return result


def summarize(
    curves: Sequence[Curve],
    baseline: str = "random",
    bootstrap: Bootstrap | None = None,
    notes: Sequence[str] = (),
    oracles: Sequence[str] = (),
) -> ComparisonSummary:
    """Compare strategies by their curves, paired by seed.

    Args:
        curves: A curve per strategy and seed; some may be missing.
        baseline: The strategy that all others are compared with.
        bootstrap: Settings of the intervals; default: 95 % intervals of 2000 resamples.
        notes: Warnings about the origin of the curves.
        oracles: Names of the curves that are upper bounds and not compared.

    Raises:
        DataError: No curves, a strategy has a seed twice, or curves share no label count.
    """
    bootstrap = bootstrap or Bootstrap()
    table = tabulate([curve for curve in curves if curve.strategy not in oracles])
    known = baseline if baseline in table.seeds else None
    comparisons = _comparisons(table, known)
    # With the oracles, whose label counts may differ: the others' table must not depend on them
    bounds = upper_bounds(tabulate(curves), oracles, known)
    return ComparisonSummary(
        baseline=known,
        labels=table.labels,
        strategies=tuple(
            _strategy_summary(table, name, bootstrap, comparisons.get(name))
            for name in table.strategies
        ),
        thirds=budget_thirds(table, known),
        savings=tuple(label_savings(table, known, bootstrap)) if known else (),
        penalty=penalty_matrix(table),
        profile=performance_profile(table),
        bootstrap=bootstrap,
        notes=(
            *(bound.note(known) for bound in bounds),
            *notes,
            *_notes(table, baseline, comparisons),
        ),
        bounds=bounds,
    )


def _strategy_summary(
    table: CurveTable, name: str, bootstrap: Bootstrap, comparison: BaselineComparison | None
) -> StrategySummary:
    values = table.values[name]
    areas = mean_height(table.labels, values)
    several = len(values) > 1
    low, high = mean_band(values, bootstrap) or (None, None)
    return StrategySummary(
        strategy=name,
        seeds=table.seeds[name],
        aubc=areas,
        aubc_mean=float(areas.mean()),
        aubc_sd=float(areas.std(ddof=1)) if several else None,
        aubc_log_mean=float(mean_height(table.labels, values, log_x=True).mean()),
        final_mean=float(values[:, -1].mean()),
        final_sd=float(values[:, -1].std(ddof=1)) if several else None,
        mean_curve=values.mean(axis=0),
        band_low=low,
        band_high=high,
        comparison=comparison,
    )


def _comparisons(table: CurveTable, baseline: str | None) -> dict[str, BaselineComparison]:
    paired: dict[str, PairedComparison] = {}
    for name in table.strategies:
        if baseline is None or name == baseline:
            continue
        if seeds := table.common_seeds(name, baseline):
            ours, theirs = (
                mean_height(table.labels, table.rows(which, seeds)) for which in (name, baseline)
            )
            paired[name] = paired_comparison(ours, theirs)
    # Each test is corrected by itself: a reader chooses one, and does not combine them
    by_t = _corrected({name: found.t_p_value for name, found in paired.items()})
    by_rank = _corrected({name: found.wilcoxon_p_value for name, found in paired.items()})
    return {
        name: BaselineComparison(found, by_t.get(name), by_rank.get(name))
        for name, found in paired.items()
    }


def _corrected(p_values: Mapping[str, float | None]) -> dict[str, float]:
    known = {name: p for name, p in p_values.items() if p is not None}
    return dict(zip(known, holm(list(known.values())), strict=True))


def _notes(
    table: CurveTable, baseline: str, comparisons: Mapping[str, BaselineComparison]
) -> list[str]:
    notes = []
    if baseline not in table.seeds:
        notes.append(f"{baseline} is not among the strategies, so nothing is compared with it.")
    notes += _seed_notes(table, baseline)
    if table.interpolated:
        notes.append(
            "The runs were measured at different label counts: their curves were interpolated "
            f"linearly, from {table.labels[0]} to {table.labels[-1]} labels, which all have."
        )
    for name, found in comparisons.items():
        if found.aubc.seeds > 1 and found.aubc.t_p_value is None:
            notes.append(
                f"{name} differs from {baseline} by the same amount in each of "
                f"{found.aubc.seeds} paired seeds: without a spread there is no t test."
            )
    return notes + _power_notes(comparisons)


def _seed_notes(table: CurveTable, baseline: str) -> list[str]:
    everything = set().union(*table.seeds.values())
    notes = []
    for name, seeds in table.seeds.items():
        if missing := sorted(everything - set(seeds)):
            which = ", ".join(str(seed) for seed in missing)
            notes.append(f"{name} has no run of seed {which}: pairs use the seeds that both have.")
        if baseline in table.seeds and not table.common_seeds(name, baseline):
            notes.append(f"{name} shares no seed with {baseline}, so they are not compared.")
    if notes and not table.common_seeds(*table.strategies):
        notes.append("No seed is common to all strategies, so there is no performance profile.")
    return notes


def _power_notes(comparisons: Mapping[str, BaselineComparison]) -> list[str]:
    if not comparisons:
        return []
    fewest = min(found.aubc.seeds for found in comparisons.values())
    alone, corrected = seeds_needed(), seeds_needed(len(comparisons))
    if fewest < 2:
        return [
            "With one paired seed there is no spread and no test: a difference may be luck. The "
            f"t test needs 2 seeds or more, Wilcoxon's at least {alone} to reach p < 0.05."
        ]
    # Wilcoxon's test sees signs and ranks only, so no difference is large enough for few seeds
    smallest = 2.0 ** (1 - fewest)  # of 2^n sign patterns two are the most extreme
    if fewest < alone:
        of_several = (
            f"{corrected} seeds for {len(comparisons)} comparisons after Holm's correction "
            f"({alone} without)"
        )
        needed = of_several if len(comparisons) > 1 else f"{alone} seeds"
        return [
            f"With {fewest} paired seeds the smallest two-sided p of Wilcoxon's test is "
            f"{smallest:.3g}, so it cannot reach 0.05 however clear the difference is: it needs "
            f"at least {needed}."
        ]
    if fewest < corrected:
        return [
            f"With {fewest} paired seeds and {len(comparisons)} comparisons the smallest "
            f"Holm-corrected p of Wilcoxon's test is {smallest * len(comparisons):.3g}, so it "
            f"cannot reach 0.05 however clear a difference is: it needs at least {corrected} seeds."
        ]
    return []


def _as_json(value: Any) -> Any:
    if is_dataclass(value):
        return {field.name: _as_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, np.ndarray):
        return _as_json(value.tolist())
    if isinstance(value, list | tuple):
        return [_as_json(part) for part in value]
    if isinstance(value, dict):
        return {name: _as_json(part) for name, part in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
