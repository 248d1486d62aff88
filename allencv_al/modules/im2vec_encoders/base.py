"""The base of all encoders from a feature map to a vector."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from allencv_al.common import ConfigurationError, Registrable
from allencv_al.modules.image_shape import shape_text

_FOLDER = "allencv_al.modules.im2vec_encoders"


class Im2VecEncoder(torch.nn.Module, Registrable):
    """A network from a feature map (or an image) to one vector.

    A subclass writes `forward`, `get_input_channels` and `get_output_dim`, and overrides
    `check_input` where the size of the map matters.
    """

    builtin: ClassVar[dict[str, str]] = {
        "flatten": f"{_FOLDER}.flatten",
        "pool": f"{_FOLDER}.pooling",
    }

    def __init__(self) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, image: Tensor) -> Tensor:
        """Return vectors `[B, D]` for feature maps `[B, C, H, W]`, float."""
        raise NotImplementedError

    @abstractmethod
    def get_input_channels(self) -> int:
        """Return C, the number of channels a map must have."""
        raise NotImplementedError

    @abstractmethod
    def get_output_dim(self) -> int:
        """Return D, the length of the vectors."""
        raise NotImplementedError

    def check_input(self, channels: int, height: int | None, width: int | None) -> None:
        """Raise if maps of this shape do not fit; None is a size that varies by image.

        Raises:
            ConfigurationError: They do not; both shapes are in the message.
        """
        if channels != self.get_input_channels():
            expected = shape_text(self.get_input_channels(), None, None)
            raise ConfigurationError(
                f"{type(self).__name__} takes {expected}, "
                f"but what comes in is {shape_text(channels, height, width)}"
            )
