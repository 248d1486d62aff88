"""What a loop is measured by, under the names of the original."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from allencv_al.service.pipeline.functions.returns import as_array, to_plain
from allencv_al.service.pipeline.pipeline_errors import PipelineError
from allencv_al.service.pipeline.tasks.average_precision import detection_metrics
from allencv_al.service.pipeline.tasks.multi_label import multi_label_metrics
from allencv_al.service.pipeline.tasks.regression import regression_metrics
from allencv_al.service.pipeline.tasks.segmentation import segmentation_metrics
from allencv_al.service.pipeline.tasks.tasks import (
    CLASSIFICATION,
    DETECTION,
    MULTI_LABEL,
    REGRESSION,
    task_of,
)

_SHOWN = 8
_DIGITS = 10  # of the number of a class


def paired(predictions: Any, labels: Any) -> tuple[list[Any], list[Any]]:
    """Return predictions and labels side by side.

    Two dictionaries are joined by their keys, of which both must have the same; two lists or
    arrays by their places.

    Raises:
        PipelineError: Keys or lengths differ (422); the keys are named.
    """
    predictions, labels = as_array(predictions), as_array(labels)
    if isinstance(predictions, Mapping) and isinstance(labels, Mapping):
        left = {str(key): value for key, value in predictions.items()}
        right = {str(key): value for key, value in labels.items()}
        if left.keys() != right.keys():
            without = sorted(left.keys() - right.keys())[:_SHOWN]
            unseen = sorted(right.keys() - left.keys())[:_SHOWN]
            raise _error(
                f"predictions without label: {', '.join(without) or 'none'}; labels without "
                f"prediction: {', '.join(unseen) or 'none'}"
            )
        return [left[key] for key in left], [right[key] for key in left]
    if isinstance(predictions, Mapping) or isinstance(labels, Mapping):
        raise _error("expected two dictionaries or two lists, found one of each")
    try:
        found = list(predictions), list(labels)
    except TypeError:
        raise _error("expected two dictionaries, lists or arrays") from None
    if len(found[0]) != len(found[1]):
        raise _error(f"found {len(found[0])} predictions and {len(found[1])} labels")
    return found


def classification_metrics(
    predictions: Any, labels: Any, class_labels: Mapping[int, str] | None = None
) -> dict[str, Any]:
    """Return accuracy, precision, recall, F1, confusion matrix and label disagreement.

    The means over classes leave out none: a class without predictions has precision 0, and one that
    was never right has F1 0, as scikit-learn's `zero_division=0` has it. What has no denominator at
    all, such as the accuracy of a class without labels, is None. `label_disagreement` of a class is
    its false-positive rate.

    Classes are numbers, or names: those of `class_labels`, else the names themselves in the order
    of their code points.

    Args:
        predictions: What test has returned, by record or in order.
        labels: The truth, likewise.
        class_labels: The names of the classes by their numbers; classes that are not seen keep
            their places. By default the classes are those that are seen.

    Raises:
        PipelineError: The two do not fit together, or are no class numbers (422).
    """
    left, right = paired(predictions, labels)
    names, predicted, truth = _classes_of(left, right, class_labels)
    classes = sorted({*(class_labels or ()), *predicted, *truth})
    place = {number: index for index, number in enumerate(classes)}
    matrix = np.zeros((len(classes), len(classes)), dtype=np.int64)
    for one, other in zip(truth, predicted, strict=True):
        matrix[place[one], place[other]] += 1
    shown = [names.get(number, str(number)) for number in classes]
    return {"classes": shown, **_of_matrix(matrix, shown)}


def metrics_of(
    predictions: Any,
    labels: Any,
    class_labels: Mapping[int, str] | None = None,
    task: str | None = None,
) -> dict[str, Any]:
    """Return what test's values are measured by, with the `task` that decides it.

    Args:
        predictions: What test has returned, by record or in order.
        labels: The truth, likewise.
        class_labels: The names of the classes by their numbers, if they are known.
        task: One of `tasks`; by default what the values look like. Boxes are always detections:
            not all clients name their task.

    Raises:
        PipelineError: They do not fit together, or are no values of this task (422).
    """
    seen = task_of(predictions, labels)
    task = DETECTION if seen == DETECTION else task or seen
    if task == DETECTION:
        return {"task": task, **detection_metrics(predictions, labels, class_labels)}
    if task == CLASSIFICATION:
        return {"task": task, **classification_metrics(predictions, labels, class_labels)}
    left, right = paired(predictions, labels)
    if task == REGRESSION:
        return {"task": task, **regression_metrics(left, right)}
    measure = multi_label_metrics if task == MULTI_LABEL else segmentation_metrics
    return {"task": task, **measure(left, right, class_labels)}


def queried_per_class(labels: Any, count: int) -> dict[str, int] | None:
    """Return how many of the labeled records belong to each class, by number or name.

    Examples return the labels of every epoch one after the other; then each record counts once.

    Args:
        labels: What train has returned as labels.
        count: How many records there were.
    """
    try:
        labels = as_array(labels)
        if isinstance(labels, Mapping):
            labels = list(labels.values())
        values = to_plain(_scalars(list(labels)), "train", "labels")
        if not all(isinstance(value, str) for value in values):
            values = _numbers(values, "labels")
    except (TypeError, PipelineError):
        return None
    if count and len(values) % count == 0:
        values = values[:count]
    found = Counter(values)
    return {str(one): found[one] for one in sorted(found)}


def _of_matrix(matrix: np.ndarray[Any, Any], names: Sequence[str]) -> dict[str, Any]:
    right = np.diag(matrix)
    truth, predicted, total = matrix.sum(axis=1), matrix.sum(axis=0), int(matrix.sum())
    wrong = predicted - right
    precision, recall = _ratios(right, predicted), _ratios(right, truth)
    both = [
        2 * (p or 0) * (r or 0) / ((p or 0) + (r or 0)) if (p or 0) + (r or 0) else 0.0
        for p, r in zip(precision, recall, strict=True)
    ]
    return {
        "accuracy": float(right.sum()) / total if total else None,
        "confusion_matrix": matrix.tolist(),
        "acc_per_class": dict(zip(names, recall, strict=True)),
        "precision": _mean(precision),
        "precision_per_class": dict(zip(names, precision, strict=True)),
        "recall": _mean(recall),
        "recall_per_class": dict(zip(names, recall, strict=True)),
        "f1_score": _mean(both),
        "f1_score_per_class": dict(zip(names, both, strict=True)),
        "label_disagreement": dict(zip(names, _ratios(wrong, total - truth), strict=True)),
        "confusion_matrix_per_class": {
            name: [[int(r), int(t - r)], [int(w), int(total - t - w)]]
            for name, r, t, w in zip(names, right, truth, wrong, strict=True)
        },
    }


def _ratios(parts: Any, wholes: Any) -> list[float | None]:
    return [
        float(part) / float(whole) if whole else None
        for part, whole in zip(parts, wholes, strict=True)
    ]


def _mean(values: Sequence[float | None]) -> float | None:
    """Return the mean over the classes; a class without a value counts 0."""
    return sum(value or 0.0 for value in values) / len(values) if values else None


def _classes_of(
    left: Sequence[Any], right: Sequence[Any], class_labels: Mapping[int, str] | None
) -> tuple[dict[int, str], list[int], list[int]]:
    """Return the names of classes that have no number, and predictions and labels by number."""
    sides = {"predictions": _scalars(left), "labels": _scalars(right)}
    texts = {one for side in sides.values() for one in side if isinstance(one, str)}
    names: dict[int, str] = {}
    are_texts = all(isinstance(one, str) for side in sides.values() for one in side)
    if are_texts and not class_labels and any(not one.isdecimal() for one in texts):
        names = dict(enumerate(sorted(texts)))
    places = {name: number for number, name in (class_labels or names).items()}
    numbers = [
        _numbers([_number_of(one, places) for one in side], what, class_labels)
        for what, side in sides.items()
    ]
    return names, numbers[0], numbers[1]


def _number_of(value: Any, places: Mapping[str, int]) -> Any:
    if not isinstance(value, str):
        return value
    return places.get(value, int(value) if value.isdecimal() and len(value) < _DIGITS else value)


def _numbers(
    values: Iterable[Any], what: str, class_labels: Mapping[int, str] | None = None
) -> list[int]:
    found = []
    for place, value in enumerate(_scalars(values)):
        if value is None:
            raise _error(
                f"{what}: expected the numbers of classes, found None, or a number that is not "
                f"finite, in place {place}"
            )
        if not _is_whole(value):
            expected = "the numbers of classes"
            if class_labels and isinstance(value, str):
                names = ", ".join(map(str, list(class_labels.values())[:_SHOWN]))
                expected += f", or their names ({names})"
            raise _error(f"{what}: expected {expected}, found {value!r:.80}")
        found.append(int(value))
    return found


def _scalars(values: Iterable[Any]) -> list[Any]:
    """Return values with arrays of one number as that number."""
    arrays = (as_array(value) for value in values)
    return [
        value.item()
        if isinstance(value, np.generic | np.ndarray) and np.size(value) == 1
        else value
        for value in arrays
    ]


def _is_whole(value: Any) -> bool:
    if isinstance(value, float):
        return value.is_integer()
    return isinstance(value, int)


def _error(message: str) -> PipelineError:
    return PipelineError(422, "return_value", f"test: {message}", "test")
