"""Metrics of records that belong to any number of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allencv_al.service.pipeline.functions.returns import as_array
from allencv_al.service.pipeline.pipeline_errors import PipelineError


def multi_label_metrics(
    predictions: Sequence[Any], labels: Sequence[Any], class_labels: Mapping[int, str] | None
) -> dict[str, Any]:
    """Return accuracy, precision, recall, F1 and the Hamming loss.

    `accuracy` is the share of records all of whose classes are right. Means over classes are
    `macro`, those over all decisions `micro`; without a denominator they count 0, as with
    scikit-learn's `zero_division=0`. `confusion_matrix_per_class` is `[[tp, fn], [fp, tn]]`.

    Args:
        predictions: Of each record: the numbers of its classes, or a 0 or 1 for each class.
        labels: The truth, likewise.
        class_labels: The names of the classes by their numbers; those not seen keep their places.

    Raises:
        PipelineError: A value is neither (422).
    """
    rows = [_row(value, "predictions") for value in predictions]
    truth_rows = [_row(value, "labels") for value in labels]
    if _are_marks(rows + truth_rows, class_labels):
        classes = list(range(len((rows + truth_rows)[0])))
        predicted, truth = (np.array(some, dtype=bool) for some in (rows, truth_rows))
    else:
        seen = {number for row in rows + truth_rows for number in row}
        classes = sorted({*(class_labels or ()), *seen})
        predicted, truth = _marked(rows, classes), _marked(truth_rows, classes)
    return {"classes": [str(number) for number in classes], **_of_marks(predicted, truth, classes)}


def _of_marks(
    predicted: NDArray[np.bool_], truth: NDArray[np.bool_], classes: Sequence[int]
) -> dict[str, Any]:
    right = (predicted & truth).sum(axis=0)
    wrong, missed = (predicted & ~truth).sum(axis=0), (~predicted & truth).sum(axis=0)
    rest = len(truth) - right - wrong - missed
    precision, recall = _ratio(right, right + wrong), _ratio(right, right + missed)
    f1 = _ratio(2 * right, 2 * right + wrong + missed)
    sums = right.sum(), wrong.sum(), missed.sum()
    names = [str(number) for number in classes]
    return {
        "accuracy": float((predicted == truth).all(axis=1).mean()) if len(truth) else None,
        "hamming_loss": float((predicted != truth).mean()) if truth.size else None,
        "precision_micro": float(_ratio(sums[0], sums[0] + sums[1])),
        "recall_micro": float(_ratio(sums[0], sums[0] + sums[2])),
        "f1_score_micro": float(_ratio(2 * sums[0], 2 * sums[0] + sums[1] + sums[2])),
        "precision_macro": _mean(precision),
        "recall_macro": _mean(recall),
        "f1_score_macro": _mean(f1),
        "precision_per_class": dict(zip(names, precision.tolist(), strict=True)),
        "recall_per_class": dict(zip(names, recall.tolist(), strict=True)),
        "f1_score_per_class": dict(zip(names, f1.tolist(), strict=True)),
        "confusion_matrix_per_class": {
            name: [[int(tp), int(fn)], [int(fp), int(tn)]]
            for name, tp, fn, fp, tn in zip(names, right, missed, wrong, rest, strict=True)
        },
    }


def _row(value: Any, what: str) -> list[int]:
    value = as_array(value)
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if not isinstance(value, list | tuple):
        raise _error(f"{what}: expected the classes of each record as a list, found {value!r:.80}")
    numbers = [as_array(one) for one in value]
    numbers = [one.item() if isinstance(one, np.generic) else one for one in numbers]
    bad = next((one for one in numbers if not _is_class(one)), None)
    if bad is not None:
        raise _error(f"{what}: expected numbers of classes, or 0 and 1, found {bad!r:.80}")
    return [int(one) for one in numbers]


def _is_class(value: Any) -> bool:
    if isinstance(value, float):
        return value.is_integer() and value >= 0
    return isinstance(value, int) and value >= 0


def _are_marks(rows: Sequence[Sequence[int]], class_labels: Mapping[int, str] | None) -> bool:
    """Return whether rows hold a 0 or 1 for each class; else they hold numbers of classes."""
    lengths = {len(row) for row in rows}
    if len(lengths) != 1 or 0 in lengths or any(one > 1 for row in rows for one in row):
        return False
    if class_labels is not None:
        return lengths == {max(class_labels) + 1}
    # [0] and [1] are single classes; [0, 1] everywhere may be both classes of each record
    return lengths != {1} and any(list(row) != [0, 1] for row in rows)


def _marked(rows: Sequence[Sequence[int]], classes: Sequence[int]) -> NDArray[np.bool_]:
    place = {number: index for index, number in enumerate(classes)}
    found = np.zeros((len(rows), len(classes)), dtype=bool)
    for row, numbers in enumerate(rows):
        found[row, [place[number] for number in numbers]] = True
    return found


def _ratio(part: Any, whole: Any) -> NDArray[np.float64]:
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    found: NDArray[np.float64] = np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
    return found


def _mean(values: NDArray[np.float64]) -> float | None:
    return float(values.mean()) if len(values) else None


def _error(message: str) -> PipelineError:
    return PipelineError(422, "return_value", f"test: {message}", "test")
