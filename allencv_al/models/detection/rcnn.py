"""Detectors in two stages with AllenCV's keys: proposals, then a class and a box for each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import torch
from annotated_types import Ge, Interval
from overrides import overrides
from torch import Tensor
from torchvision.models.detection._utils import Matcher
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.keypoint_rcnn import KeypointRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import MultiScaleRoIAlign

from allencv_al.common import ConfigurationError, FromParams, Lazy
from allencv_al.common.config.config_check import ConfigView, Fault
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.models.detection.detection_model import DetectionModel, Detections, SameSize
from allencv_al.models.detection.detectors import (
    Backbone,
    Share,
    Sizes,
    anchors,
    backbone_faults,
)
from allencv_al.models.model import AddableMetrics, Model
from allencv_al.modules.feedforward import Count
from allencv_al.modules.im2im_encoders.base import Im2ImEncoder
from allencv_al.modules.im2vec_encoders.base import Im2VecEncoder
from allencv_al.modules.image_encoders.base import ImageEncoder
from allencv_al.modules.image_shape import ImageShape
from allencv_al.modules.initializer_applicator import InitializerApplicator
from allencv_al.modules.regularizers import RegularizerApplicator

# ImageNet's, as torchvision's detectors have them
_MEAN, _STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
_MOST_POOLED_MAPS = 4  # the maps beyond are for proposals only
_NAMES = {
    "loss_objectness": "rpn_cls_loss",
    "loss_rpn_box_reg": "rpn_reg_loss",
    "loss_classifier": "roi_cls_loss",
    "loss_box_reg": "roi_reg_loss",
    "loss_keypoint": "keypoint_loss",
}


def _low_below_high(match_thresh_low: float, match_thresh_high: float) -> Iterator[tuple[str, str]]:
    if match_thresh_low > match_thresh_high:
        yield (
            "match_thresh_low",
            f"expected at most match_thresh_high, {match_thresh_high}, found {match_thresh_low}",
        )


class _ScoredProposals(RegionProposalNetwork):  # type: ignore[misc]  # torchvision has no types
    """torchvision's proposals, whose scores it drops."""

    scores: list[Tensor]

    def filter_proposals(self, *args: Any) -> Any:
        boxes, self.scores = super().filter_proposals(*args)
        return boxes, self.scores


@Model.register("rpn")
class RegionProposals(DetectionModel):
    """Propose boxes of any class (Ren et al. 2015, arXiv:1506.01497), with AllenCV's keys.

    Alone it finds objects without naming them; `faster_rcnn` and `keypoint_rcnn` have one inside.
    Metrics: COCO's, all objects as one class (`AR100` says how many are found), and in training
    `rpn_cls_loss` and `rpn_reg_loss`. It normalizes images itself: leave `normalize` out of the
    reader.

    Args:
        vocab: Not used.
        backbone: The encoder; its maps must have one number of channels (`feature_pyramid`).
        positive_fraction: Most of the drawn anchors that are learned as objects.
        match_thresh_low: Overlap below which an anchor is learned as background.
        match_thresh_high: Overlap from which on it is learned as an object.
        anchor_sizes: For each map the sides of its anchors in pixels. Default: 8 times the step of
            the map.
        anchor_aspect_ratios: For each map the ratios of height to width. Default: 0.5, 1 and 2.
        batch_size_per_image: Number of anchors of an image in the loss.
        pre_nms_top_n: Most proposals of a map before those that overlap are dropped.
        post_nms_top_n: Most proposals of an image.
        nms_thresh: Overlap from which on the worse of two proposals is dropped.
        min_size: Least side of a proposal in pixels.
        allow_low_quality_matches: Whether each object has an anchor, however small the overlap.
        initializer: Initial values by regular expressions on parameter names.
        regularizer: Penalties that training adds to the loss.
        metrics: Registered metrics of boxes beside those above.

    Raises:
        ConfigurationError: The maps of the backbone differ in width, or in number from the lists.
    """

    joint_rules = (_low_below_high,)
    loss_names = _NAMES

    def __init__(
        self,
        vocab: Vocabulary,
        backbone: ImageEncoder,
        positive_fraction: Share = 0.5,
        match_thresh_low: Share = 0.3,
        match_thresh_high: Share = 0.7,
        anchor_sizes: Sizes | None = None,
        anchor_aspect_ratios: Sizes | None = None,
        batch_size_per_image: Count = 256,
        pre_nms_top_n: Count = 6000,
        post_nms_top_n: Count = 300,
        nms_thresh: Share = 0.7,
        min_size: Annotated[float, Ge(0)] = 0,
        allow_low_quality_matches: bool = True,
        initializer: InitializerApplicator | None = None,
        regularizer: RegularizerApplicator | None = None,
        metrics: AddableMetrics = None,
    ) -> None:
        objects = Vocabulary({"labels": {"object": 1}})
        super().__init__(objects, regularizer=regularizer, metrics=metrics)
        maps = Backbone(backbone)
        found = anchors(
            maps, anchor_sizes or [[8.0 * scale] for scale in maps.scales], anchor_aspect_ratios
        )
        counts = set(found.num_anchors_per_location())
        if len(counts) > 1:
            raise ConfigurationError("anchor_sizes: expected as many anchors in each map")
        rpn = _ScoredProposals(
            found,
            RPNHead(maps.out_channels, counts.pop()),
            *(match_thresh_high, match_thresh_low, batch_size_per_image, positive_fraction),
            {"training": pre_nms_top_n, "testing": pre_nms_top_n},
            {"training": post_nms_top_n, "testing": post_nms_top_n},
            nms_thresh,
        )
        rpn.min_size = min_size
        rpn.proposal_matcher = Matcher(
            match_thresh_high, match_thresh_low, allow_low_quality_matches=allow_low_quality_matches
        )
        transform = SameSize(_MEAN, _STD)
        self.network = torch.nn.ModuleDict({"backbone": maps, "rpn": rpn, "transform": transform})
        if initializer is not None:
            initializer(self)

    @classmethod
    @overrides
    def shape_faults(cls, config: ConfigView, image_shape: ImageShape) -> Iterator[Fault]:
        yield from backbone_faults(config)

    @overrides
    def _targets(self, boxes: Any, box_labels: Any, keypoints: Any) -> Detections:
        return super()._targets(boxes, None, None)

    @overrides
    def _losses_of(self, images: list[Tensor], targets: Detections) -> dict[str, Tensor]:
        return self._proposals(images, targets)[1]

    @overrides
    def _detect(self, images: list[Tensor]) -> Detections:
        return self._proposals(images, None)[0]

    @overrides
    def embed(self, image: Tensor) -> Tensor:
        parts: Any = self.network
        with torch.autocast(image.device.type, enabled=False):
            resized, _ = parts["transform"]([one.float() for one in image])
            maps: dict[str, Tensor] = parts["backbone"](resized.tensors)
        return list(maps.values())[-1].mean(dim=(2, 3))

    def _proposals(
        self, images: list[Tensor], targets: Detections | None
    ) -> tuple[Detections, dict[str, Tensor]]:
        parts: Any = self.network
        sizes = [(one.shape[-2], one.shape[-1]) for one in images]
        resized, targets = parts["transform"](images, targets)
        boxes, losses = parts["rpn"](resized, parts["backbone"](resized.tensors), targets)
        if losses:  # proposals of training are not read
            return [], losses
        found = [
            {"boxes": own, "scores": scores, "labels": torch.zeros_like(scores, dtype=torch.int64)}
            for own, scores in zip(boxes, parts["rpn"].scores, strict=True)
        ]
        return parts["transform"].postprocess(found, resized.image_sizes, sizes), losses


class RoiBoxHead(FromParams):
    """The second stage of `faster_rcnn`: what becomes of each proposal.

    Args:
        feature_extractor: From the map of a proposal, `[C, resolution, resolution]`, to a vector:
            `{"type": "flatten", "feedforward": …}`.
        pooler_resolution: Side of that map.
        pooler_sampling_ratio: Points in each of its cells that are averaged, on a side.
        decoder_thresh: Least score of a detection.
        decoder_nms_thresh: Overlap from which on the worse of two detections is dropped.
        decoder_detections_per_image: Most detections of an image.
        matcher_high_thresh: Overlap from which on a proposal is learned as the object.
        matcher_low_thresh: Overlap below which it is learned as background.
        allow_low_quality_matches: Whether each object has a proposal, however small the overlap.
        batch_size_per_image: Number of proposals of an image in the loss.
        balance_sampling_fraction: Most of them that are learned as objects.
    """

    def __init__(
        self,
        feature_extractor: Lazy[Im2VecEncoder],
        pooler_resolution: Count = 7,
        pooler_sampling_ratio: Count = 2,
        decoder_thresh: Share = 0.1,
        decoder_nms_thresh: Share = 0.5,
        decoder_detections_per_image: Count = 100,
        matcher_high_thresh: Share = 0.5,
        matcher_low_thresh: Share = 0.5,
        allow_low_quality_matches: bool = True,
        batch_size_per_image: Count = 256,
        balance_sampling_fraction: Annotated[float, Interval(gt=0, le=1)] = 0.25,
    ) -> None:
        self.feature_extractor = feature_extractor
        self.pooler_resolution = pooler_resolution
        self.pooler_sampling_ratio = pooler_sampling_ratio
        self.decoder_thresh = decoder_thresh
        self.decoder_nms_thresh = decoder_nms_thresh
        self.decoder_detections_per_image = decoder_detections_per_image
        self.matcher_high_thresh = matcher_high_thresh
        self.matcher_low_thresh = matcher_low_thresh
        self.allow_low_quality_matches = allow_low_quality_matches
        self.batch_size_per_image = batch_size_per_image
        self.balance_sampling_fraction = balance_sampling_fraction

    def build(self, channels: int, num_classes: int, class_agnostic: bool) -> RoIHeads:
        """Return torchvision's module.

        Args:
            channels: Channels of the maps.
            num_classes: Number of classes, with the background.
            class_agnostic: Whether all classes share one box.
        """
        side = self.pooler_resolution
        sizes = {"input_channels": channels, "input_height": side, "input_width": side}
        extractor = Lazy.wrap(self.feature_extractor).construct(**sizes)
        extractor.check_input(channels, side, side)
        width = extractor.get_output_dim()
        predictor = FastRCNNPredictor(width, num_classes)
        heads = RoIHeads(
            self.pool(side, self.pooler_sampling_ratio),
            extractor,
            _OneBox(width, num_classes) if class_agnostic else predictor,
            *(self.matcher_high_thresh, self.matcher_low_thresh),
            *(self.batch_size_per_image, self.balance_sampling_fraction, None),
            *(self.decoder_thresh, self.decoder_nms_thresh, self.decoder_detections_per_image),
        )
        heads.proposal_matcher = Matcher(
            *(self.matcher_high_thresh, self.matcher_low_thresh),
            allow_low_quality_matches=self.allow_low_quality_matches,
        )
        return heads

    @staticmethod
    def pool(resolution: int, sampling_ratio: int) -> MultiScaleRoIAlign:
        """Return the pooling of proposals over the finest maps."""
        names = [str(level) for level in range(_MOST_POOLED_MAPS)]
        return MultiScaleRoIAlign(names, resolution, sampling_ratio)


class RoiKeypointHead(FromParams):
    """The part of `keypoint_rcnn` that finds the keypoints of each box.

    Args:
        feature_extractor: From the map of a box to another map.
        pooler_resolution: Side of the first map.
        pooler_sampling_ratio: Points in each of its cells that are averaged, on a side.
    """

    def __init__(
        self,
        feature_extractor: Lazy[Im2ImEncoder],
        pooler_resolution: Count = 14,
        pooler_sampling_ratio: Count = 2,
    ) -> None:
        self.feature_extractor = feature_extractor
        self.pooler_resolution = pooler_resolution
        self.pooler_sampling_ratio = pooler_sampling_ratio

    def add_to(self, heads: RoIHeads, channels: int, num_keypoints: int) -> None:
        """Set the parts for keypoints of torchvision's module."""
        extractor = Lazy.wrap(self.feature_extractor).construct(input_channels=channels)
        heads.keypoint_roi_pool = RoiBoxHead.pool(
            self.pooler_resolution, self.pooler_sampling_ratio
        )
        heads.keypoint_head = extractor
        heads.keypoint_predictor = _KeypointMaps(extractor.get_output_channels(), num_keypoints)


class _KeypointMaps(KeypointRCNNPredictor):  # type: ignore[misc]
    """The last layers of the keypoints, whose loss views its maps as rows of pixels."""

    def forward(self, x: Tensor) -> Tensor:
        # On a CPU in bf16, and in channels_last, the maps come in an order that has no such view
        found: Tensor = super().forward(x).contiguous()
        return found


class _OneBox(torch.nn.Module):
    """The last layers of the second stage where all classes share one box."""

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        self.cls_score = torch.nn.Linear(width, num_classes)
        self.bbox_pred = torch.nn.Linear(width, 4)

    def forward(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        scores = self.cls_score(vectors)
        return scores, self.bbox_pred(vectors).repeat(1, scores.shape[1])


@Model.register("faster_rcnn")
class FasterRcnn(DetectionModel):
    """Find boxes in two stages (Ren et al. 2015, arXiv:1506.01497), by torchvision, AllenCV's keys.

    Metrics: COCO's `mAP`, `AP50`, `AP75`, `AR100` and by class `per_class_AP`; in training
    `rpn_cls_loss`, `rpn_reg_loss`, `roi_cls_loss` and `roi_reg_loss`. There is no loss in
    evaluation. It normalizes images itself: leave `normalize` out of the reader.

    Args:
        vocab: The names of the classes, without the background.
        rpn: The first stage, a model `rpn`.
        roi_box_head: The second stage.
        train_rpn: Whether the first stage learns, too; its backbone learns from the second stage
            in any case.
        class_agnostic_bbox_reg: Whether all classes share one box for each proposal.
        initializer: Initial values by regular expressions on parameter names.
        kwargs: The parameters that all detectors have.

    Raises:
        ConfigurationError: `rpn` is another model, or the parts do not fit.
    """

    loss_names = _NAMES

    def __init__(
        self,
        vocab: Vocabulary,
        rpn: Model,
        roi_box_head: RoiBoxHead,
        train_rpn: bool = False,
        class_agnostic_bbox_reg: bool = False,
        initializer: InitializerApplicator | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(vocab, **kwargs)
        if not isinstance(rpn, RegionProposals):
            raise ConfigurationError(
                f'rpn: expected a model of type "rpn", found {type(rpn).__name__}'
            )
        parts: Any = rpn.network
        channels = parts["backbone"].out_channels
        heads = roi_box_head.build(channels, self.num_labels + 1, class_agnostic_bbox_reg)
        self.network = GeneralizedRCNN(parts["backbone"], parts["rpn"], heads, parts["transform"])
        self._train_rpn = train_rpn
        if not train_rpn:
            parts["rpn"].requires_grad_(False)
        if initializer is not None:
            initializer(self)

    @overrides
    def _losses_of(self, images: list[Tensor], targets: Detections) -> dict[str, Tensor]:
        losses = super()._losses_of(images, targets)
        left_out = () if self._train_rpn else ("loss_objectness", "loss_rpn_box_reg")
        return {name: loss for name, loss in losses.items() if name not in left_out}


@Model.register("keypoint_rcnn")
class KeypointRcnn(FasterRcnn):
    """Find boxes and the keypoints in each (He et al. 2017, arXiv:1703.06870), with AllenCV's keys.

    Metrics and images as for `faster_rcnn`, and in training `keypoint_loss`. A keypoint of
    visibility 0 is not learned.

    Args:
        vocab: The names of the classes, without the background.
        rpn: The first stage, a model `rpn`.
        roi_box_head: The second stage.
        roi_keypoint_head: The part that finds keypoints.
        num_keypoints: Number of keypoints of each object.
        initializer: Initial values by regular expressions on parameter names.
        kwargs: The other parameters of `faster_rcnn`.

    Raises:
        ConfigurationError: `rpn` is another model, or the parts do not fit.
    """

    def __init__(
        self,
        vocab: Vocabulary,
        rpn: Model,
        roi_box_head: RoiBoxHead,
        roi_keypoint_head: RoiKeypointHead,
        num_keypoints: Count,
        initializer: InitializerApplicator | None = None,
        **kwargs: Any,
    ) -> None:
        # Without the initializer, which comes last: the layers of keypoints are not there yet
        super().__init__(vocab, rpn, roi_box_head, **kwargs)
        network: Any = self.network
        self._num_keypoints = num_keypoints
        channels = network.backbone.out_channels
        roi_keypoint_head.add_to(network.roi_heads, channels, num_keypoints)
        if initializer is not None:
            initializer(self)

    @overrides
    def _targets(self, boxes: Any, box_labels: Any, keypoints: Any) -> Detections:
        targets = super()._targets(boxes, box_labels, keypoints)
        if keypoints is None:
            raise ValueError("keypoints: the images have none; set keypoints of the reader to true")
        for place, (target, points) in enumerate(zip(targets, keypoints, strict=True)):
            count, columns = len(target["boxes"]), points.shape[-1]
            if points.numel() != count * self._num_keypoints * columns:
                raise ValueError(
                    f"keypoints: image {place} of the batch: expected {self._num_keypoints} for "
                    f"each of {count} boxes, found {points.numel() // columns}"
                )
            rows = points.float().reshape(count, self._num_keypoints, columns)
            if columns == 2:  # without visibility all are visible, 2 in COCO
                rows = torch.cat([rows, rows.new_full((*rows.shape[:2], 1), 2.0)], dim=2)
            target["keypoints"] = rows
        return targets
