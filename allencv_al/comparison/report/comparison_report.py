"""`report.html` of a comparison of strategies: curves, tables of the tests, and what they mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allencv_al.active_learning.rounds.curves import Curve, aubc
from allencv_al.comparison.report.comparison_lines import comparison_lines, profile_lines
from allencv_al.comparison.report.comparison_tables import (
    TextTable,
    accuracy_table,
    aubc_table,
    penalty_table,
    savings_table,
    verdict,
)
from allencv_al.comparison.statistics import ComparisonSummary
from allencv_al.reports import figure_formats as formats
from allencv_al.reports.chart_layout import LineLook, line_looks
from allencv_al.reports.html import Markup, Node, name_text, tag
from allencv_al.reports.html_tables import Column, shaded, table
from allencv_al.reports.report_parts import (
    Head,
    Section,
    details,
    origin,
    write_page,
)
from allencv_al.reports.svg_chart import ChartText, line_chart, swatch


@dataclass(frozen=True)
class ComparisonContext:
    """What a report says of a comparison beside its statistics.

    Args:
        name: What it is called, as the title of the report.
        description: What was compared on what, in a sentence or two.
        metric: What the curves measure.
        seconds: How long each strategy took in all, over its seeds.
        notes: What a reader must know beside what the summary notes.
        config: The config that all cells share.
        environment: Versions and hardware, as `describe_environment()` gives them; left out, those
            of this process.
    """

    name: str
    description: str = ""
    metric: str = "accuracy"
    seconds: Mapping[str, float] | None = None
    notes: Sequence[str] = ()
    config: Mapping[str, Any] | None = None
    environment: Mapping[str, Any] | None = None


def write_comparison_report(
    path: Path, summary: ComparisonSummary, curves: Sequence[Curve], context: ComparisonContext
) -> None:
    """Write the report of a comparison, one HTML file that holds everything it shows.

    Args:
        path: The HTML file to write.
        summary: What `summarize` found.
        curves: The curves it was found from.
        context: What else is known.
    """
    lines = comparison_lines(summary)
    names = {
        line.name: _strategy_name(line.name, look)
        for line, look in zip(lines, line_looks(lines), strict=True)
    }
    sections = [
        _curves(summary, context, names),
        _areas(summary, names),
        _savings(summary, names),
        _penalties(summary, names),
        _profile(summary),
        _runs(summary, curves, context, names),
        origin(context.config, context.environment),
    ]
    head = _head(summary, curves, context)
    write_page(Path(path), head, [section for section in sections if section is not None])


def _head(summary: ComparisonSummary, curves: Sequence[Curve], context: ComparisonContext) -> Head:
    seeds = sorted({curve.seed for curve in curves})
    best = summary.ranked()[0]
    figures = {
        f"Highest AUBC: {best.strategy}": formats.percent(best.aubc_mean),
        "Strategies × seeds": f"{len(summary.strategies)} × {len(seeds)}",
        "Labels": f"{summary.labels[0]:,}–{summary.labels[-1]:,}",
        "Computing time": formats.duration(sum(context.seconds.values()))
        if context.seconds
        else "",
    }
    lead = [context.description] if context.description else []
    notes = [*summary.notes, *context.notes]
    kind = "Comparison of query strategies"
    return Head(kind, context.name, lead, figures, notes, finding=verdict(summary))


def _curves(
    summary: ComparisonSummary, context: ComparisonContext, names: Mapping[str, Markup]
) -> Section:
    lines = comparison_lines(summary)
    ends = "; ".join(f"{line.name} {line.y[-1]:.1%}" for line in lines)
    heard = f"Mean {context.metric} over labels. At {summary.labels[-1]} labels: {ends}."
    several = any(line.low is not None for line in lines)
    text = f"Mean {context.metric} over the seeds."
    if several:
        share = f"{summary.bootstrap.confidence:.0%}"
        text += (
            f" Bands are {share} bootstrap intervals of the mean, over the seeds "
            f"({summary.bootstrap.resamples:,} resamples)."
        )
    chart = line_chart(lines, ChartText(heard, y=context.metric))
    numbers = details(
        "The chart in numbers", _table(accuracy_table(summary, context.metric), names)
    )
    return Section("curves", "Learning curves", [_hint(text), tag("figure", chart), numbers])


def _areas(summary: ComparisonSummary, names: Mapping[str, Markup]) -> Section:
    text = (
        "The area under a learning curve, divided by its range of labels, is the mean accuracy on "
        "the way. Every test is paired: differences are taken between runs of one seed, which "
        "share the split, the first items and the start of the model. Holm's correction keeps the "
        "chance of a single false alarm among all comparisons below 5%."
    )
    return Section("aubc", "Who is better", [_hint(text), _table(aubc_table(summary), names)])


def _savings(summary: ComparisonSummary, names: Mapping[str, Markup]) -> Section | None:
    found = savings_table(summary)
    if found is None:
        return None
    baseline, share = summary.baseline, f"{summary.bootstrap.confidence:.0%}"
    text = (
        f"How many labels each strategy needs to reach the value of the column, which {baseline} "
        f"reaches, and how many times as many {baseline} needs, with the {share} bootstrap "
        "interval. 2× means half the labels."
    )
    return Section("savings", "Labels saved", [_hint(text), _table(found, names)])


def _penalties(summary: ComparisonSummary, names: Mapping[str, Markup]) -> Section:
    text = (
        "At which share of the label counts the strategy of the row was significantly better than "
        "that of the column (paired t test, p < 0.05; Ash et al. 2020). The last row is the mean "
        "of each column: small is good."
    )
    found = penalty_table(summary)
    rows = []
    for place, row in enumerate(found.rows):
        last = place == len(found.rows) - 1
        cells: list[Node] = [
            shaded(cell, float(cell) if cell else 0.0, "wrong" if last else "") for cell in row[1:]
        ]
        rows.append([names.get(row[0]) or row[0], *cells])
    columns = [Column(found.columns[0], text=True), *map(Column, found.columns[1:])]
    matrix = table(found.caption, columns, rows, class_="matrix with-sum")
    return Section("penalty", "Who beats whom", [_hint(text), matrix])


def _profile(summary: ComparisonSummary) -> Section | None:
    if not summary.profile.seeds:
        return None
    lines = profile_lines(summary)
    best = "; ".join(f"{line.name} {line.y[0]:.0%}" for line in lines)
    text = (
        "A problem is one label count of one seed. The height at 1 is the share of problems on "
        "which a strategy had the smallest error of all; at 1.5, the share on which its error was "
        "at most 1.5 times the smallest (Dolan and Moré 2002). Higher is better."
    )
    chart = line_chart(
        lines,
        ChartText(
            f"Performance profile. Share of problems with the smallest error: {best}.",
            x="error divided by the smallest error",
            y="share of problems",
            x_tick="{:.4g}".format,
            marked=False,
        ),
    )
    return Section("profile", "How often near the best", [_hint(text), tag("figure", chart)])


def _runs(
    summary: ComparisonSummary,
    curves: Sequence[Curve],
    context: ComparisonContext,
    names: Mapping[str, Markup],
) -> Section:
    columns = [
        Column("Strategy", text=True),
        Column("Seed"),
        Column("Label counts"),
        Column("AUBC %", "Over all of the run's own label counts"),
        Column("Final %"),
    ]
    place = {found.strategy: rank for rank, found in enumerate(summary.ranked())}
    ordered = sorted(curves, key=lambda curve: (place[curve.strategy], curve.seed))
    rows = [
        (
            names[curve.strategy],
            str(curve.seed),
            f"{curve.labels[0]:,}–{curve.labels[-1]:,} ({len(curve.labels)})",
            f"{100 * aubc(curve):.2f}",
            f"{100 * curve.values[-1]:.2f}",
        )
        for curve in ordered
    ]
    parts: list[Node] = []
    if context.seconds:
        costs = [
            (names.get(name) or name, formats.duration(seconds))
            for name, seconds in context.seconds.items()
        ]
        heads = [Column("Strategy", text=True), Column("Time")]
        parts.append(table("Computing time, over all seeds", heads, costs, class_="compact"))
    count = formats.count(len(rows), "run")
    parts.append(details(f"All {count}", table("Every run", columns, rows)))
    return Section("runs", "Runs and costs", parts)


def _table(found: TextTable, names: Mapping[str, Markup]) -> Markup:
    columns = [
        Column(title, found.hints.get(title, ""), text=place == 0)
        for place, title in enumerate(found.columns)
    ]
    rows = [[names.get(row[0]) or row[0], *map(_two_lines, row[1:])] for row in found.rows]
    return table(found.caption, columns, rows)


def _strategy_name(name: str, look: LineLook) -> Markup:
    return tag("span", swatch(look), name_text(name), class_="strategy")


def _two_lines(cell: str) -> Node:
    first, _, second = cell.partition("\n")
    return [first, tag("small", second)] if second else first


def _hint(text: str) -> Markup:
    return tag("p", text, class_="hint")
