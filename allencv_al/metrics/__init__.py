"""Metrics of classifiers, summed over batches on the device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allencv_al.common.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from allencv_al.metrics.accuracy_interval import AccuracyEstimate as AccuracyEstimate
    from allencv_al.metrics.accuracy_interval import mean_confidence as mean_confidence
    from allencv_al.metrics.accuracy_interval import sample_accuracy as sample_accuracy
    from allencv_al.metrics.accuracy_interval import wilson_interval as wilson_interval
    from allencv_al.metrics.base import Metric as Metric
    from allencv_al.metrics.classification import AveragePrecision as AveragePrecision
    from allencv_al.metrics.classification import BalancedAccuracy as BalancedAccuracy
    from allencv_al.metrics.classification import CategoricalAccuracy as CategoricalAccuracy
    from allencv_al.metrics.classification import ConfusionMatrix as ConfusionMatrix
    from allencv_al.metrics.classification import (
        ExpectedCalibrationError as ExpectedCalibrationError,
    )
    from allencv_al.metrics.classification import MacroF1 as MacroF1
    from allencv_al.metrics.classification import PerClassAccuracy as PerClassAccuracy
    from allencv_al.metrics.classification import RocAuc as RocAuc

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "AccuracyEstimate": "allencv_al.metrics.accuracy_interval",
        "AveragePrecision": "allencv_al.metrics.classification",
        "BalancedAccuracy": "allencv_al.metrics.classification",
        "CategoricalAccuracy": "allencv_al.metrics.classification",
        "ConfusionMatrix": "allencv_al.metrics.classification",
        "ExpectedCalibrationError": "allencv_al.metrics.classification",
        "MacroF1": "allencv_al.metrics.classification",
        "Metric": "allencv_al.metrics.base",
        "PerClassAccuracy": "allencv_al.metrics.classification",
        "RocAuc": "allencv_al.metrics.classification",
        "mean_confidence": "allencv_al.metrics.accuracy_interval",
        "sample_accuracy": "allencv_al.metrics.accuracy_interval",
        "wilson_interval": "allencv_al.metrics.accuracy_interval",
    },
)
