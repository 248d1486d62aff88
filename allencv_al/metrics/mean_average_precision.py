"""COCO's average precision of detected boxes, over batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Ge
from numpy.typing import NDArray
from overrides import overrides
from torch import Tensor

from allencv_al.metrics.base import Metric, MetricValue
from allencv_al.metrics.detection import COCO_AREAS, Boxes, coco_summary

_IMAGE, _FOUND, _TRUE = 0, 1, 2  # what a row is of; one row marks each image, with boxes or not
_COLUMNS = 10  # image, kind of row, class, score, corners, difficult, crowd
_SINGLE = ("mAP", "AP50", "AP75", "AR100", *(f"mAP_{name}" for name in COCO_AREAS if name != "all"))

BoxesOfImage = Mapping[str, Tensor]
"""`boxes` `[n, 4]` (left, top, right, bottom in pixels), `labels` `[n]` (class indices from 0), of
detections `scores` `[n]`; of true boxes also `difficult` and `crowd` `[n]`, bool, if known."""


@Metric.register("mean_average_precision")
class MeanAveragePrecision(Metric):
    """COCO's figures for boxes: `mAP`, `AP50`, `AP75`, `AR100`, by size and for each class.

    pycocotools computes them over the boxes of all images, which are kept, 80 bytes for each
    (Lin et al. 2014, arXiv:1405.0312). The best 100 detections of a class in an image count. None
    where there is no true box; images without true boxes count, since detections there are wrong.

    Args:
        num_classes: Number of classes. Default: as many as there are in the boxes.
    """

    takes = "boxes"

    def __init__(self, num_classes: Annotated[int, Ge(1)] | None = None) -> None:
        super().__init__()
        self.num_classes = num_classes
        self._pending: list[Tensor] = []
        self._images = 0

    @overrides
    def __call__(self, predictions: Any, gold: Any = None, mask: Tensor | None = None) -> None:
        """Add a batch.

        Args:
            predictions: The detections of each image, `BoxesOfImage`.
            gold: The true boxes of each image.
            mask: Not used.

        Raises:
            ValueError: The lists differ in length, or boxes have not as many labels or scores.
        """
        if len(predictions) != len(gold):
            raise ValueError(
                f"{type(self).__name__}: expected gold boxes for {len(predictions)} images, found "
                f"{len(gold)}"
            )
        for found, truth in zip(predictions, gold, strict=True):
            marker = torch.zeros((1, _COLUMNS), dtype=torch.float64)
            marker[0, 0] = self._images
            rows = [_rows(found, self._images, _FOUND), _rows(truth, self._images, _TRUE)]
            self._pending += [marker, *rows]
            self._images += 1

    @overrides
    def reset(self) -> None:
        super().reset()
        self._sums, self._images = None, 0

    @overrides
    def load_state(self, state: Tensor | None) -> None:
        super().load_state(state)
        self._images = 0 if state is None or not len(state) else int(state[:, 0].max()) + 1

    @overrides
    def _update(self, predictions: Tensor, gold: Tensor) -> None:
        raise NotImplementedError  # __call__ keeps boxes instead

    @overrides
    def _settle(self) -> None:
        if self._pending:
            with torch.inference_mode(False):
                known = [] if self._sums is None else [self._sums]
                self._sums = torch.cat([*known, *self._pending])
            self._pending = []

    @overrides
    def _value(self, sums: Tensor | None) -> MetricValue:
        if sums is None or not len(sums):
            zeros: dict[str, Any] = dict.fromkeys(_SINGLE, 0.0)
            return {**zeros, "per_class_AP": [None] * (self.num_classes or 0)}
        rows = sums.numpy()
        last = rows[rows[:, 1] != _IMAGE][:, 2].max(initial=-1)
        count = self.num_classes or int(last) + 1
        if last >= count:
            raise ValueError(f"class index {last:.0f}: expected 0 to {count - 1}")
        return coco_summary(list(_images(rows)), range(count))


def _rows(boxes: BoxesOfImage, image: int, kind: int) -> Tensor:
    corners = boxes["boxes"].detach().double().cpu().reshape(-1, 4)
    count = len(corners)
    rows = torch.zeros((count, _COLUMNS), dtype=torch.float64)
    rows[:, 0], rows[:, 1], rows[:, 4:8] = image, kind, corners
    for column, name in ((2, "labels"), (3, "scores"), (8, "difficult"), (9, "crowd")):
        values = boxes.get(name)
        if values is None:
            continue
        if len(values) != count:
            raise ValueError(f"{name}: expected {count}, one for each box, found {len(values)}")
        rows[:, column] = values.detach().double().cpu()
    return rows


def _images(rows: NDArray[np.float64]) -> Sequence[tuple[Boxes, Boxes]]:
    """Return the detected and the true boxes of each image that has a row."""
    order = np.argsort(rows[:, 0], kind="stable")
    rows = rows[order]
    begins = np.flatnonzero(np.diff(rows[:, 0], prepend=-1))
    return [
        (_boxes(part[part[:, 1] == _FOUND]), _boxes(part[part[:, 1] == _TRUE]))
        for part in np.split(rows, begins[1:])
    ]


def _boxes(rows: NDArray[np.float64]) -> Boxes:
    return Boxes(
        boxes=rows[:, 4:8],
        objects=rows[:, 2].astype(np.int64),
        scores=rows[:, 3],
        difficult=rows[:, 8] > 0,
        crowd=rows[:, 9] > 0,
    )
