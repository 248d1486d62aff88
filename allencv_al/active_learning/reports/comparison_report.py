"""`report.html` of a comparison of strategies: curves, tables of the tests, and what they mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allencv_al.active_learning.comparison.curves import Curve
from allencv_al.active_learning.comparison.statistics import ComparisonSummary


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
    raise NotImplementedError
