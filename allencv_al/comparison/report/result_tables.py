"""`results.csv` and `results.md` of a comparison."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from allencv_al.common.files.atomic_file import write_text
from allencv_al.common.files.tables import csv_text
from allencv_al.comparison.report.comparison_report import ComparisonContext
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
from allencv_al.reports.page import TextTable, known_environment, readable

# Markup of Markdown, or of HTML within it. An underscore within a word is none.
_SPECIAL = re.compile(r"([\\`*\[\]<>|#~])")
_FACTS = ("platform", "processor", "processors", "torch_threads", "cuda")


def write_results_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as CSV; the columns are all keys, in the order of their first appearance.

    Args:
        path: The CSV file to write.
        rows: One mapping per line; missing keys and None become empty cells.
    """
    # A metric may appear in later rounds only, once a class is known; a set has no order
    columns = list(dict.fromkeys(key for row in rows for key in row))
    write_text(path, csv_text(columns, rows) if columns else "")


def write_results_markdown(
    path: Path, summary: ComparisonSummary, context: ComparisonContext
) -> None:
    """Write the tables of a comparison as Markdown, with the date and the versions.

    Args:
        path: The Markdown file to write.
        summary: From `summarize`.
        context: Further facts.
    """
    write_text(path, "\n".join(_lines(summary, context)) + "\n")


def _lines(summary: ComparisonSummary, context: ComparisonContext) -> Iterator[str]:
    yield f"# {_escaped(context.name)}"
    if context.description:
        yield from ("", _escaped(context.description))
    yield from ("", _escaped(verdict(summary)))
    notes = [*summary.notes, *context.notes]
    if notes:
        yield from ("", *(f"- {_escaped(note)}" for note in notes))
    yield from markdown_table(
        aubc_table(summary),
        "Mean ± standard deviation over the seeds; differences in points and tests are paired by "
        "seed, p values two-sided.",
    )
    resamples = f"{summary.bootstrap.resamples:,} resamples of the seeds"
    intervals = f"{summary.bootstrap.confidence:.0%} bootstrap intervals ({resamples})"
    yield from markdown_table(
        accuracy_table(summary, context.metric), f"In parentheses {intervals}."
    )
    thirds = thirds_table(summary)
    if thirds is not None:
        text = "Mean ± standard error over the seeds"
        if summary.baseline is not None:
            text += (
                f"; in parentheses the difference to {summary.baseline} in points, and p of the "
                "paired t test after Holm's correction within the column"
            )
        yield from markdown_table(thirds, f"{text}.")
    savings = savings_table(summary)
    if savings is not None:
        text = (
            f"How many labels each strategy needs to reach the value of the column, and how many "
            f"times as many {summary.baseline} needs, with {intervals}."
        )
        yield from markdown_table(savings, text)
    bounds = bounds_table(summary)
    if bounds is not None:
        text = (
            f"What a strategy that looks at the test images reached, and the share of its gain "
            f"over {summary.baseline} that each strategy took."
        )
        yield from markdown_table(bounds, text)
    yield from markdown_table(
        penalty_table(summary),
        "Share of the label counts at which the row was significantly better than the column "
        "(paired t test, p < 0.05); small numbers in the last row are good.",
    )
    yield from _origin(summary, context)


def markdown_table(found: TextTable, text: str) -> Iterator[str]:
    """Yield the lines of a section: the caption, a text, and the table."""
    yield from ("", f"## {_escaped(found.caption)}", "", _escaped(text), "")
    yield _row(found.columns)
    # Numbers to the right; the first column holds names
    yield "|" + "|".join(["---", *["--:"] * (len(found.columns) - 1)]) + "|"
    for row in found.rows:
        yield _row(row)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_escaped(cell) for cell in cells) + " |"


def _origin(summary: ComparisonSummary, context: ComparisonContext) -> Iterator[str]:
    environment = known_environment(context.environment)
    everyone = sorted({seed for found in summary.strategies for seed in found.seeds})
    facts = {"date": str(environment["started"])} if environment.get("started") else {}
    facts["seeds"] = ", ".join(map(str, everyone))
    if context.seconds:
        facts["computing time"] = formats.duration(sum(context.seconds.values()))
    facts |= {
        name.replace("_", " "): str(environment[name])
        for name in _FACTS
        if environment.get(name) is not None
    }
    versions = environment.get("versions") or {}
    facts |= {f"{package} version": str(version) for package, version in versions.items()}
    yield from ("", "## Origin", "", "| what | value |", "|---|---|")
    for name, value in facts.items():
        yield _row((name, value))


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", readable(" ".join(text.split())))
