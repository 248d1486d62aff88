"""The curves of a comparison, as lines of charts."""

from __future__ import annotations

import numpy as np

from allencv_al.comparison.statistics import ComparisonSummary
from allencv_al.reports.curve_lines import CurveLine


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
    ]


def profile_lines(summary: ComparisonSummary) -> list[CurveLine]:
    """Return the performance profile of each strategy, over factors of the smallest error."""
    factors = summary.profile.factors()
    shares = summary.profile.shares(factors)
    return [
        CurveLine(name, factors, row, baseline=name == summary.baseline)
        for name, row in zip(summary.profile.strategies, shares, strict=True)
    ]
