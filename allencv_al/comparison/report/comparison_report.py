"""`report.html` of a comparison of strategies: curves, tables of the tests, and explanations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from allencv_al.active_learning.rounds.curves import Cost, Curve, aubc
from allencv_al.comparison.report.comparison_tables import (
    accuracy_table,
    aubc_table,
    bounds_table,
    penalty_table,
    savings_table,
    thirds_table,
    verdict,
)
from allencv_al.comparison.statistics import ComparisonSummary
from allencv_al.reports import figure_formats as formats
from allencv_al.reports.line_chart import (
    ChartText,
    CurveLine,
    PageChart,
    line_looks,
    page_chart,
)
from allencv_al.reports.page import TextTable, write_page

_SECTIONS = {
    "curves": "Learning curves",
    "aubc": "Which is better",
    "thirds": "Few labels or many",
    "savings": "Labels saved",
    "bounds": "Possible gain",
    "penalty": "Pairwise wins",
    "profile": "Distance to the best",
    "runs": "Runs and costs",
}


@dataclass(frozen=True)
class ComparisonContext:
    """Facts of a comparison that its statistics lack.

    Args:
        name: The title of the report.
        description: The strategies and data of the comparison, in a sentence or two.
        metric: The metric of the curves.
        cost: Their horizontal axis.
        seconds: Time of each strategy, over all its seeds.
        notes: Remarks besides those of the summary.
        config: The config that all cells share.
        environment: Versions and hardware, from `describe_environment()`; default: those of this
            process.
    """

    name: str
    description: str = ""
    metric: str = "accuracy"
    cost: Cost = "labels"
    seconds: Mapping[str, float] | None = None
    notes: Sequence[str] = ()
    config: Mapping[str, Any] | None = None
    environment: Mapping[str, Any] | None = None


def write_comparison_report(
    path: Path, summary: ComparisonSummary, curves: Sequence[Curve], context: ComparisonContext
) -> None:
    """Write the report of a comparison, one HTML file that contains everything it shows.

    Args:
        path: The HTML file to write.
        summary: From `summarize`.
        curves: The curves that were summarized.
        context: Further facts.
    """
    lines = comparison_lines(summary)
    seconds = context.seconds or {}
    content = {
        "curves": _curve_chart(summary, lines, context),
        "aubc": aubc_table(summary),
        "thirds": thirds_table(summary),
        "savings": savings_table(summary),
        "bounds": bounds_table(summary),
        "penalty": penalty_table(summary),
        "profile": _profile_chart(summary),
        "runs": _run_table(summary, curves),
    }
    best = summary.ranked()[0]
    figures = {
        f"Highest AUBC: {best.strategy}": formats.percent(best.aubc_mean),
        "Strategies × seeds": f"{len(summary.strategies)} × {len({c.seed for c in curves})}",
        context.cost.capitalize(): f"{summary.labels[0]:,}–{summary.labels[-1]:,}",
        "Computing time": formats.duration(sum(seconds.values())) if seconds else "",
    }
    caption = "Computing time, over all seeds"
    costs = [(name, formats.duration(value)) for name, value in seconds.items()]
    write_page(
        Path(path),
        "comparison/report/comparison_report.html.j2",
        context.config,
        context.environment,
        kind="Comparison of query strategies",
        name=context.name,
        figures=figures,
        notes=[*summary.notes, *context.notes],
        # A short curve has no thirds, and a comparison without oracles no bounds
        sections={name: title for name, title in _SECTIONS.items() if content[name]},
        description=context.description,
        finding=verdict(summary),
        summary=summary,
        metric=context.metric,
        looks={line.name: look for line, look in zip(lines, line_looks(lines), strict=True)},
        has_bands=any(line.low is not None for line in lines),
        confidence=f"{summary.bootstrap.confidence:.0%}",
        numbers=accuracy_table(summary, context.metric),
        costs=TextTable(caption, ("Strategy", "Time"), costs, style="compact"),
        run_count=len(curves),
        **content,
    )


def comparison_lines(summary: ComparisonSummary) -> list[CurveLine]:
    """Return the mean curve of each strategy with its bootstrap band, in the order given."""
    return [
        CurveLine(
            found.strategy,
            summary.labels.astype(np.float64),
            found.mean_curve,
            found.band_low,
            found.band_high,
            baseline=found.strategy == summary.baseline,
        )
        for found in summary.strategies
        # Bounds last, lest they take the first colors from the strategies
    ] + [
        CurveLine(
            f"{bound.strategy} (upper bound)", bound.labels.astype(np.float64), bound.mean_curve
        )
        for bound in summary.bounds
    ]


def _curve_chart(
    summary: ComparisonSummary, lines: Sequence[CurveLine], context: ComparisonContext
) -> PageChart:
    metric, cost = context.metric, context.cost
    ends = "; ".join(f"{line.name} {line.y[-1]:.1%}" for line in lines)
    description = f"Mean {metric} over {cost}. At {summary.labels[-1]} {cost}: {ends}."
    return page_chart(lines, ChartText(x=cost, y=metric), description)


def _profile_chart(summary: ComparisonSummary) -> PageChart | None:
    """Return the chart of the performance profile; None where no seed is common to all."""
    if not summary.profile.seeds:
        return None
    factors = summary.profile.factors()
    lines = [
        CurveLine(name, factors, shares, baseline=name == summary.baseline)
        for name, shares in zip(
            summary.profile.strategies, summary.profile.shares(factors), strict=True
        )
    ]
    best = "; ".join(f"{line.name} {line.y[0]:.0%}" for line in lines)
    return page_chart(
        lines,
        ChartText(
            x="error divided by the smallest error",
            y="share of problems",
            whole=False,
            marked=False,
        ),
        f"Performance profile. Share of problems with the smallest error: {best}.",
    )


def _run_table(summary: ComparisonSummary, curves: Sequence[Curve]) -> TextTable:
    names = [bound.strategy for bound in summary.bounds]
    names += [found.strategy for found in summary.ranked()]
    # In the order of the tables, bounds first
    rank = {name: place for place, name in enumerate(names)}
    rows = [
        (
            curve.strategy,
            str(curve.seed),
            f"{curve.labels[0]:,}–{curve.labels[-1]:,} ({len(curve.labels)})",
            f"{100 * aubc(curve):.2f}",
            f"{100 * curve.values[-1]:.2f}",
        )
        for curve in sorted(curves, key=lambda curve: (rank[curve.strategy], curve.seed))
    ]
    columns = ("Strategy", "Seed", "Label counts", "AUBC %", "Final %")
    return TextTable(
        "Every run", columns, rows, hints={"AUBC %": "Over all label counts of the run itself"}
    )
