"""`CurveLine`: one line of a learning-curve chart, from the rounds of a run or from a summary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from allencv_al.active_learning.comparison.curves import FloatArray, IntArray, curve_from_records
from allencv_al.active_learning.comparison.statistics import ComparisonSummary
from allencv_al.active_learning.round_record import RoundRecord


@dataclass(frozen=True, eq=False)
class CurveLine:
    """One line of a chart, with the band around it where it is a mean.

    Args:
        name: What the legend calls it.
        labels: Label counts, increasing, `[R]`.
        values: Fractions, `[R]`.
        low: Lower end of the band, `[R]`; None for no band.
        high: Upper end of the band.
        baseline: Whether the others are compared with it; it is drawn gray and dashed.
    """

    name: str
    labels: IntArray
    values: FloatArray
    low: FloatArray | None = None
    high: FloatArray | None = None
    baseline: bool = False


def run_lines(records: Sequence[RoundRecord]) -> list[CurveLine]:
    """Return the lines of one run: accuracy on the test images and on the whole pool.

    A metric that no round has gives no line.
    """
    names = {"accuracy": "test images", "pool_accuracy": "pool, labeled and predicted"}
    curves = {
        name: curve_from_records(records, name, seed=0, metric=metric)
        for metric, name in names.items()
    }
    return [CurveLine(name, curve.labels, curve.values) for name, curve in curves.items() if curve]


def comparison_lines(summary: ComparisonSummary) -> list[CurveLine]:
    """Return the mean curve of each strategy with its bootstrap band, in the order given."""
    return [
        CurveLine(
            found.strategy,
            np.asarray(summary.labels),
            found.mean_curve,
            found.band_low,
            found.band_high,
            baseline=found.strategy == summary.baseline,
        )
        for found in summary.strategies
    ]
