"""The results of a comparison for machines and for a repository: CSV and Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from allencv_al.active_learning.comparison.curves import Curve
from allencv_al.active_learning.comparison.statistics import ComparisonSummary
from allencv_al.active_learning.reports.comparison_report import ComparisonContext


def curve_rows(curves: Sequence[Curve], metric: str = "accuracy") -> list[dict[str, Any]]:
    """Return a row for each point of each curve: `strategy`, `seed`, `labels` and the metric."""
    return [
        {
            "strategy": curve.strategy,
            "seed": curve.seed,
            "labels": int(labels),
            metric: float(value),
        }
        for curve in curves
        for labels, value in zip(curve.labels, curve.values, strict=True)
    ]


def write_results_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as CSV; the columns are all keys, in the order of their first appearance.

    Args:
        path: The CSV file to write.
        rows: One mapping per line; what a row lacks, and None, is an empty cell.
    """
    raise NotImplementedError


def write_results_markdown(
    path: Path, summary: ComparisonSummary, context: ComparisonContext
) -> None:
    """Write the tables of a comparison as Markdown, with the date and the versions.

    Args:
        path: The Markdown file to write.
        summary: What `summarize` found.
        context: What else is known.
    """
    raise NotImplementedError
