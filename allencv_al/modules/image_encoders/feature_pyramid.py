"""The feature pyramid network over another encoder."""

from __future__ import annotations

from collections import OrderedDict

from overrides import overrides
from torch import Tensor
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from allencv_al.modules.feedforward import Count
from allencv_al.modules.image_encoders.base import ImageEncoder


@ImageEncoder.register("feature_pyramid")
class FeaturePyramid(ImageEncoder):
    """Maps that are all of one width, in which the coarse ones are added to the finer ones.

    Lin et al. 2017, arXiv:1612.03144, by torchvision. One map more than the backbone has: the last
    is the coarsest one at half its size. Parameters are `backbone.…` and `model.…`.

    Args:
        backbone: The encoder of the maps.
        output_channels: Channels of each map.
    """

    def __init__(self, backbone: ImageEncoder, output_channels: Count) -> None:
        super().__init__()
        self.backbone = backbone
        self.model = FeaturePyramidNetwork(
            backbone.get_output_channels(), output_channels, extra_blocks=LastLevelMaxPool()
        )

    @overrides
    def forward(self, image: Tensor) -> list[Tensor]:
        maps = self.backbone(image)
        named = OrderedDict((str(level), one) for level, one in enumerate(maps))
        return list(self.model(named).values())

    @overrides
    def get_input_channels(self) -> int:
        return self.backbone.get_input_channels()
