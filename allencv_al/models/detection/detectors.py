"""Detectors in one stage over any encoder, and torchvision's detectors as they are."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Gt, Interval
from overrides import overrides
from torch import Tensor
from torchvision.models.detection import FCOS, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator

from allencv_al.common.config.config_check import ConfigView, Fault
from allencv_al.common.config.configurable import Rule
from allencv_al.common.errors import ConfigurationError, ConfigurationFaults
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.models.detection.detection_model import DetectionModel, set_sizes
from allencv_al.models.model import AddableMetrics, Model
from allencv_al.modules.feedforward import Count
from allencv_al.modules.image_encoders.base import ImageEncoder
from allencv_al.modules.image_shape import ImageShape
from allencv_al.modules.initializer_applicator import InitializerApplicator
from allencv_al.modules.regularizers import RegularizerApplicator
from allencv_al.modules.torchvision_networks import network_weights_faults, network_with_weights
from allencv_al.modules.weights import building_without_weights

Share = Annotated[float, Interval(ge=0, le=1)]
Sizes = list[list[Annotated[float, Gt(0)]]]

DetectorName = Literal[
    "fasterrcnn_mobilenet_v3_large_320_fpn",
    "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_resnet50_fpn",
    "fasterrcnn_resnet50_fpn_v2",
    "fcos_resnet50_fpn",
    "retinanet_resnet50_fpn",
    "retinanet_resnet50_fpn_v2",
    "ssd300_vgg16",
    "ssdlite320_mobilenet_v3_large",
]
_SSDLITE: Literal["ssdlite320_mobilenet_v3_large"] = "ssdlite320_mobilenet_v3_large"
_FIXED_SIZE = ("ssd300_vgg16", _SSDLITE)
_FRESH_MOMENTUM = 0.1
_FCOS_GROUPS = 32  # of the group norms in its head


class Backbone(torch.nn.Module):
    """An image encoder as torchvision's detectors want it: named maps of one width.

    Args:
        encoder: The encoder.
        multiple: A number that the width is a multiple of.

    Raises:
        ConfigurationError: Its maps are not of one width, or not of such a one.
    """

    def __init__(self, encoder: ImageEncoder, multiple: int = 1) -> None:
        super().__init__()
        self.encoder = encoder
        widths = encoder.get_output_channels()
        if len(set(widths)) > 1:
            raise ConfigurationError(
                f"backbone: expected maps of one width, found {', '.join(map(str, widths))} "
                'channels; put "feature_pyramid" around the encoder'
            )
        if widths[0] % multiple:
            raise ConfigurationError(
                f"backbone: expected maps of a multiple of {multiple} channels, found {widths[0]}"
            )
        self.out_channels = widths[0]
        self.scales = encoder.get_output_scales()

    def forward(self, image: Tensor) -> OrderedDict[str, Tensor]:
        return OrderedDict((str(level), one) for level, one in enumerate(self.encoder(image)))


def backbone_faults(config: ConfigView, multiple: int = 1) -> Iterator[Fault]:
    """Yield that the maps of a config's `backbone` do not fit a detector.

    Args:
        config: The config of the detector.
        multiple: A number that the width of the maps must be a multiple of.
    """
    if not config.sound("backbone"):
        return
    # A list, because a generator must not be left while the default device is "meta".
    with torch.device("meta"), building_without_weights():
        faults = []
        try:
            Backbone(config.build("backbone"), multiple)
        except ConfigurationFaults as error:
            faults = list(error.faults)
        except ConfigurationError as error:
            faults = [config.fault("backbone", str(error).removeprefix("backbone: "))]
    yield from faults


@Model.register("fcos")
class FcosDetector(DetectionModel):
    """Find boxes without anchors (FCOS, Tian et al. 2019, arXiv:1904.01355), by torchvision.

    Of these detectors the one that learns fastest from few small images. Metrics: COCO's `mAP`,
    `AP50`, `AP75`, `AR100` and by class `per_class_AP`; there is no loss in evaluation. It
    normalizes images itself: leave `normalize` out of the reader.

    Args:
        vocab: The names of the classes.
        backbone: The encoder; its maps must have one number of channels, a multiple of 32
            (`feature_pyramid`).
        score_thresh: Least score of a detection.
        nms_thresh: Overlap from which on the worse of two detections is dropped.
        detections_per_img: Most detections of an image.
        center_sampling_radius: Radius of the middle of a box that is learned as its class, in
            steps of the map.
        min_size: Pixels of the shorter side to which images are resized inside. Default: they are
            not, unless `max_size` is given.
        max_size: Most pixels of the longer side.
        initializer: Initial values by regular expressions on parameter names.
        kwargs: The parameters that all detectors have.

    Raises:
        ConfigurationError: The maps of the backbone differ in width.
    """

    def __init__(
        self,
        vocab: Vocabulary,
        backbone: ImageEncoder,
        score_thresh: Share = 0.2,
        nms_thresh: Share = 0.6,
        detections_per_img: Count = 100,
        center_sampling_radius: Annotated[float, Gt(0)] = 1.5,
        min_size: Count | None = None,
        max_size: Count | None = None,
        initializer: InitializerApplicator | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(vocab, **kwargs)
        maps = Backbone(backbone, _FCOS_GROUPS)
        self.network = FCOS(
            maps,
            self.num_labels + 1,
            # One anchor at each place, as large as the step of the map
            anchor_generator=AnchorGenerator(
                tuple((scale,) for scale in maps.scales), ((1.0,),) * len(maps.scales)
            ),
            score_thresh=score_thresh,
            nms_thresh=nms_thresh,
            detections_per_img=detections_per_img,
            center_sampling_radius=center_sampling_radius,
        )
        set_sizes(self.network, min_size, max_size)
        if initializer is not None:
            initializer(self)

    @classmethod
    @overrides
    def shape_faults(cls, config: ConfigView, image_shape: ImageShape) -> Iterator[Fault]:
        yield from backbone_faults(config, _FCOS_GROUPS)


def _one_list_per_map(
    anchor_sizes: Sizes | None, anchor_aspect_ratios: Sizes | None
) -> Iterator[tuple[str, str]]:
    if anchor_sizes and anchor_aspect_ratios and len(anchor_sizes) != len(anchor_aspect_ratios):
        yield (
            "anchor_aspect_ratios",
            f"expected one list for each of the {len(anchor_sizes)} lists of anchor_sizes, found "
            f"{len(anchor_aspect_ratios)}",
        )


@Model.register("retinanet")
class RetinaNetDetector(DetectionModel):
    """Find boxes from anchors with the focal loss (RetinaNet, arXiv:1708.02002), by torchvision.

    Lin et al. 2017. Metrics and images as for `fcos`.

    Args:
        vocab: The names of the classes.
        backbone: The encoder; its maps must have one number of channels (`feature_pyramid`).
        anchor_sizes: For each map the sides of its anchors in pixels. Default: 4, 5.0 and 6.3 times
            the step of the map.
        anchor_aspect_ratios: For each map the ratios of height to width. Default: 0.5, 1 and 2.
        score_thresh: Least score of a detection.
        nms_thresh: Overlap from which on the worse of two detections is dropped.
        detections_per_img: Most detections of an image.
        fg_iou_thresh: Overlap from which on an anchor is learned as the object.
        bg_iou_thresh: Overlap below which an anchor is learned as background.
        min_size: Pixels of the shorter side to which images are resized inside. Default: they are
            not, unless `max_size` is given.
        max_size: Most pixels of the longer side.
        initializer: Initial values by regular expressions on parameter names.
        kwargs: The parameters that all detectors have.

    Raises:
        ConfigurationError: The maps of the backbone differ in width, or in number from the lists.
    """

    joint_rules = (_one_list_per_map,)

    def __init__(
        self,
        vocab: Vocabulary,
        backbone: ImageEncoder,
        anchor_sizes: Sizes | None = None,
        anchor_aspect_ratios: Sizes | None = None,
        score_thresh: Share = 0.05,
        nms_thresh: Share = 0.5,
        detections_per_img: Count = 300,
        fg_iou_thresh: Share = 0.5,
        bg_iou_thresh: Share = 0.4,
        min_size: Count | None = None,
        max_size: Count | None = None,
        initializer: InitializerApplicator | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(vocab, **kwargs)
        maps = Backbone(backbone)
        default = [[4 * scale * 2 ** (part / 3) for part in range(3)] for scale in maps.scales]
        self.network = RetinaNet(
            maps,
            self.num_labels + 1,
            anchor_generator=anchors(maps, anchor_sizes or default, anchor_aspect_ratios),
            score_thresh=score_thresh,
            nms_thresh=nms_thresh,
            detections_per_img=detections_per_img,
            fg_iou_thresh=fg_iou_thresh,
            bg_iou_thresh=bg_iou_thresh,
        )
        set_sizes(self.network, min_size, max_size)
        if initializer is not None:
            initializer(self)

    @classmethod
    @overrides
    def shape_faults(cls, config: ConfigView, image_shape: ImageShape) -> Iterator[Fault]:
        yield from backbone_faults(config)


def anchors(maps: Backbone, sizes: Sizes, aspect_ratios: Sizes | None) -> AnchorGenerator:
    """Return the anchors of a detector.

    Args:
        maps: Its backbone.
        sizes: For each map the sides of its anchors in pixels.
        aspect_ratios: For each map the ratios of height to width; 0.5, 1 and 2 by default.

    Raises:
        ConfigurationError: There are not as many lists as maps.
    """
    count = len(maps.scales)
    ratios = aspect_ratios or [[0.5, 1.0, 2.0]] * count
    for name, lists in (("anchor_sizes", sizes), ("anchor_aspect_ratios", ratios)):
        if len(lists) != count:
            raise ConfigurationError(
                f"{name}: expected a list for each of the {count} maps of the backbone, found "
                f"{len(lists)}"
            )
    return AnchorGenerator(tuple(map(tuple, sizes)), tuple(map(tuple, ratios)))


def _ssd_has_its_size(
    model: str, min_size: int | None, max_size: int | None
) -> Iterator[tuple[str, str]]:
    if model in _FIXED_SIZE and (min_size or max_size):
        yield "min_size" if min_size else "max_size", f"{model} has a size of its own"


@Model.register("torchvision_detection")
class TorchvisionDetection(DetectionModel):
    """A detector of torchvision, by name.

    With weights: `ssdlite320_mobilenet_v3_large` on a CPU, `fasterrcnn_resnet50_fpn_v2` or
    `retinanet_resnet50_fpn_v2` on a GPU. For few small images and without weights take `fcos`.
    Metrics and images as there. Parameters are `network.` and torchvision's names.

    Args:
        vocab: The names of the classes.
        model: The detector's name.
        weights: Weights of the whole network: the name of published ones ("DEFAULT"), which are
            downloaded once, or null. Layers of another number of classes start at random.
        weights_backbone: Weights of the backbone alone: the name of published ones, or null.
        min_size: Pixels of the shorter side to which images are resized inside. Default: they are
            not, unless `max_size` is given. SSD has a size of its own.
        max_size: Most pixels of the longer side.
        initializer: Initial values by regular expressions on parameter names.
        kwargs: The parameters that all detectors have.

    Raises:
        WeightsError: The weights are absent and cannot be downloaded.
    """

    joint_rules: ClassVar[tuple[Rule, ...]] = (network_weights_faults, _ssd_has_its_size)

    def __init__(
        self,
        vocab: Vocabulary,
        model: DetectorName,
        weights: str | None = None,
        weights_backbone: str | None = None,
        min_size: Count | None = None,
        max_size: Count | None = None,
        initializer: InitializerApplicator | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(vocab, **kwargs)
        self.network = network_with_weights(
            model, weights, weights_backbone, num_classes=self.num_labels + 1
        )
        if model not in _FIXED_SIZE:
            set_sizes(self.network, min_size, max_size)
        if weights is None and weights_backbone is None:
            # SSDlite's momentum of 0.03 is for long trainings; see `torchvision_segmentation`
            for module in self.network.modules():
                if isinstance(module, torch.nn.BatchNorm2d):
                    module.momentum = _FRESH_MOMENTUM
        if initializer is not None:
            initializer(self)


def _ssdlite_weights_faults(
    weights: str | None, weights_backbone: str | None
) -> Iterator[tuple[str, str]]:
    yield from network_weights_faults(_SSDLITE, weights, weights_backbone)


@Model.register("ssdlite")
class SsdliteDetector(TorchvisionDetection):
    """The detector `ssdlite320_mobilenet_v3_large` of `torchvision_detection`, for CPUs.

    Liu et al. 2016 (arXiv:1512.02325), Sandler et al. 2018 (arXiv:1801.04381). Images are resized
    to 320x320 inside.

    Args:
        vocab: The names of the classes.
        weights: Weights of the whole network: the name of published ones ("DEFAULT"), or null.
        weights_backbone: Weights of the backbone alone: the name of published ones, or null.
        num_labels: Number of classes; that of the vocabulary by default.
        label_namespace: Namespace of the class names in the vocabulary.
        initializer: Initial values by regular expressions on parameter names.
        regularizer: Penalties that training adds to the loss.
        metrics: Registered metrics of boxes beside the model's own.

    Raises:
        WeightsError: The weights are absent and cannot be downloaded.
    """

    joint_rules = (_ssdlite_weights_faults,)

    def __init__(
        self,
        vocab: Vocabulary,
        weights: str | None = None,
        weights_backbone: str | None = None,
        num_labels: Count | None = None,
        label_namespace: str = "labels",
        initializer: InitializerApplicator | None = None,
        regularizer: RegularizerApplicator | None = None,
        metrics: AddableMetrics = None,
    ) -> None:
        super().__init__(
            *(vocab, _SSDLITE, weights, weights_backbone),
            initializer=initializer,
            num_labels=num_labels,
            label_namespace=label_namespace,
            regularizer=regularizer,
            metrics=metrics,
        )
