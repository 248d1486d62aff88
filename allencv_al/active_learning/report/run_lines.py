"""The learning curves of one run, as lines of a chart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from allencv_al.active_learning.rounds.curves import curve_from_records
from allencv_al.active_learning.rounds.round_record import RoundRecord
from allencv_al.reports.curve_lines import CurveLine


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
