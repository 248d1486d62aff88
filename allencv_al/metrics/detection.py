"""Scores of detected boxes: average precision by pycocotools, precision, recall, confusion.

Per class, COCO matches detections by falling score to the boxes of their image and averages the
precision over 101 recalls (Lin et al. 2014). A box that is marked difficult is ignored: it is
neither missed nor, if it is detected, wrong (PASCAL VOC, Everingham et al. 2010, section 4.2).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from allencv_al.metrics.scores import mean_of_known, ratios

COCO_RANGE = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
COCO_AREAS = {
    "all": (0.0, np.inf),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, np.inf),
}
"""Areas of boxes in square pixels; both ends belong to a range, as in COCO."""

_MOST_OF_CLASS = 100  # detections of an image that AP counts; the limit of COCO's leaderboard
_MOST_IN_ALL = 1_000  # detections of an image, of all classes
_DIGITS = 12  # COCO adds 2e-16 to denominators, so that a perfect AP is 0.9999999999999998
_Array = NDArray[np.float64]


def _silent_cocoeval() -> Any:
    """Return a copy of the module `pycocotools.cocoeval` that prints nothing.

    Redirecting stdout instead would also drop what other threads print meanwhile.
    """
    spec = importlib.util.find_spec("pycocotools.cocoeval")
    assert spec is not None and spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.print = lambda *_: None
    return module


@dataclass(frozen=True, slots=True)
class Boxes:
    """The boxes of one image, either the true ones or a detector's.

    Args:
        boxes: `[n, 4]`: left, top, right, bottom.
        objects: The class of each, `[n]`.
        scores: The score of each, `[n]`; 0 for true boxes.
        difficult: Whether each is ignored, `[n]`; false for a detector's.
        crowd: Whether each is a region of many objects, `[n]`: ignored, and matched by detections
            of which it covers enough, as COCO's `iscrowd`. Default: none.
    """

    boxes: _Array
    objects: NDArray[np.int64]
    scores: _Array
    difficult: NDArray[np.bool_]
    crowd: NDArray[np.bool_] | None = None

    def best_first(self) -> Boxes:
        """Return the boxes by falling score, at most the best 1,000."""
        order = np.argsort(-self.scores, kind="stable")[:_MOST_IN_ALL]
        return Boxes(
            *(self.boxes[order], self.objects[order], self.scores[order], self.difficult[order]),
            crowd=None if self.crowd is None else self.crowd[order],
        )


def detection_scores(
    images: Sequence[tuple[Boxes, Boxes]], classes: Sequence[int]
) -> dict[str, Any]:
    """Return AP at an IoU of 0.5 and over COCO's range, precision, recall and confusion.

    The AP of a class without boxes, other than difficult ones, is None and left out of the means.
    `precision` and `recall` are those of all detections, whatever their scores, at an IoU of 0.5.
    `confusion_matrix` `[C + 1, C + 1]` has the truth in its rows: boxes are matched whatever their
    class; the last row holds detections without a box, the last column boxes without a detection.

    Args:
        images: The detected and the true boxes of each image.
        classes: The numbers of all classes.
    """
    images = [(found.best_first(), truth) for found, truth in images]
    names = [str(number) for number in classes]
    evaluation = _DetectionEvaluation(images, classes)
    per_class = evaluation.average_precisions()
    at_half = [values[0] for values in per_class]
    over_range = [mean_of_known(values) for values in per_class]
    right, wrong, totals = evaluation.counts_at_half()
    recall = ratios(right, totals)
    # At least 1 if the class occurs: the precision of no detections of it is 0, not None
    precision = ratios(right, np.maximum(right + wrong, totals > 0))
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


def coco_summary(images: Sequence[tuple[Boxes, Boxes]], classes: Sequence[int]) -> dict[str, Any]:
    """Return the figures of COCO's evaluation of boxes.

    `mAP` over the IoUs of `COCO_RANGE`, `AP50` and `AP75` at one of them, `AR100`, the mean recall
    over these IoUs, and `mAP_small`, `mAP_medium`, `mAP_large` by the area of the box (COCO's own
    files give that of the object's outline instead). `per_class_AP` has the AP of each class. None
    where there is no box to find; such classes are left out of the means.

    Args:
        images: The detected and the true boxes of each image.
        classes: The numbers of all classes.
    """
    images = [(found.best_first(), truth) for found, truth in images]
    evaluation = _DetectionEvaluation(images, classes, COCO_AREAS)
    # [IoU, recall, class, area, limit], -1 without boxes
    precision = evaluation.eval["precision"][..., 0]
    of_all = precision[..., 0]
    at = {name: COCO_RANGE.index(iou) for name, iou in (("AP50", 0.5), ("AP75", 0.75))}
    return {
        "mAP": _mean_known(of_all),
        **{name: _mean_known(of_all[place]) for name, place in at.items()},
        "AR100": _mean_known(evaluation.eval["recall"][..., 0, 0]),
        **{
            f"mAP_{name}": _mean_known(precision[..., place])
            for place, name in enumerate(COCO_AREAS)
            if name != "all"
        },
        "per_class_AP": [_mean_known(of_all[:, :, place]) for place in range(len(classes))],
    }


def _mean_known(values: _Array) -> float | None:
    known = values[values > -1]
    return round(float(known.mean()), _DIGITS) if known.size else None


class _DetectionEvaluation(_silent_cocoeval().COCOeval):  # type: ignore[misc]  # has no types
    """COCO's evaluation of boxes, at once for all classes and IoU thresholds.

    Difficult boxes are COCO's crowds: ignored, and matched by any number of detections. Unlike
    crowds, they have the usual IoU, not the share of the detection that they cover.

    Args:
        images: The detected and the true boxes of each image.
        classes: The numbers of all classes.
        areas: Ranges of areas of boxes, by name.
    """

    def __init__(
        self,
        images: Sequence[tuple[Boxes, Boxes]],
        classes: Sequence[int],
        areas: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        super().__init__(iouType="bbox")
        self._images = images
        self.params.imgIds = list(range(len(images)))
        self.params.catIds = list(classes)
        self.params.iouThrs = np.array(COCO_RANGE)
        self.params.maxDets = [_MOST_OF_CLASS, _MOST_IN_ALL]
        areas = areas or {"all": COCO_AREAS["all"]}
        self.params.areaRng = [list(bounds) for bounds in areas.values()]
        self.params.areaRngLbl = list(areas)
        self.evaluate()
        self.accumulate()

    def average_precisions(self) -> list[list[float | None]]:
        """Return the AP of each class at each IoU of `COCO_RANGE`; None without boxes."""
        # [IoU, recall, class, area, limit], -1 for a class without boxes
        precision = self.eval["precision"][..., 0, 0].mean(axis=1)
        return [
            [None if value < 0 else round(value, _DIGITS) for value in values]
            for values in precision.T.tolist()
        ]

    def counts_at_half(self) -> NDArray[np.int64]:
        """Return the right and the wrong detections and the boxes of each class, `[3, C]`."""
        counts = np.zeros((3, len(self.params.catIds)), np.int64)
        for place, found in enumerate(self.evalImgs):  # class by class, None without boxes
            if found is not None:
                is_matched, counted = found["dtMatches"][0] > 0, ~found["dtIgnore"][0]
                counts[:, place // len(self._images)] += (
                    (is_matched & counted).sum(),
                    (~is_matched & counted).sum(),
                    (found["gtIgnore"] == 0).sum(),
                )
        return counts

    def _prepare(self) -> None:
        # In place of COCO's, which reads two COCO data sets
        for side, of_class in enumerate((self._dts, self._gts)):
            for image, pair in enumerate(self._images):
                boxes = pair[side]
                for place, box in enumerate(_with_sizes(boxes.boxes).tolist()):
                    of_class[image, int(boxes.objects[place])].append(
                        {
                            "id": place + 1,  # 0 means "no match"
                            "bbox": box,
                            "area": box[2] * box[3],
                            "score": float(boxes.scores[place]),
                            "difficult": bool(boxes.difficult[place]),
                            "iscrowd": int(boxes.crowd is not None and boxes.crowd[place]),
                        }
                    )

    def evaluateImg(self, imgId: int, catId: int, aRng: list[float], maxDet: int) -> Any:  # noqa: N802, N803
        # Only here, after the IoUs are computed, which differ for crowds
        for box in self._gts[imgId, catId]:
            box["ignore"] = box["iscrowd"] = int(box["difficult"] or box["iscrowd"])
        return super().evaluateImg(imgId, catId, aRng, maxDet)


def _with_sizes(boxes: _Array) -> _Array:
    """Return boxes as COCO has them: left, top, width, height."""
    return np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]])


def _confusion(images: Sequence[tuple[Boxes, Boxes]], classes: Sequence[int]) -> NDArray[np.int64]:
    place = {number: index for index, number in enumerate(classes)}
    nothing = len(classes)
    matrix = np.zeros((nothing + 1, nothing + 1), np.int64)
    for found, truth in images:
        free = np.ones(len(truth.boxes), bool)
        sides = (_with_sizes(side.boxes).tolist() for side in (found, truth))
        # pycocotools returns an empty list if one side is empty
        rows = coco_mask.iou(*sides, [0] * len(free)) if len(free) else [free] * len(found.boxes)
        for row, number in zip(rows, found.objects, strict=True):
            overlaps = np.where(free, row, -1)
            best = int(overlaps.argmax()) if len(row) else 0
            if not len(row) or overlaps[best] < COCO_RANGE[0]:
                matrix[nothing, place[int(number)]] += 1
            elif truth.difficult[best]:
                continue  # ignored, however many detections match it
            else:
                free[best] = False
                matrix[place[int(truth.objects[best])], place[int(number)]] += 1
        for number in truth.objects[free & ~truth.difficult]:
            matrix[place[int(number)], nothing] += 1
    return matrix
