"""Segmentation by an encoder of several scales and a decoder, with AllenCV's keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import torch
from annotated_types import Ge, Interval
from overrides import overrides
from torch import Tensor
from torch.nn import functional as F

from allencv_al.common import ConfigurationError, Lazy
from allencv_al.common.config.config_check import ConfigView, Fault
from allencv_al.common.errors import ConfigurationFaults
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.models.model import AddableMetrics, Model
from allencv_al.models.segmentation.segmentation_model import ClassCount, SegmentationModel
from allencv_al.modules.feedforward import Count
from allencv_al.modules.image_decoders import ImageDecoder
from allencv_al.modules.image_encoders.base import ImageEncoder
from allencv_al.modules.image_shape import ImageShape, shape_text
from allencv_al.modules.initializer_applicator import InitializerApplicator
from allencv_al.modules.regularizers import RegularizerApplicator
from allencv_al.modules.weights import building_without_weights
from allencv_al.tasks.segmentation_task import VOID


@Model.register("semantic_segmentation")
class SemanticSegmentation(SegmentationModel):
    """Give every pixel a class: `encoder`, `decoder`, and a linear layer at each place.

    The logits are enlarged to the image's size, bilinearly. For images of any size. Metrics:
    `miou`, `accuracy` of pixels, `mean_dice`, `frequency_weighted_iou`, `per_class_iou` and
    `per_class_dice`; choose epochs by `+miou`.

    Args:
        vocab: The names of the classes, if it has as many.
        encoder: From the image to maps of several scales.
        decoder: From these maps to one.
        num_classes: Number of classes, C; masks hold 0 to C - 1.
        batch_size_per_image: Number of pixels of each image in the loss of training, drawn anew
            for each batch. Default: all of them, which leaves probabilities unbiased.
        sample_positive_fraction: Share of these pixels from classes above 0 (the background), as
            far as there are so many.
        ignore_index: Index of void pixels, which are left out of loss and metrics.
        initializer: Initial values by regular expressions on parameter names.
        regularizer: Penalties that training adds to the loss.
        metrics: Registered metrics beside those above; they take pixels for items.

    Raises:
        ConfigurationError: The decoder does not fit the encoder.
    """

    def __init__(
        self,
        vocab: Vocabulary,
        encoder: ImageEncoder,
        decoder: Lazy[ImageDecoder],
        num_classes: ClassCount,
        batch_size_per_image: Count | None = None,
        sample_positive_fraction: Annotated[float, Interval(ge=0, le=1)] = 0.5,
        ignore_index: Annotated[int, Ge(0)] = VOID,
        initializer: InitializerApplicator | None = None,
        regularizer: RegularizerApplicator | None = None,
        metrics: AddableMetrics = None,
    ) -> None:
        super().__init__(
            *(vocab, num_classes, ignore_index, batch_size_per_image, sample_positive_fraction),
            *(regularizer, metrics),
        )
        self._encoder = encoder
        self._decoder = _fitting(encoder, decoder)
        self._final_layer = torch.nn.Conv2d(self._decoder.get_output_channels(), num_classes, 1)
        if initializer is not None:
            initializer(self)

    @overrides
    def scores(self, image: Tensor) -> dict[str, Tensor]:
        logits = self._final_layer(self._decoder(self._encoder(image)))
        size = image.shape[-2:]
        if logits.shape[-2:] != size:
            logits = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
        return {"logits": logits}

    @overrides
    def deepest_map(self, image: Tensor) -> Tensor:
        maps: list[Tensor] = self._encoder(image)
        return maps[-1]

    @classmethod
    @overrides
    def shape_faults(cls, config: ConfigView, image_shape: ImageShape) -> Iterator[Fault]:
        # A list, because a generator must not be left while the default device is "meta".
        with torch.device("meta"), building_without_weights():
            faults = list(_chain_faults(config, image_shape))
        yield from faults


def _fitting(encoder: ImageEncoder, decoder: Lazy[ImageDecoder]) -> ImageDecoder:
    channels = encoder.get_output_channels()
    lazy: Lazy[ImageDecoder] = Lazy.wrap(decoder)
    built = lazy.construct(map_channels=channels)
    fault = built.channel_fault(channels)
    if fault is not None:
        raise ConfigurationError(f"decoder.{fault}")
    return built


def _chain_faults(config: ConfigView, image_shape: ImageShape) -> Iterator[Fault]:
    if not config.sound("encoder"):
        return
    try:
        encoder: ImageEncoder = config.build("encoder")
        channels = encoder.get_output_channels()
    except ConfigurationFaults as error:
        yield from error.faults
        return
    except ConfigurationError as error:
        yield config.fault("encoder", str(error))
        return
    if encoder.get_input_channels() != image_shape[0]:
        expected = shape_text(encoder.get_input_channels(), None, None)
        found = shape_text(*image_shape)
        yield config.fault("encoder", f"takes images of {expected}, found {found}")
    if not config.sound("decoder"):
        return
    try:
        decoder: ImageDecoder = config.build("decoder", map_channels=channels)
    except ConfigurationFaults as error:
        yield from error.faults
        return
    fault = decoder.channel_fault(channels)
    if fault is not None:
        name, _, message = fault.partition(": ")
        yield config.fault(f"decoder.{name}", message)
