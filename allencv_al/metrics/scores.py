"""Scores of whole arrays: of classes, numbers and masks. (`Metric` adds up batches instead.)

Where a score has no denominator it is None, unless the function says otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def ratios(parts: ArrayLike, wholes: ArrayLike) -> list[float | None]:
    """Return each part over its whole; None where the whole is 0."""
    pairs = zip(np.asarray(parts).tolist(), np.asarray(wholes).tolist(), strict=True)
    return [part / whole if whole else None for part, whole in pairs]


def mean_of_known(values: Sequence[float | None]) -> float | None:
    """Return the mean of the values that are not None; None if there are none."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def mean_with_zeros(values: Sequence[float | None]) -> float | None:
    """Return the mean, None counting 0, as with scikit-learn's `zero_division=0`."""
    return sum(value or 0.0 for value in values) / len(values) if values else None


def confusion_counts(
    truth: NDArray[np.int64], predicted: NDArray[np.int64], num_classes: int
) -> NDArray[np.int64]:
    """Return counts `[C, C]`: row = true class, column = predicted class.

    Args:
        truth: Class indices, of any shape.
        predicted: Class indices, of the same shape.
        num_classes: C.
    """
    # scikit-learn's confusion_matrix takes 50 times as long for a mask of a million pixels
    codes = truth.ravel() * num_classes + predicted.ravel()
    return np.bincount(codes, minlength=num_classes**2).reshape(num_classes, num_classes)


def class_scores(
    truth: ArrayLike, predicted: ArrayLike, labels: Sequence[int]
) -> dict[str, list[float | None]]:
    """Return the precision, recall and F1 score of each label.

    Args:
        truth: The label of each item, `[N]`, or a 0 or 1 for each label, `[N, L]`.
        predicted: The same of the predictions.
        labels: The labels to return; all columns `0 .. L - 1` of `[N, L]`.
    """
    names = ("precision", "recall", "f1_score")
    if not np.size(truth):  # an error in scikit-learn
        return {name: [None] * len(labels) for name in names}
    from sklearn.metrics import precision_recall_fscore_support

    found = precision_recall_fscore_support(truth, predicted, labels=labels, zero_division=np.nan)
    return {
        name: [None if np.isnan(value) else value for value in values.tolist()]
        for name, values in zip(names, found, strict=False)  # without the support
    }


def one_against_rest(
    truth: ArrayLike, predicted: ArrayLike, labels: Sequence[int]
) -> NDArray[np.int64]:
    """Return `[[tp, fn], [fp, tn]]` of each label, `[L, 2, 2]`.

    Args:
        truth: See `class_scores`.
        predicted: See `class_scores`.
        labels: See `class_scores`.
    """
    if not np.size(truth):
        return np.zeros((len(labels), 2, 2), np.int64)
    from sklearn.metrics import multilabel_confusion_matrix

    tables = multilabel_confusion_matrix(truth, predicted, labels=labels)  # [[tn, fp], [fn, tp]]
    # Floats in scikit-learn if no item has one of the labels
    found: NDArray[np.int64] = tables[:, ::-1, ::-1].astype(np.int64)
    return found


def overlap_scores(counts: NDArray[np.int64]) -> dict[str, list[float | None]]:
    """Return the intersection over union and the Dice coefficient of each class.

    Args:
        counts: The confusion matrix over all pixels, `[C, C]`.
    """
    # scikit-learn's jaccard_score takes all pixels of all images at once, not their counts
    right, truth, predicted = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    return {
        "IoU": ratios(right, truth + predicted - right),
        "dice": ratios(2 * right, truth + predicted),
    }


def regression_scores(
    predicted: NDArray[np.float64], truth: NDArray[np.float64]
) -> dict[str, float | None]:
    """Return MAE, MSE, RMSE, RMSLE and R2; all None without values.

    `RMSLE` is the root of the mean squared difference of log(1 + value), None where a value is
    below 0; `R2` is 1 - SS_res / SS_tot, None where all labels are the same.
    """
    if not len(truth):
        return dict.fromkeys(("MAE", "MSE", "RMSE", "RMSLE", "R2"))
    from sklearn import metrics  # 1 s to import, and servers start without it

    pair = truth, predicted
    # scikit-learn gives R2 0 or 1 for equal labels; their variance may differ from 0 by rounding
    differ = bool(np.ptp(truth))
    scores: dict[str, Any] = {
        "MAE": metrics.mean_absolute_error(*pair),
        "MSE": metrics.mean_squared_error(*pair),
        "RMSE": metrics.root_mean_squared_error(*pair),
        "RMSLE": metrics.root_mean_squared_log_error(*pair)
        if min(map(np.min, pair)) >= 0
        else None,
        "R2": metrics.r2_score(*pair) if differ else None,
    }
    return {name: None if value is None else float(value) for name, value in scores.items()}


def cohen_kappa(first: Sequence[Any], second: Sequence[Any]) -> float | None:
    """Return the agreement of two labelings beyond that of chance.

    None without items, and where both name one and the same class throughout: chance alone agrees
    then, too.

    Args:
        first: A class for each item.
        second: A class for each item.
    """
    if len({*first, *second}) < 2:
        return None
    from sklearn.metrics import cohen_kappa_score

    return float(cohen_kappa_score(first, second))
