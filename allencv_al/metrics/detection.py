"""Scores of detected boxes: average precision as COCO defines it, precision, recall, confusion.

Per class, detections are taken by falling score, over all images, and each is given the unmatched
box of its image that it covers best; precision is averaged over 101 recalls (Lin et al. 2014, and
`cocoeval.py` of github.com/cocodataset/cocoapi). A box that is marked difficult counts for nothing:
neither missed nor, if it is found, wrong (PASCAL VOC, Everingham et al. 2010, section 4.2).

pycocotools is not used for it: it reports neither the confusion matrix nor precision and recall,
prints to stdout, and has no boxes that may be found twice, unless as crowds with another overlap.
Tests hold the average precision to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allencv_al.metrics.scores import mean_of_known, ratios

COCO_RANGE = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
MOST_PER_IMAGE = 100

_RECALLS = np.linspace(0, 1, 101)
_WRONG, _RIGHT, _OF_DIFFICULT = 0, 1, 2
_Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Boxes:
    """The boxes of one image, either the true ones or a detector's.

    Args:
        boxes: `[n, 4]`: left, top, right, bottom.
        objects: The class of each, `[n]`.
        scores: The score of each, `[n]`; 0 for true boxes.
        difficult: Whether each counts for nothing, `[n]`; false for a detector's.
    """

    boxes: _Array
    objects: NDArray[np.int64]
    scores: _Array
    difficult: NDArray[np.bool_]

    def best_first(self) -> Boxes:
        """Return the boxes by falling score, the best 1,000 at most."""
        order = np.argsort(-self.scores, kind="stable")[: MOST_PER_IMAGE * 10]
        return Boxes(
            self.boxes[order], self.objects[order], self.scores[order], self.difficult[order]
        )


def detection_scores(
    images: Sequence[tuple[Boxes, Boxes]], classes: Sequence[int]
) -> dict[str, Any]:
    """Return AP at an IoU of 0.5 and over COCO's range, precision, recall and confusion.

    A class without boxes that count has no AP: it is None, and left out of the means. `precision`
    and `recall` are those of all detections, whatever their scores, at an IoU of 0.5.
    `confusion_matrix` `[C + 1, C + 1]` has the truth in its rows: boxes are matched whatever their
    class; the last row holds detections of no box, the last column boxes that are missed.

    Args:
        images: The detected and the true boxes of each image.
        classes: The numbers of all classes.
    """
    images = [(found.best_first(), truth) for found, truth in images]
    names = [str(number) for number in classes]
    per_class = [[_average_precision(images, one, iou) for iou in COCO_RANGE] for one in classes]
    at_half = [values[0] for values in per_class]
    over_range = [mean_of_known(values) for values in per_class]
    counts = [_matches(images, number, COCO_RANGE[0]) for number in classes]
    right = [int((marks == _RIGHT).sum()) for _, marks, _ in counts]
    wrong = [int((marks == _WRONG).sum()) for _, marks, _ in counts]
    totals = [total for _, _, total in counts]
    recall = ratios(right, totals)
    precision = [
        0.0 if value is None and total else value  # nothing found of boxes that are there
        for value, total in zip(ratios(right, np.add(right, wrong)), totals, strict=True)
    ]
    known = [value for value, total in zip(precision, totals, strict=True) if total]
    return {
        "classes": names,
        "mAP": mean_of_known(at_half),
        "AP": dict(zip(names, at_half, strict=True)),
        "mAP_coco": mean_of_known(over_range),
        "AP_coco": dict(zip(names, over_range, strict=True)),
        "precision": mean_of_known(known),
        "precision_per_class": dict(zip(names, precision, strict=True)),
        "recall": mean_of_known(recall),
        "recall_per_class": dict(zip(names, recall, strict=True)),
        "confusion_matrix": _confusion(images, classes).tolist(),
        "classes_without_truth": [
            name for name, value in zip(names, at_half, strict=True) if value is None
        ],
    }


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


def _average_precision(
    images: Sequence[tuple[Boxes, Boxes]], number: int, iou: float
) -> float | None:
    scores, marks, total = _matches(images, number, iou, MOST_PER_IMAGE)
    if not total:
        return None
    counted = marks != _OF_DIFFICULT
    hit = (marks[counted] == _RIGHT)[np.argsort(-scores[counted], kind="stable")]
    if not len(hit):
        return 0.0
    right = np.cumsum(hit)
    recall = right / total
    precision = right / np.arange(1, len(hit) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]  # the best at this recall or beyond
    places = np.searchsorted(recall, _RECALLS, side="left")
    reached = places < len(precision)
    at_recall = precision[np.minimum(places, len(precision) - 1)]
    return float(np.where(reached, at_recall, 0).mean())


def _matches(
    images: Sequence[tuple[Boxes, Boxes]], number: int, iou: float, most: int | None = None
) -> tuple[_Array, NDArray[np.int64], int]:
    """Return the score and the mark of each detection of a class, and how many boxes it has.

    Args:
        images: The detected boxes by falling score, and the true ones.
        number: The class.
        iou: The least overlap.
        most: Maximum number of detections per image; all by default.
    """
    scores, marks, total = [np.zeros(0)], [np.zeros(0, np.int64)], 0
    for found, truth in images:
        of_class = truth.objects == number
        difficult = truth.difficult[of_class]
        total += int((~difficult).sum())
        mine = np.flatnonzero(found.objects == number)[:most]
        scores.append(found.scores[mine])
        marks.append(_match(found.boxes[mine], truth.boxes[of_class], difficult, iou))
    return np.concatenate(scores), np.concatenate(marks), total


def _match(
    boxes: _Array, truth: _Array, difficult: NDArray[np.bool_], iou: float
) -> NDArray[np.int64]:
    marks = np.full(len(boxes), _WRONG, dtype=np.int64)
    if not len(truth):
        return marks
    free = np.ones(len(truth), dtype=bool)
    least = min(iou, 1 - 1e-10)  # as COCO's code: rounding must not refuse an equal box at IoU 1
    for place, row in enumerate(box_iou(boxes, truth)):
        # Boxes that count come first: a difficult one is taken only where no other fits
        for wanted, mark in ((~difficult, _RIGHT), (difficult, _OF_DIFFICULT)):
            candidates = np.where(free & wanted, row, -1)
            # of equal overlaps the last, as in COCO's own code
            best = len(row) - 1 - int(np.argmax(candidates[::-1]))
            if candidates[best] >= least:
                free[best] = mark == _OF_DIFFICULT  # a difficult box may be found again
                marks[place] = mark
                break
    return marks


def _confusion(images: Sequence[tuple[Boxes, Boxes]], classes: Sequence[int]) -> NDArray[np.int64]:
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
