"""The bases of encoders from an image to a feature map."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from allencv_al.common import ConfigurationError, Registrable
from allencv_al.modules.image_shape import (
    ImageShape,
    misfit_reported,
    probe_sizes,
    run_on_meta,
    shape_text,
)
from allencv_al.modules.network_encoder import NetworkEncoder

_FOLDER = "allencv_al.modules.im2im_encoders"


class Im2ImEncoder(torch.nn.Module, Registrable):
    """A network from an image to an image of features.

    A subclass writes `forward` and `get_input_channels`; what comes out is found by running the
    network on the `meta` device, where nothing is computed. A network that cannot run there
    overrides `output_shape`.
    """

    builtin: ClassVar[dict[str, str]] = {
        "cifar_resnet": f"{_FOLDER}.cifar_resnet",
        "conv_levels": f"{_FOLDER}.conv_levels",
        "feedforward": f"{_FOLDER}.feedforward_encoder",
        "pretrained_resnet": f"{_FOLDER}.pretrained_resnet",
        "resnet": f"{_FOLDER}.pretrained_resnet",
        "timm": f"{_FOLDER}.timm",
        "torchvision": f"{_FOLDER}.torchvision",
    }

    def __init__(self) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, image: Tensor) -> Tensor:
        """Return the feature map `[B, C', H', W']` of images `[B, C, H, W]`, float."""
        raise NotImplementedError

    @abstractmethod
    def get_input_channels(self) -> int:
        """Return C, the number of channels an image must have."""
        raise NotImplementedError

    def get_output_channels(self) -> int:
        """Return C', the number of channels of the feature map."""
        return self.output_shape(self.get_input_channels(), None, None)[0]

    def output_shape(self, channels: int, height: int | None, width: int | None) -> ImageShape:
        """Return the shape of the feature map; nothing is computed, no state is touched.

        Args:
            channels: Channels of the image.
            height: Its height in pixels; None where it varies by image.
            width: Its width in pixels; None where it varies by image.

        Returns:
            Channels, height and width; None for a size that varies with the image's.

        Raises:
            ConfigurationError: The image does not fit; both shapes are in the message.
        """
        expected = self.get_input_channels()
        given = shape_text(channels, height, width)
        name = type(self).__name__
        if channels != expected:
            raise ConfigurationError(
                f"{name} takes images of {shape_text(expected, None, None)}, found {given}"
            )
        with misfit_reported(name, given, "too small, or its own output_shape is needed"):
            return probe_sizes(lambda h, w: self._shape_on_meta(channels, h, w), height, width)

    def _shape_on_meta(self, channels: int, height: int, width: int) -> ImageShape:
        shape = run_on_meta(self, channels, height, width)
        if len(shape) != 3:
            found = "x".join(map(str, shape))
            raise ConfigurationError(
                f"{type(self).__name__} gives {found}, not a feature map of channels x height x "
                "width"
            )
        return shape[0], shape[1], shape[2]


class FeatureEncoder(NetworkEncoder, Im2ImEncoder):
    """The common part of the built-in encoders: a network from `[B, C, H, W]` to `[B, C', H', W']`.

    Its arguments are those of `NetworkEncoder`, which freezes it and reads its weights.
    """
