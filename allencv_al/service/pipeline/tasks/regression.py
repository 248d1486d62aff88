"""Metrics of predicted numbers."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allencv_al.service.pipeline.functions.returns import as_array
from allencv_al.service.pipeline.pipeline_errors import PipelineError

_MOST = sys.float_info.max


def regression_metrics(predictions: Sequence[Any], labels: Sequence[Any]) -> dict[str, Any]:
    """Return MAE, MSE, RMSE, RMSLE and R2.

    `RMSLE` is the root of the mean squared difference of log(1 + value), None where a value is
    below 0; `R2` is 1 - SS_res / SS_tot, None where all labels are the same.

    Raises:
        PipelineError: A value is no finite number (422).
    """
    predicted, truth = _numbers(predictions, "predictions"), _numbers(labels, "labels")
    if not len(truth):
        return dict.fromkeys(("MAE", "MSE", "RMSE", "RMSLE", "R2"))
    squared = float(np.mean((predicted - truth) ** 2))
    spread = float(np.mean((truth - truth.mean()) ** 2))
    logs = None
    if min(predicted.min(), truth.min()) >= 0:
        logs = math.sqrt(float(np.mean((np.log1p(predicted) - np.log1p(truth)) ** 2)))
    return {
        "MAE": float(np.mean(np.abs(predicted - truth))),
        "MSE": squared,
        "RMSE": math.sqrt(squared),
        "RMSLE": logs,
        "R2": 1 - squared / spread if spread else None,
    }


def _numbers(values: Sequence[Any], what: str) -> NDArray[np.float64]:
    found = []
    for value in values:
        value = as_array(value)
        if isinstance(value, list | tuple) and len(value) == 1:  # of [N, 1], as networks predict
            value = as_array(value[0])
        if isinstance(value, np.ndarray | np.generic) and np.size(value) == 1:
            value = value.item()
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not -_MOST <= value <= _MOST:
            message = f"test: {what}: expected finite numbers, found {value!r:.80}"
            raise PipelineError(422, "return_value", message, "test")
        found.append(float(value))
    return np.asarray(found, np.float64)
