"""Metrics of masks: the class of each pixel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allencv_al.service.pipeline.functions.returns import as_array
from allencv_al.service.pipeline.pipeline_errors import PipelineError

_MOST_CLASSES = 10_000


def segmentation_metrics(
    predictions: Sequence[Any], labels: Sequence[Any], class_labels: Mapping[int, str] | None
) -> dict[str, Any]:
    """Return pixel accuracy, IoU and Dice, over the pixels of all images.

    `IoU` and `dice` are means over the classes that occur, `fwIoU` weighs the IoU of each by its
    share of the labels.

    Args:
        predictions: Of each image: the numbers of classes, `[H, W]` or `[1, H, W]`.
        labels: The truth, likewise.
        class_labels: The names of the classes by their numbers; those not seen keep their places.

    Raises:
        PipelineError: A mask is none, or has another shape than its truth (422).
    """
    pairs = [
        (_mask(one, f"predictions[{place}]"), _mask(other, f"labels[{place}]"))
        for place, (one, other) in enumerate(zip(predictions, labels, strict=True))
    ]
    seen = [int(mask.max()) for pair in pairs for mask in pair if mask.size]
    count = max([*(class_labels or ()), *seen], default=-1) + 1
    matrix = np.zeros((count, count), np.int64)
    for place, (found, truth) in enumerate(pairs):
        if found.shape != truth.shape:
            raise _error(
                f"predictions[{place}]: expected {list(truth.shape)} pixels as its label has, "
                f"found {list(found.shape)}"
            )
        codes = truth.ravel() * count + found.ravel()
        matrix += np.bincount(codes, minlength=count**2).reshape(count, count)
    names = [str(number) for number in range(count)]
    return {"classes": names, **_of_matrix(matrix, names)}


def _of_matrix(matrix: NDArray[np.int64], names: Sequence[str]) -> dict[str, Any]:
    right, truth, predicted = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    total, union = int(matrix.sum()), truth + predicted - right
    occurs = union > 0
    iou = np.divide(right, union, out=np.zeros(len(names)), where=occurs)
    dice = np.divide(2 * right, truth + predicted, out=np.zeros(len(names)), where=occurs)

    def by_name(values: NDArray[np.float64]) -> dict[str, float | None]:
        rows = zip(names, values.tolist(), occurs.tolist(), strict=True)
        return {name: value if there else None for name, value, there in rows}

    return {
        "pixel_accuracy": float(right.sum()) / total if total else None,
        "IoU": float(iou[occurs].mean()) if occurs.any() else None,
        "IoU_per_class": by_name(iou),
        "fwIoU": float((iou * truth).sum() / total) if total else None,
        "dice": float(dice[occurs].mean()) if occurs.any() else None,
        "dice_per_class": by_name(dice),
    }


def _mask(value: Any, where: str) -> NDArray[np.int64]:
    try:
        array = np.asarray(as_array(value), dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise _error(f"{where}: expected numbers of classes, [H, W]") from None
    if array.ndim == 3 and 1 in (array.shape[0], array.shape[2]):  # of [N, 1, H, W], [N, H, W, 1]
        array = array[0] if array.shape[0] == 1 else array[:, :, 0]
    if array.ndim != 2:
        hint = "; of scores of classes take the argmax" if array.ndim == 3 else ""
        shape = list(array.shape)
        raise _error(f"{where}: expected numbers of classes, [H, W], found {shape}{hint}")
    wrong = array[~(np.isfinite(array) & (array == np.floor(array)) & (array >= 0))]
    if wrong.size:
        raise _error(f"{where}: expected numbers of classes, [H, W], found {wrong[0]:g}")
    if array.size and array.max() >= _MOST_CLASSES:
        raise _error(f"{where}: expected at most {_MOST_CLASSES} classes, found {array.max():.0f}")
    return array.astype(np.int64)


def _error(message: str) -> PipelineError:
    return PipelineError(422, "return_value", f"test: {message}", "test")
