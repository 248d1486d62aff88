"""`CurveLine`: one line of a chart, from the rounds of a run or from the summary of many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from allencv_al.active_learning.rounds.curves import FloatArray, curve_from_records
from allencv_al.active_learning.rounds.round_record import RoundRecord
from allencv_al.comparison.statistics import ComparisonSummary


@dataclass(frozen=True, eq=False)
class CurveLine:
    """One line of a chart, with the band around it where it is a mean.

    Args:
        name: What the legend calls it.
        x: Where it was measured, increasing: label counts, `[R]`.
        y: What was measured, fractions, `[R]`.
        low: Lower end of the band, `[R]`; None for no band.
        high: Upper end of the band.
        baseline: Whether the others are compared with it; it is drawn gray and dashed.
    """

    name: str
    x: FloatArray
    y: FloatArray
    low: FloatArray | None = None
    high: FloatArray | None = None
    baseline: bool = False


def run_lines(records: Sequence[RoundRecord]) -> list[CurveLine]:
    """Return the lines of one run: accuracy, or mAP, on the test set; and on the whole pool.

    A metric that no round has gives no line.
    """
    names = {
        "accuracy": "test set",
        "mean_average_precision": "mAP on the test set",
        "pool_accuracy": "whole pool",
    }
    curves = [
        curve_from_records(records, name, seed=0, metric=metric) for metric, name in names.items()
    ]
    return [
        CurveLine(curve.strategy, curve.labels.astype(np.float64), curve.values)
        for curve in curves
        if curve is not None
    ]


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
