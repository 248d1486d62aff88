"""Boxes around objects, each with a class."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from overrides import overrides
from PIL import Image, ImageDraw
from torch import Tensor

from allencv_al.common.errors import DataError
from allencv_al.data.box_texts import boxes_problem, boxes_text, text_of_boxes, with_boxes
from allencv_al.data.frame import Frame
from allencv_al.data.instance import Instance
from allencv_al.tasks.base import Judgment, LabelTask
from allencv_al.tasks.score_axes import Aggregate
from allencv_al.tasks.unit_scores import aggregated, sigmoid_scores

LEAST_SCORE = 0.05  # of detections that count; those below are mostly noise
_TOP = 10  # detections
_LEAST_SHOWN = 0.3  # score of what a person is shown
_OUTLINE = "#ff3b8d"
_SAME_BOX = 0.5  # intersection over union from which two boxes are of one object


@LabelTask.register("detection")
class Detection(LabelTask):
    """Boxes around objects, each with a class.

    The text of a label is a JSON array with an object per box: `label`, and `x`, `y`, `width` and
    `height` in pixels of the upright image, from its top left corner. `[]` says that no object is
    there. `"difficult": true`, or `"crowd": true` for a region of many objects, marks a box that is
    neither learned nor judged.
    """

    targets: ClassVar[tuple[str, ...]] = ("boxes", "box_labels")
    main_metric: ClassVar[str] = "+mAP"
    outputs: ClassVar[tuple[str, ...]] = ("scores", "objects", "embeddings")
    record_names: ClassVar[Mapping[str, str]] = {"mAP": "mean_average_precision"}
    # Brust et al., "Active learning for deep object detection", VISAPP 2019: the sum, which takes
    # images with many objects, beats the mean and the maximum
    aggregate: ClassVar[Aggregate] = "sum"
    widget: ClassVar[str | None] = "boxes"

    names_image: ClassVar[bool] = False

    @overrides
    def is_labeled(self, instance: Instance) -> bool:
        return instance.boxes is not None

    @overrides
    def classes_in(self, instance: Instance) -> tuple[str, ...]:
        return instance.box_labels or ()

    @overrides
    def text_of(self, instance: Instance) -> str | None:
        return None if instance.boxes is None else text_of_boxes(instance)

    @overrides
    def labeled(self, instance: Instance, text: str) -> Instance:
        fault = self.problem(text)
        if fault is not None:
            raise DataError(f"{instance.id}: {fault}")
        return with_boxes(instance.unlabeled(), text)

    @overrides
    def problem(self, text: str, classes: Collection[str] | None = None) -> str | None:
        return boxes_problem(text, classes)

    @overrides
    def class_names(self, text: str) -> tuple[str, ...]:
        return tuple(box["label"] for box in json.loads(text))

    @overrides
    def renamed(self, text: str, rename: Callable[[str], str]) -> str:
        return boxes_text({**box, "label": rename(box["label"])} for box in json.loads(text))

    @overrides
    def value(self, text: str) -> Any:
        return json.loads(text)

    @overrides
    def shown(self, text: str) -> str:
        counts = Counter(self.class_names(text))
        return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "(none)"

    @overrides
    def judged(
        self, instance: Instance, prediction: Mapping[str, Any], class_names: Sequence[str]
    ) -> list[Judgment]:
        objects = prediction.get("objects")
        if instance.boxes is None or not isinstance(objects, list):
            return []
        # Boxes without names are of the one class that a model of such boxes has
        names = instance.box_labels or tuple(class_names[:1]) * len(instance.boxes)
        left = dict(enumerate(zip(names, instance.boxes, strict=True)))
        found = []
        # As in the metrics: the surest first, whatever their class
        shown = [one for one in objects if one["score"] >= _LEAST_SHOWN]
        for one in sorted(shown, key=lambda one: -one["score"]):
            overlaps = {place: _overlap(one, corners) for place, (_, corners) in left.items()}
            place = max(overlaps, key=overlaps.__getitem__, default=None)
            expected = ""
            if place is not None and overlaps[place] >= _SAME_BOX:
                expected, _ = left.pop(place)
            elif any(
                _overlap(one, each.box, each.is_crowd) >= _SAME_BOX for each in instance.ignored
            ):
                continue
            found.append(Judgment(expected, one["label"], one["score"]))
        # Of an object that is missed nothing says how sure the model is that none is there
        return [*found, *(Judgment(name, "", 0.0) for name, _ in left.values())]

    @overrides
    def stratum(self, text: str) -> str:
        return ", ".join(sorted(set(self.class_names(text))))

    @overrides
    def in_image(self, prediction: Mapping[str, Any], frame: Frame) -> dict[str, Any]:
        objects = prediction.get("objects")
        if not isinstance(objects, list):
            return dict(prediction)
        return {**prediction, "objects": [_object_in_image(one, frame) for one in objects]}

    @overrides
    def caption(self, prediction: Mapping[str, Any]) -> str | None:
        objects = prediction.get("objects")
        if not isinstance(objects, list):
            return None
        counts = Counter(one["label"] for one in objects if one["score"] >= _LEAST_SHOWN)
        return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "(none)"

    @overrides
    def draft(self, prediction: Mapping[str, Any]) -> tuple[str, float] | None:
        objects = prediction.get("objects")
        if not isinstance(objects, list):
            return None
        kept = [one for one in objects if one["score"] >= _LEAST_SHOWN]
        # Cut at the border of the image, one may have lost its area, and would be no label
        boxes = [one for one in kept if one["width"] > 0 and one["height"] > 0]
        if boxes:
            return boxes_text(boxes), math.prod(one["score"] for one in boxes)
        return boxes_text(()), 1 - max((one["score"] for one in objects), default=0.0)

    @overrides
    def drawn(
        self, image: Image.Image, prediction: Mapping[str, Any], scale: float = 1.0
    ) -> Image.Image:
        image = image.copy()
        pen = ImageDraw.Draw(image)
        # The best last, over the others
        for one in reversed(prediction.get("objects") or ()):
            if one["score"] >= _LEAST_SHOWN:
                left, top = one["x"] * scale, one["y"] * scale
                right, bottom = left + one["width"] * scale, top + one["height"] * scale
                pen.rectangle((left, top, right, bottom), outline=_OUTLINE, width=2)
                pen.text((left + 3, top + 1), f"{one['label']} {one['score']:.2f}", fill=_OUTLINE)
        return image

    @overrides
    def label_drawn(
        self, image: Image.Image, instance: Instance, scale: float = 1.0
    ) -> Image.Image:
        text = self.text_of(instance)
        boxes = [] if text is None else json.loads(text)
        return self.drawn(image, {"objects": [{**box, "score": 1.0} for box in boxes]}, scale)

    @overrides
    def unit_scores(self, outputs: Mapping[str, Any]) -> Tensor:
        """Return the uncertainty of the detections of a score of 0.05 or more, float `[B, 3, 4]`.

        An image without one has 0.

        Args:
            outputs: `scores`, a list of `[n]`, and `doubts`, a list of `[n, 3]`; without these the
                uncertainty of object or none counts.
        """
        scores = outputs["scores"]
        doubts = outputs.get("doubts") or [sigmoid_scores(torch.logit(one)) for one in scores]
        # An image at a time: each has another number of boxes
        rows = [
            aggregated(own[of_image >= LEAST_SCORE].unsqueeze(0), top=_TOP)
            for of_image, own in zip(scores, doubts, strict=True)
        ]
        return torch.cat(rows)


def _object_in_image(found: Mapping[str, Any], frame: Frame) -> dict[str, Any]:
    left, top = found["x"], found["y"]
    right, bottom = left + found["width"], top + found["height"]
    corners = frame.back(np.array([[left, top], [right, top], [left, bottom], [right, bottom]]))
    # What the model sees beyond the image is padding
    corners = corners.clip(0, frame.size)
    (left, top), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    moved = {**found, "x": left, "y": top, "width": right - left, "height": bottom - top}
    if "keypoints" in found:
        points = np.array(found["keypoints"], np.float64)
        points[:, :2] = frame.back(points[:, :2])
        moved["keypoints"] = points.tolist()
    return moved


def _overlap(found: Mapping[str, Any], corners: Sequence[float], is_crowd: bool = False) -> float:
    """Return the intersection over union of an object and a box: left, top, right, bottom.

    Of a crowd, as in COCO, the share of the object that lies in it.
    """
    left, top, right, bottom = corners
    width = min(right, found["x"] + found["width"]) - max(left, found["x"])
    height = min(bottom, found["y"] + found["height"]) - max(top, found["y"])
    shared = max(width, 0.0) * max(height, 0.0)
    union = found["width"] * found["height"]
    union += 0 if is_crowd else (right - left) * (bottom - top) - shared
    return float(shared / union) if union > 0 else 0.0


def sigmoid_class_scores(logits: Tensor) -> Tensor:
    """Return the uncertainty of the class of an object: `[..., C]` to `[..., 3]`.

    The columns are those of `UNIT_SCORES`. The second class of a single one is the background. The
    entropy is the sum of those of C decisions, as the classes exclude each other in no sigmoid.

    Args:
        logits: Scores of the classes before the sigmoid, without one of the background.
    """
    p = logits.float().sigmoid()
    best = p.topk(min(2, p.shape[-1]), dim=-1).values
    first = best[..., 0]
    second = best[..., 1] if p.shape[-1] > 1 else torch.minimum(1 - first, first)
    first = first if p.shape[-1] > 1 else torch.maximum(first, 1 - first)
    entropy = sigmoid_scores(logits)[..., 2].sum(dim=-1)
    return torch.stack([1 - best[..., 0], 1 - (first - second), entropy], dim=-1)
