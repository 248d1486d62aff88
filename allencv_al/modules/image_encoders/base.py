"""The bases of encoders from an image to feature maps of several scales."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from allencv_al.common import Registrable
from allencv_al.common.user_mistakes import wrong_result
from allencv_al.modules.image_shape import misfit_reported, outputs_on_meta, shape_text
from allencv_al.modules.network_encoder import NetworkEncoder

_FOLDER = "allencv_al.modules.image_encoders"
_PROBE = 256  # pixels a side: a map of stride 64 has 4


class ImageEncoder(torch.nn.Module, Registrable):
    """A network from an image to feature maps of several scales, the finest first.

    A subclass writes `forward` and `get_input_channels`; channels and scales of the maps are found
    by running it on the `meta` device, where nothing is computed.
    """

    builtin: ClassVar[dict[str, str]] = {
        "conv_maps": f"{_FOLDER}.conv_maps",
        "feature_pyramid": f"{_FOLDER}.feature_pyramid",
        "resnet_encoder": f"{_FOLDER}.resnet_maps",
        "timm": f"{_FOLDER}.timm_maps",
    }

    def __init__(self) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the maps `[B, C_i, H_i, W_i]` of images `[B, C, H, W]`, float."""
        raise NotImplementedError

    @abstractmethod
    def get_input_channels(self) -> int:
        """Return C, the number of channels an image must have."""
        raise NotImplementedError

    def get_output_channels(self) -> list[int]:
        """Return the number of channels of each map."""
        return [shape[0] for shape in self.map_shapes()]

    def get_output_scales(self) -> list[int]:
        """Return how many pixels of the image lie between two of each map: 4, 8 ..."""
        return [-(-_PROBE // shape[1]) for shape in self.map_shapes()]

    def map_shapes(self, height: int = _PROBE, width: int = _PROBE) -> list[tuple[int, int, int]]:
        """Return channels, height and width of each map; nothing is computed, no state is touched.

        Args:
            height: Height of the image in pixels.
            width: Its width in pixels.

        Raises:
            ConfigurationError: An image of that size does not go through the network.
        """
        channels = self.get_input_channels()
        images = shape_text(channels, height, width)
        with misfit_reported(type(self).__name__, images, "too small?"):
            maps = outputs_on_meta(self, channels, height, width)
        right = isinstance(maps, Sequence) and all(
            isinstance(one, Tensor) and one.ndim == 4 and len(one) == 2 for one in maps
        )
        if not right or not maps:
            wanted = "a list of maps [B, C, H, W], here of 2 images"
            raise wrong_result(self, "forward", wanted, maps)
        return [(one.shape[1], one.shape[2], one.shape[3]) for one in maps]


class MapsEncoder(NetworkEncoder, ImageEncoder):
    """The common part of the encoders around one network; its arguments are `NetworkEncoder`'s."""
