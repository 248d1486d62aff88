"""Models that find boxes, on torchvision's networks: targets, metrics and outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from overrides import overrides
from torch import Tensor
from torchvision.models.detection import FCOS, RetinaNet
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.ssd import SSD
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import roi_align

from allencv_al.common.errors import ConfigurationError
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.metrics.base import Metric
from allencv_al.metrics.mean_average_precision import MeanAveragePrecision
from allencv_al.metrics.numbers import Average
from allencv_al.models.model import AddableMetrics, Model
from allencv_al.modules.feedforward import Count
from allencv_al.modules.regularizers import RegularizerApplicator
from allencv_al.tasks.detection_task import LEAST_SCORE, sigmoid_class_scores
from allencv_al.tasks.score_axes import OBJECT_NUMBERS, UNIT_SCORES
from allencv_al.tasks.unit_scores import sigmoid_scores, softmax_scores

Detections = list[dict[str, Tensor]]

_LONGEST = 1333  # torchvision's default
_MOST_OBJECTS = 20  # of an image whose features are kept
_ENTROPY = UNIT_SCORES.index("entropy")

_OF_LOSS = "losses."  # prefix of the means of parts of the loss in a checkpoint


class DetectionModel(Model):
    """A model around a detector of torchvision in the attribute `network`.

    Metrics: in evaluation COCO's `mAP`, `AP50`, `AP75`, `AR100`, `mAP_small`, `mAP_medium` and
    `mAP_large`, and by class `per_class_AP`; in training the means of the parts of the loss. There
    is no loss in evaluation: epochs are chosen by `+mAP` unless the trainer names another.

    Classes are numbered from 0 outside; the background, torchvision's class 0, is added inside.

    Args:
        vocab: The names of the classes.
        num_labels: Number of classes; that of the vocabulary by default.
        label_namespace: Namespace of the class names in the vocabulary.
        regularizer: Penalties that training adds to the loss.
        metrics: Registered metrics of boxes beside those above.
    """

    metric_inputs = frozenset({"boxes"})
    label_task = "detection"
    has_evaluation_loss = False
    normalizes_images = True

    network: torch.nn.Module

    loss_names: ClassVar[Mapping[str, str]] = {}
    """Names of the parts of the loss in place of torchvision's."""

    def __init__(
        self,
        vocab: Vocabulary,
        num_labels: Count | None = None,
        label_namespace: str = "labels",
        regularizer: RegularizerApplicator | None = None,
        metrics: AddableMetrics = None,
    ) -> None:
        super().__init__(vocab, regularizer, metrics)
        self._label_namespace = label_namespace
        known = vocab.get_vocab_size(label_namespace)
        self.num_labels = known if num_labels is None else num_labels
        if self.num_labels < max(known, 1):
            raise ConfigurationError(
                f"num_labels: expected at least {max(known, 1)}, the classes in "
                f'"{label_namespace}", found {self.num_labels}'
            )
        self._average_precision = MeanAveragePrecision(self.num_labels)
        self._losses: dict[str, Average] = {}

    @overrides
    def forward(
        self,
        image: Tensor,
        label: Tensor | None = None,
        boxes: Sequence[Tensor] | None = None,
        box_labels: Sequence[Tensor] | None = None,
        keypoints: Sequence[Tensor] | None = None,
        ignored_boxes: Sequence[Tensor] | None = None,
    ) -> dict[str, Any]:
        """Return `loss` in training; in evaluation for each image `boxes`, `scores` and `labels`.

        Boxes are float `[n, 4]`: left, top, right, bottom in pixels of the image. `doubts`,
        `[n, 3]`, is how uncertain the class of each is, in the columns of `UNIT_SCORES`.

        Args:
            image: Images `[B, 3, H, W]`, float, 0 to 1: the network normalizes them itself.
            label: Classes of whole images; not used.
            boxes: The true boxes of each image, `[n, 4]`; n may be 0.
            box_labels: Their class indices, `[n]`, int64, from 0.
            keypoints: Their keypoints `[n, K, 2 or 3]` or `[n * K, 2 or 3]`: x, y and visibility.
            ignored_boxes: Boxes of each image that the metrics ignore, `[m, 6]`: corners, class
                index, and 1 if it is a crowd. They are not learned.

        Raises:
            ValueError: A box has no area, or a class index is none of a class.
        """
        targets = None
        if boxes is not None:
            targets = self._targets(boxes, box_labels, keypoints)
        # Half precision gains little here, and torchvision's steps after the network refuse it
        with torch.autocast(image.device.type, enabled=False):
            images = [one.float() for one in image]
            if self.training:
                return {} if targets is None else self._training_outputs(images, targets)
            found = self._detect(images)
        if targets is not None:
            gold = self._gold(targets, ignored_boxes)
            self._average_precision(found, gold)
            self.count_metrics("boxes", found, gold)
        names = found[0].keys() if found else ("boxes", "labels", "scores")
        return {name: [one[name] for one in found] for name in names}

    @overrides
    def embed(self, image: Tensor) -> Tensor:
        """Return the mean of the backbone's coarsest map over its places, `[B, D]`.

        Args:
            image: Images `[B, 3, H, W]`, float, 0 to 1.
        """
        network: Any = self.network
        with torch.autocast(image.device.type, enabled=False):
            images, _ = network.transform([one.float() for one in image])
            maps = network.backbone(images.tensors)
        maps = list(maps.values()) if isinstance(maps, Mapping) else [maps]
        coarsest: Tensor = maps[-1]
        return coarsest.mean(dim=(2, 3))

    @overrides
    def objects(self, image: Tensor) -> Tensor:
        """Return the 20 surest objects of each image, `[B, 20, 3 + D]`; see `objects` of `Pool`.

        A feature is the mean of the backbone's finest map over the box, scaled to the length 1.
        Detections of a score below 0.05 are left out.

        Args:
            image: Images `[B, 3, H, W]`, float, 0 to 1.
        """
        maps: list[Tensor] = []
        padded: list[Any] = []
        network: Any = self.network
        hooks = [
            network.backbone.register_forward_hook(
                lambda _, __, found: maps.append(_finest(found))
            ),
            network.transform.register_forward_hook(lambda _, __, found: padded.append(found[0])),
        ]
        try:
            with torch.autocast(image.device.type, enabled=False):
                images = [one.float() for one in image]
                found = self._detect(images)
        finally:
            for hook in hooks:
                hook.remove()
        [finest], [inside] = maps, padded
        rows = finest.new_zeros(len(found), _MOST_OBJECTS, len(OBJECT_NUMBERS) + finest.shape[1])
        rows[:, :, 0] = -1
        for place, one in enumerate(found):
            best = one["scores"].topk(min(_MOST_OBJECTS, len(one["scores"]))).indices
            best = best[one["scores"][best] >= LEAST_SCORE]
            doubts = one.get("doubts")
            if doubts is None:  # a network without classes
                doubts = sigmoid_scores(torch.logit(one["scores"]))
            # From pixels of the image to those that the network saw, and to places of its map
            height, width = inside.image_sizes[place]
            sides = one["boxes"].new_tensor([width, height] * 2)
            sides /= one["boxes"].new_tensor([image.shape[3], image.shape[2]] * 2)
            boxes = one["boxes"][best] * sides
            scale = finest.shape[3] / inside.tensors.shape[3]
            of_boxes = roi_align(finest[place : place + 1], [boxes], 1, scale, aligned=True)
            numbers = [one["labels"][best], one["scores"][best], doubts[best, _ENTROPY]]
            rows[place, : len(best), : len(OBJECT_NUMBERS)] = torch.stack(numbers, dim=1)
            vectors = torch.nn.functional.normalize(of_boxes.flatten(1), dim=1)
            rows[place, : len(best), len(OBJECT_NUMBERS) :] = vectors
        return rows

    @overrides
    def make_output_human_readable(self, outputs: dict[str, Any]) -> dict[str, Any]:
        """Return `objects`: for each image a list of objects, best first.

        An object is `{"label": name, "score": share, "x", "y", "width", "height"}`, in pixels from
        the top left corner of the image as the transforms gave it, and `keypoints`, where there are
        any.
        """
        if "boxes" not in outputs:
            return outputs
        names = self.class_names()
        images = []
        for place, boxes in enumerate(outputs["boxes"]):
            labels = outputs["labels"][place].tolist()
            scores = outputs["scores"][place].tolist()
            objects = []
            for box, label, score in zip(boxes.tolist(), labels, scores, strict=True):
                left, top, right, bottom = box
                sides = {"x": left, "y": top, "width": right - left, "height": bottom - top}
                objects.append({"label": names[label], "score": score, **sides})
            if "keypoints" in outputs:
                points = outputs["keypoints"][place].tolist()
                objects = [
                    {**one, "keypoints": own} for one, own in zip(objects, points, strict=True)
                ]
            images.append(objects)
        return {"objects": images}

    @overrides
    def get_metrics(self, reset: bool = False) -> dict[str, Any]:
        if self.training:
            return {name: mean.get_metric(reset) for name, mean in self._losses.items()}
        values: Any = self._average_precision.get_metric(reset)
        per_class = dict(zip(self.class_names(), values["per_class_AP"], strict=True))
        return {**values, "per_class_AP": per_class}

    @overrides
    def class_names(self) -> list[str]:
        """Return the names by index; a class beyond the vocabulary has only its number."""
        names = self.vocab.get_index_to_token_vocabulary(self._label_namespace)
        return [names.get(index, str(index)) for index in range(self.num_labels)]

    @overrides
    def load_metric_state(self, state: Mapping[str, Tensor]) -> None:
        for name in state:
            if name.startswith(_OF_LOSS):
                self._losses.setdefault(name.removeprefix(_OF_LOSS), Average())
        super().load_metric_state(state)

    @overrides
    def _metrics(self) -> dict[str, Metric]:
        losses = {f"{_OF_LOSS}{name}": mean for name, mean in self._losses.items()}
        return {**super()._metrics(), **losses}

    def _losses_of(self, images: list[Tensor], targets: Detections) -> dict[str, Tensor]:
        """Return the parts of the loss, whose sum is minimized."""
        losses: dict[str, Tensor] = self.network(images, targets)
        return losses

    def _detect(self, images: list[Tensor]) -> Detections:
        """Return the detections, with class indices from 0, and how uncertain each is."""
        with _class_heads(self.network) as heads:
            found: Detections = self.network(images)
        if not heads:  # a network of another kind
            return [{**one, "labels": one["labels"] - 1} for one in found]
        return [
            {**one, "labels": one["labels"] - 1, "doubts": head.doubts(one)}
            for one, head in zip(found, heads, strict=True)
        ]

    def _training_outputs(self, images: list[Tensor], targets: Detections) -> dict[str, Any]:
        parts = self._losses_of(images, targets)
        named = {self.loss_names.get(name, name): part for name, part in parts.items()}
        for name, part in named.items():
            self._losses.setdefault(name, Average())(part)
        return {"loss": torch.stack(list(named.values())).sum(), **named}

    def _targets(
        self,
        boxes: Sequence[Tensor],
        box_labels: Sequence[Tensor] | None,
        keypoints: Sequence[Tensor] | None,
    ) -> Detections:
        """Return torchvision's targets, whose classes begin at 1."""
        if box_labels is None:
            box_labels = [one.new_zeros(len(one), dtype=torch.int64) for one in boxes]
        targets = []
        for place, (corners, labels) in enumerate(zip(boxes, box_labels, strict=True)):
            _check_boxes(place, corners, labels, self.num_labels)
            targets.append({"boxes": corners.float(), "labels": labels + 1})
        return targets

    def _gold(self, targets: Detections, ignored_boxes: Sequence[Tensor] | None) -> Detections:
        """Return the true boxes with those that the metrics ignore, and classes from 0."""
        if ignored_boxes is None:
            return [{**one, "labels": one["labels"] - 1} for one in targets]
        gold = []
        for one, ignored in zip(targets, ignored_boxes, strict=True):
            none = torch.zeros_like(one["labels"], dtype=torch.bool)
            # A model without classes, such as proposals, has one index for all
            labels = ignored[:, 4].long().clamp(max=self.num_labels - 1)
            crowd = ignored[:, 5] > 0
            gold.append(
                {
                    "boxes": torch.cat([one["boxes"], ignored[:, :4]]),
                    "labels": torch.cat([one["labels"] - 1, labels]),
                    "difficult": torch.cat([none, ~crowd]),
                    "crowd": torch.cat([none, crowd]),
                }
            )
        return gold


def _finest(maps: Any) -> Tensor:
    """Return the first of a backbone's maps, `[B, C, H, W]`."""
    found: Tensor = next(iter(maps.values())) if isinstance(maps, Mapping) else maps
    return found


class _ClassHead:
    """The class scores of all candidates of an image, most of which are no detections.

    torchvision returns one score for each detection and drops the scores of the other classes.

    Args:
        logits: Scores `[rows, C + 1]` with the background at 0.
        has_softmax: Whether they are those before a softmax, and not before sigmoids.
        centerness: Factor of each score before the sigmoid, `[rows, 1]`, if the head has one.
    """

    def __init__(self, logits: Tensor, has_softmax: bool, centerness: Tensor | None) -> None:
        self._logits = logits
        self._has_softmax = has_softmax
        self._scores = logits.softmax(dim=-1) if has_softmax else logits.sigmoid()
        if centerness is not None:
            self._scores = (self._scores * centerness.sigmoid()).sqrt()

    def doubts(self, found: Mapping[str, Tensor]) -> Tensor:
        """Return the uncertainty of each detection, `[n, len(UNIT_SCORES)]`.

        Args:
            found: The detections of the image, as torchvision returns them.
        """
        # A detection is the candidate with its score: dropping the others has changed no number
        gaps = (self._scores[:, found["labels"]] - found["scores"]).abs()
        logits = self._logits[gaps.argmin(dim=0)] if gaps.numel() else self._logits[:0]
        if self._has_softmax:
            return softmax_scores(logits)
        # FCOS and RetinaNet have a column for the background, which nothing trains
        return sigmoid_class_scores(logits[:, 1:])


@contextmanager
def _class_heads(network: Any) -> Iterator[list[_ClassHead]]:
    """Fill a list with the class scores of each image that a detector sees within the block.

    Args:
        network: A detector of torchvision; the list of another one stays empty.
    """
    heads: list[_ClassHead] = []
    counts: list[int] = []

    def of_one_stage(head: Any, inputs: Any, outputs: Mapping[str, Tensor]) -> None:
        centers: Any = outputs.get("bbox_ctrness", [None] * len(outputs["cls_logits"]))
        for logits, centerness in zip(outputs["cls_logits"], centers, strict=True):
            heads.append(_ClassHead(logits, isinstance(network, SSD), centerness))

    def before_second_stage(head: Any, inputs: tuple[Any, ...]) -> None:
        counts[:] = [len(proposals) for proposals in inputs[1]]

    def of_second_stage(head: Any, inputs: Any, outputs: tuple[Tensor, Tensor]) -> None:
        heads.extend(_ClassHead(logits, True, None) for logits in torch.split(outputs[0], counts))

    if isinstance(network, FCOS | RetinaNet | SSD):
        hooks = [network.head.register_forward_hook(of_one_stage)]
    elif isinstance(network, GeneralizedRCNN):
        hooks = [
            network.roi_heads.register_forward_pre_hook(before_second_stage),
            network.roi_heads.box_predictor.register_forward_hook(of_second_stage),
        ]
    else:
        hooks = []
    try:
        yield heads
    finally:
        for hook in hooks:
            hook.remove()


class SameSize(GeneralizedRCNNTransform):  # type: ignore[misc]  # torchvision has no types
    """torchvision's normalization of images, without its resizing: 64 pixels would become 800."""

    def __init__(self, image_mean: list[float], image_std: list[float]) -> None:
        super().__init__(1, 1, image_mean, image_std)

    def resize(self, image: Tensor, target: Any = None) -> Any:
        """Return both as they are (torchvision's `_skip_resize` does so in training alone)."""
        return image, target


def set_sizes(network: Any, min_size: int | None, max_size: int | None) -> None:
    """Set the size of images inside a detector of torchvision; without one they keep their own.

    Args:
        network: The detector.
        min_size: Pixels of the shorter side; as many as `max_size` allows by default.
        max_size: Most pixels of the longer side.
    """
    transform = network.transform
    if min_size is None and max_size is None:
        network.transform = SameSize(transform.image_mean, transform.image_std)
        return
    least = min_size or max_size or 1
    transform.min_size, transform.max_size = (least,), max(least, max_size or _LONGEST)


def _check_boxes(place: int, boxes: Tensor, labels: Tensor, num_labels: int) -> None:
    if len(labels) != len(boxes):
        raise ValueError(
            f"box_labels: image {place} of the batch has {len(boxes)} boxes and {len(labels)} "
            "labels"
        )
    if not len(boxes):
        return
    empty = (boxes[:, 2:] <= boxes[:, :2]).any(dim=1)
    if empty.any():
        box = boxes[int(empty.nonzero()[0])].tolist()
        raise ValueError(f"boxes: image {place} of the batch has a box without area, {box}")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= num_labels:
        raise ValueError(
            f"box_labels: image {place} of the batch: class index {low if low < 0 else high}: "
            f"expected 0 to {num_labels - 1}"
        )
