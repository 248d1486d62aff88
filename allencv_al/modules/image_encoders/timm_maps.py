"""The feature maps of a timm network."""

from __future__ import annotations

from overrides import overrides
from torch import Tensor

from allencv_al.modules.feedforward import Count
from allencv_al.modules.image_encoders.base import ImageEncoder, MapsEncoder
from allencv_al.modules.timm_networks import build_feature_maps, known_model


@ImageEncoder.register("timm")
class TimmMapsEncoder(MapsEncoder):
    """A network of the timm library with a map of each of its scales (`features_only`).

    Convolutional networks begin at 1/2 of the image's size, most others at 1/4. Parameters are
    `model.` and timm's own names.

    Args:
        model: The network's name in timm, for example `resnet18` or `convnext_tiny`.
        pretrained: Whether to begin with timm's weights, which are downloaded once.
        requires_grad: Whether it trains. A frozen one also keeps its batch-norm statistics.
        input_channels: Channels of the image; timm adapts pretrained weights to others than 3.

    Raises:
        ConfigurationError: timm has no such network, or it has no feature maps.
        WeightsError: The weights are absent or cannot be downloaded.
    """

    joint_rules = (known_model,)

    def __init__(
        self,
        model: str,
        pretrained: bool = False,
        requires_grad: bool = True,
        input_channels: Count = 3,
    ) -> None:
        network = build_feature_maps(model, pretrained, input_channels)
        super().__init__(network, input_channels, requires_grad)
        self._channels_last = getattr(network, "output_fmt", "NCHW") == "NHWC"
        self.warn_if_frozen_at_random(pretrained)

    @overrides
    def encode(self, image: Tensor) -> list[Tensor]:
        maps = self.model(image)
        return [one.permute(0, 3, 1, 2) for one in maps] if self._channels_last else list(maps)
