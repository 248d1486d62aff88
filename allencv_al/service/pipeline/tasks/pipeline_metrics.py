"""Metrics of a loop, under the names of the Alectio SDK."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from allencv_al.metrics.detection import detection_scores
from allencv_al.metrics.scores import (
    class_scores,
    confusion_counts,
    mean_of_known,
    mean_with_zeros,
    one_against_rest,
    overlap_scores,
    ratios,
    regression_scores,
)
from allencv_al.service.pipeline.functions.returns import as_array, to_plain
from allencv_al.service.pipeline.pipeline_errors import PipelineError
from allencv_al.service.pipeline.tasks.returned_values import (
    as_boxes,
    as_class_sets,
    as_classes,
    as_masks,
    as_numbers,
    class_numbers,
    paired,
    scalars,
)
from allencv_al.service.pipeline.tasks.tasks import (
    DETECTION,
    MULTI_LABEL,
    REGRESSION,
    SINGLE_LABEL,
    named_task,
    task_of,
)


def metrics_of(
    predictions: Any,
    labels: Any,
    class_labels: Mapping[int, str] | None = None,
    task: str | None = None,
) -> dict[str, Any]:
    """Return the metrics of predictions and labels, with their `task`.

    Args:
        predictions: Predictions that test returned, by record or in order.
        labels: Labels in the same form.
        class_labels: Class names by class number, if known.
        task: The name of one of `tasks` (default: inferred from the values). Boxes are always
            detections, since some clients name no task or another one.

    Raises:
        PipelineError: The two do not match, or are no values of this task (422).
    """
    seen = task_of(predictions, labels)
    # Boxes have a form that nothing else has, whatever the request says
    task = DETECTION if seen == DETECTION else named_task(task) or seen
    if task == DETECTION:
        return {"task": task, **detection_metrics(predictions, labels, class_labels)}
    if task == SINGLE_LABEL:
        return {"task": task, **classification_metrics(predictions, labels, class_labels)}
    left, right = paired(predictions, labels)
    if task == REGRESSION:
        pair = as_numbers(left, "predictions"), as_numbers(right, "labels")
        return {"task": task, **regression_scores(*pair)}
    measure = multi_label_metrics if task == MULTI_LABEL else segmentation_metrics
    return {"task": task, **measure(left, right, class_labels)}


def classification_metrics(
    predictions: Any, labels: Any, class_labels: Mapping[int, str] | None = None
) -> dict[str, Any]:
    """Return accuracy, precision, recall, F1, confusion matrix and label disagreement.

    Means include every class: a class without predictions has precision 0, and one without a
    correct prediction has F1 0, as with scikit-learn's `zero_division=0`. A ratio without a
    denominator, such as the accuracy of a class without labels, is None. `label_disagreement` of a
    class is its false-positive rate.

    Classes are class numbers or names: those of `class_labels`, otherwise the names themselves in
    the order of their code points.

    Args:
        predictions: Predictions that test returned, by record or in order.
        labels: Labels in the same form.
        class_labels: Class names by class number, including unseen classes (default: the classes
            that occur).

    Raises:
        PipelineError: The two do not match, or are no classes (422).
    """
    left, right = paired(predictions, labels)
    names, predicted, truth = as_classes(left, right, class_labels)
    classes = sorted({*(class_labels or ()), *predicted, *truth})
    shown = [names.get(number, str(number)) for number in classes]
    rows, columns = (np.searchsorted(classes, side) for side in (truth, predicted))
    matrix = confusion_counts(rows, columns, len(classes))
    scores = class_scores(truth, predicted, classes)
    tables = one_against_rest(truth, predicted, classes)
    scores["f1_score"] = [value or 0.0 for value in scores["f1_score"]]
    return {
        "classes": shown,
        "accuracy": int(np.trace(matrix)) / len(truth) if truth else None,
        "confusion_matrix": matrix.tolist(),
        "acc_per_class": _by_name(shown, scores["recall"]),
        **{name: mean_with_zeros(values) for name, values in scores.items()},
        **{f"{name}_per_class": _by_name(shown, values) for name, values in scores.items()},
        "label_disagreement": _by_name(shown, ratios(tables[:, 1, 0], tables[:, 1].sum(axis=1))),
        "confusion_matrix_per_class": _by_name(shown, tables.tolist()),
    }


def multi_label_metrics(
    predictions: Sequence[Any], labels: Sequence[Any], class_labels: Mapping[int, str] | None
) -> dict[str, Any]:
    """Return accuracy, precision, recall, F1 and the Hamming loss.

    `accuracy` is the share of records with all classes right. Means over classes are `macro`, those
    over all decisions `micro`; without a denominator they are 0, as with scikit-learn's
    `zero_division=0`. `confusion_matrix_per_class` is `[[tp, fn], [fp, tn]]`.

    Args:
        predictions: For each record its class numbers, or a 0 or 1 for each class.
        labels: Labels in the same form.
        class_labels: Class names by class number, including unseen classes.

    Raises:
        PipelineError: A value has neither form (422).
    """
    classes, predicted, truth = as_class_sets(predictions, labels, class_labels)
    names = [str(number) for number in classes]
    # scikit-learn reads a single column as the labels 0 and 1 of one class
    columns = range(len(classes)) if len(classes) > 1 else [1] * len(classes)
    of_class = class_scores(truth, predicted, columns)
    of_all = class_scores(truth.ravel(), predicted.ravel(), [1])
    tables = one_against_rest(truth, predicted, columns)
    return {
        "classes": names,
        "accuracy": float((predicted == truth).all(axis=1).mean()) if len(truth) else None,
        "hamming_loss": float((predicted != truth).mean()) if truth.size else None,
        **{f"{name}_micro": values[0] or 0.0 for name, values in of_all.items()},
        **{f"{name}_macro": mean_with_zeros(values) for name, values in of_class.items()},
        **{
            f"{name}_per_class": _by_name(names, [value or 0.0 for value in values])
            for name, values in of_class.items()
        },
        "confusion_matrix_per_class": _by_name(names, tables.tolist()),
    }


def segmentation_metrics(
    predictions: Sequence[Any], labels: Sequence[Any], class_labels: Mapping[int, str] | None
) -> dict[str, Any]:
    """Return pixel accuracy, IoU and Dice, over the pixels of all images.

    `IoU` and `dice` are means over the classes that occur; `fwIoU` weights the IoU of each class by
    its share of the labels.

    Args:
        predictions: For each image the class numbers of its pixels, `[H, W]` or `[1, H, W]`.
        labels: Labels in the same form.
        class_labels: Class names by class number, including unseen classes.

    Raises:
        PipelineError: A value is not a mask, or shapes differ (422).
    """
    pairs = as_masks(predictions, labels)
    seen = [int(mask.max()) for pair in pairs for mask in pair if mask.size]
    count = max([*(class_labels or ()), *seen], default=-1) + 1
    names = [str(number) for number in range(count)]
    matrix = np.zeros((count, count), np.int64)
    for found, truth in pairs:
        matrix += confusion_counts(truth, found, count)
    scores, total = overlap_scores(matrix), int(matrix.sum())
    weighted = [
        (value or 0.0) * pixels
        for value, pixels in zip(scores["IoU"], matrix.sum(axis=1).tolist(), strict=True)
    ]
    return {
        "classes": names,
        "pixel_accuracy": int(np.trace(matrix)) / total if total else None,
        "fwIoU": sum(weighted) / total if total else None,
        **{name: mean_of_known(values) for name, values in scores.items()},
        **{f"{name}_per_class": _by_name(names, values) for name, values in scores.items()},
    }


def detection_metrics(
    predictions: Mapping[Any, Any],
    labels: Mapping[Any, Any],
    class_labels: Mapping[int, str] | None = None,
) -> dict[str, Any]:
    """Return the scores of `metrics.detection` for boxes by image.

    Args:
        predictions: See `as_boxes`.
        labels: See `as_boxes`.
        class_labels: Class names by class number, if known.

    Raises:
        PipelineError: Images, counts or values do not match (422).
    """
    images = as_boxes(predictions, labels)
    seen = {int(one) for pair in images for boxes in pair for one in boxes.objects}
    return detection_scores(images, sorted({*(class_labels or ()), *seen}))


def queried_per_class(labels: Any, count: int) -> dict[str, int] | None:
    """Return the number of labeled records per class number or name; None if unknown.

    If train returns the labels of several epochs one after another, each record counts once.

    Args:
        labels: Labels that train returned.
        count: Number of labeled records.
    """
    try:
        labels = as_array(labels)
        if isinstance(labels, Mapping):
            labels = list(labels.values())
        values = to_plain(scalars(list(labels)), "train", "labels")
        if not all(isinstance(value, str) for value in values):
            values = class_numbers(values, "labels")
    except (TypeError, PipelineError):
        return None
    if count and len(values) % count == 0:
        values = values[:count]
    found = Counter(values)
    return {str(one): found[one] for one in sorted(found)}


def _by_name(names: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(names, values, strict=True))
