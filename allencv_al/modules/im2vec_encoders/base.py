"""The bases of encoders from a feature map, or an image, to a vector."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from overrides import overrides
from torch import Tensor

from allencv_al.common import ConfigurationError, Registrable
from allencv_al.modules.image_shape import misfit_reported, run_on_meta, shape_text
from allencv_al.modules.network_encoder import NetworkEncoder
from allencv_al.modules.weights import NameMap

_FOLDER = "allencv_al.modules.im2vec_encoders"


class Im2VecEncoder(torch.nn.Module, Registrable):
    """A network from a feature map (or an image) to one vector.

    A subclass writes `forward`, `get_input_channels` and `get_output_dim`, and overrides
    `check_input` where the size of the map matters.
    """

    builtin: ClassVar[dict[str, str]] = {
        "flatten": f"{_FOLDER}.flatten",
        "open_clip": f"{_FOLDER}.open_clip_vectors",
        "pool": f"{_FOLDER}.pooling",
        "timm": f"{_FOLDER}.timm_vectors",
        "torchvision": f"{_FOLDER}.torchvision_vectors",
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


class VectorEncoder(NetworkEncoder, Im2VecEncoder):
    """The common part of encoders from an image to a vector; it stands alone in a model.

    The length of the vector is found by running the network on the `meta` device, where nothing is
    computed.

    Args:
        model: The network, from `[B, C, H, W]` to `[B, D]`.
        input_channels: C.
        requires_grad: Whether the network trains; frozen otherwise.
        image_size: Height and width of images that it takes, in pixels.
        name_maps: Names of its parameters in foreign weights files.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        input_channels: int,
        requires_grad: bool,
        image_size: tuple[int, int],
        name_maps: tuple[NameMap, ...] = (),
    ) -> None:
        super().__init__(model, input_channels, requires_grad, name_maps)
        self._image_size = image_size
        self._output_dim: int | None = None

    @overrides
    def get_output_dim(self) -> int:
        if self._output_dim is None:
            self._output_dim = self._length_on_meta(*self._image_size)
        return self._output_dim

    @overrides
    def check_input(self, channels: int, height: int | None, width: int | None) -> None:
        super().check_input(channels, height, width)
        if height is not None and width is not None:
            self._length_on_meta(height, width)

    def _length_on_meta(self, height: int, width: int) -> int:
        name, channels = type(self).__name__, self.get_input_channels()
        with misfit_reported(name, shape_text(channels, height, width), "of another size?"):
            shape = run_on_meta(self, channels, height, width)
        if len(shape) != 1:
            found = "x".join(map(str, shape))
            raise ConfigurationError(f"{name} gives {found}, not a vector")
        return shape[0]
