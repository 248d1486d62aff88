"""Average precision of detections, as COCO defines it.

Per class, detections are taken by falling score, over all images, and each is given the unmatched
box of its image that it covers best; precision is averaged over 101 recalls (Lin et al. 2014, and
`cocoeval.py` of github.com/cocodataset/cocoapi). A box that is marked difficult counts for nothing:
neither missed nor, if it is found, wrong (PASCAL VOC, Everingham et al. 2010, section 4.2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allencv_al.service.pipeline.functions.returns import as_array
from allencv_al.service.pipeline.pipeline_errors import PipelineError

COCO_RANGE = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
MOST_PER_IMAGE = 100

_RECALLS = np.linspace(0, 1, 101)
_SHOWN = 8
_Array = NDArray[np.float64]


def detection_metrics(
    predictions: Mapping[Any, Any],
    labels: Mapping[Any, Any],
    class_labels: Mapping[int, str] | None = None,
) -> dict[str, Any]:
    """Return AP per class and its mean, at an IoU of 0.5 and over COCO's range; and what is found.

    A class without boxes that count has no AP: it is None, and left out of the means. `precision`
    and `recall` are those of all detections, whatever their scores, at an IoU of 0.5.
    `confusion_matrix` `[C + 1, C + 1]` has the truth in its rows: boxes are matched whatever their
    class; the last row holds detections of no box, the last column boxes that are missed.

    Args:
        predictions: By image: `boxes` `[n, 4]` (left, top, right, bottom), `objects` (classes)
            `[n]` and `scores` `[n]`.
        labels: By image: `boxes`, `objects` and, if some are difficult, `difficulties` (0 or 1).
            An image without boxes may be None, an empty dictionary, or have empty lists or None.
        class_labels: The names of the classes by their numbers, if they are known.

    Raises:
        PipelineError: Images, counts or values do not fit together (422).
    """
    images = _images(predictions, labels)
    classes = sorted(
        {*(class_labels or ())}
        | {int(one) for found, truth in images for one in (*found.objects, *truth.objects)}
    )
    if any(number < 0 for number in classes):
        raise _error("objects: expected numbers of classes from 0")
    per_class = {number: [_ap(images, number, iou) for iou in COCO_RANGE] for number in classes}
    at_half = {str(number): values[0] for number, values in per_class.items()}
    over_range = {str(number): _mean(values) for number, values in per_class.items()}
    return {
        "classes": [str(number) for number in classes],
        "mAP": _mean(list(at_half.values())),
        "AP": at_half,
        "mAP_coco": _mean(list(over_range.values())),
        "AP_coco": over_range,
        **_found(images, classes),
        "classes_without_truth": [name for name, value in at_half.items() if value is None],
    }


def _found(images: Sequence[tuple[_Boxes, _Boxes]], classes: Sequence[int]) -> dict[str, Any]:
    """Return precision, recall and the confusion matrix, of all detections."""
    precision: dict[str, float | None] = {}
    recall: dict[str, float | None] = {}
    for number in classes:
        marks, total = _marks(images, number, COCO_RANGE[0])
        right, wrong = int((marks == 1).sum()), int((marks == 0).sum())
        name = str(number)
        precision[name] = right / (right + wrong) if right + wrong else (0.0 if total else None)
        recall[name] = right / total if total else None
    known = [name for name, value in recall.items() if value is not None]
    return {
        "precision": _mean([precision[name] for name in known]),
        "precision_per_class": precision,
        "recall": _mean([recall[name] for name in known]),
        "recall_per_class": recall,
        "confusion_matrix": _confusion(images, classes).tolist(),
    }


def _confusion(
    images: Sequence[tuple[_Boxes, _Boxes]], classes: Sequence[int]
) -> NDArray[np.int64]:
    place = {number: index for index, number in enumerate(classes)}
    nothing = len(classes)
    matrix = np.zeros((nothing + 1, nothing + 1), np.int64)
    for found, truth in images:
        free = np.ones(len(truth.boxes), bool)
        for row, number in zip(box_iou(found.boxes, truth.boxes), found.objects, strict=True):
            overlaps = np.where(free, row, -1)
            best = int(overlaps.argmax()) if len(row) else 0
            if not len(row) or overlaps[best] < COCO_RANGE[0]:
                matrix[nothing, place[int(number)]] += 1
            elif truth.difficult[best]:
                continue  # counts for nothing, however often it is found
            else:
                free[best] = False
                matrix[place[int(truth.objects[best])], place[int(number)]] += 1
        for number in truth.objects[free & ~truth.difficult]:
            matrix[place[int(number)], nothing] += 1
    return matrix


def _marks(
    images: Sequence[tuple[_Boxes, _Boxes]], number: int, iou: float
) -> tuple[NDArray[np.int64], int]:
    """Return what became of each detection of a class, as `_match` has it, and its boxes."""
    marks, total = [], 0
    for found, truth in images:
        of_class = truth.objects == number
        difficult = truth.difficult[of_class]
        total += int((~difficult).sum())
        mine = found.objects == number
        marks.append(_match(found.boxes[mine], truth.boxes[of_class], difficult, iou))
    return np.concatenate(marks) if marks else np.zeros(0, np.int64), total


class _Boxes:
    """The boxes of an image."""

    def __init__(self, where: str, value: Any, has_scores: bool) -> None:
        value = {} if value is None else value  # an image without boxes
        if not isinstance(value, Mapping):
            raise _error(f"{where}: expected a dictionary with boxes and objects")
        self.boxes = _array(where, "boxes", value.get("boxes"), 4)
        self.objects = _array(where, "objects", value.get("objects"), 0).astype(np.int64)
        count = len(self.boxes)
        lacking = [name for name in ("objects", "scores")[: 1 + has_scores] if name not in value]
        if count and lacking:
            found = ", ".join(map(str, list(value)[:_SHOWN]))
            raise _error(
                f"{where}: expected {' and '.join(lacking)} of {count} boxes; found {found}"
            )
        self.scores = (
            _array(where, "scores", value.get("scores"), 0) if has_scores else np.zeros(count)
        )
        marks = value.get("difficulties")
        self.difficult = (
            np.zeros(count, dtype=bool)
            if has_scores or marks is None
            else _array(where, "difficulties", marks, 0).astype(bool)
        )
        for name in ("objects", "scores", "difficult"):
            if len(getattr(self, name)) != count:
                raise _error(f"{where}: {count} boxes and {len(getattr(self, name))} {name}")
        order = np.argsort(-self.scores, kind="stable")[: MOST_PER_IMAGE * 10]
        if has_scores:
            self.boxes, self.objects = self.boxes[order], self.objects[order]
            self.scores, self.difficult = self.scores[order], self.difficult[order]


def box_iou(first: _Array, second: _Array) -> _Array:
    """Return the intersection over union of boxes `[n, 4]` and `[m, 4]`, as `[n, m]`."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    areas = [
        np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None), axis=1) for boxes in (first, second)
    ]
    union = areas[0][:, None] + areas[1][None] - shared
    found: _Array = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return found


def _images(
    predictions: Mapping[Any, Any], labels: Mapping[Any, Any]
) -> list[tuple[_Boxes, _Boxes]]:
    if not isinstance(predictions, Mapping) or not isinstance(labels, Mapping):
        raise _error("expected boxes as two dictionaries by image")
    left = {str(key): value for key, value in predictions.items()}
    right = {str(key): value for key, value in labels.items()}
    if left.keys() != right.keys():
        differing = sorted(left.keys() ^ right.keys())[:_SHOWN]
        raise _error(f"images with predictions or labels alone: {', '.join(differing)}")
    return [
        (
            _Boxes(f"predictions[{key}]", left[key], True),
            _Boxes(f"labels[{key}]", right[key], False),
        )
        for key in left
    ]


def _ap(images: Sequence[tuple[_Boxes, _Boxes]], number: int, iou: float) -> float | None:
    scores, hits, counted, total = [], [], [], 0
    for found, truth in images:
        of_class = truth.objects == number
        difficult = truth.difficult[of_class]
        total += int((~difficult).sum())
        mine = np.flatnonzero(found.objects == number)[:MOST_PER_IMAGE]
        matched = _match(found.boxes[mine], truth.boxes[of_class], difficult, iou)
        scores.append(found.scores[mine])
        hits.append(matched == 1)
        counted.append(matched != 2)
    if not total:
        return None
    score, hit, counts = (np.concatenate(parts) for parts in (scores, hits, counted))
    order = np.argsort(-score, kind="stable")
    hit = hit[order][counts[order]]
    right = np.cumsum(hit)
    recall = right / total
    precision = right / np.arange(1, len(hit) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]  # the best at this recall or beyond
    if not len(precision):
        return 0.0
    places = np.searchsorted(recall, _RECALLS, side="left")
    reached = places < len(precision)
    at_recall = precision[np.minimum(places, len(precision) - 1)]
    return float(np.where(reached, at_recall, 0).mean())


def _match(
    boxes: _Array, truth: _Array, difficult: NDArray[np.bool_], iou: float
) -> NDArray[np.int64]:
    """Return of each detection: 1 right, 0 wrong, 2 of a difficult box, which does not count."""
    found = np.zeros(len(boxes), dtype=np.int64)
    if not len(truth):
        return found
    overlaps = box_iou(boxes, truth)
    free = np.ones(len(truth), dtype=bool)
    least = min(iou, 1 - 1e-10)
    for place, row in enumerate(overlaps):
        for wanted, mark in ((~difficult, 1), (difficult, 2)):
            candidates = np.where(free & wanted, row, -1)
            # of equal overlaps the last, as in COCO's own code
            best = len(row) - 1 - int(np.argmax(candidates[::-1]))
            if candidates[best] >= least:
                free[best] = mark == 2  # a difficult box may be found again, and counts for nothing
                found[place] = mark
                break
    return found


def _array(where: str, name: str, value: Any, columns: int) -> _Array:
    try:
        array = np.asarray([] if value is None else as_array(value), dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise _error(f"{where}: {name}: expected numbers") from None
    if array.size == 0:
        return np.zeros((0, columns) if columns else 0)
    if not np.isfinite(array).all():
        raise _error(f"{where}: {name}: expected finite numbers")
    if columns and (array.ndim != 2 or array.shape[1] != columns):
        raise _error(f"{where}: {name}: expected [n, {columns}], found {list(array.shape)}")
    found: _Array = array if columns else array.reshape(-1)
    return found


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _error(message: str) -> PipelineError:
    return PipelineError(422, "return_value", f"test: {message}", "test")
