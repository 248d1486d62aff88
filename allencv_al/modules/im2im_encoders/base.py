"""The bases of encoders from an image to a feature map."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

import torch
from overrides import overrides
from torch import Tensor

from allencv_al.common import ConfigurationError, Registrable
from allencv_al.common.user_mistakes import UserCodeError
from allencv_al.modules.image_shape import ImageShape, probe_sizes, run_on_meta, shape_text
from allencv_al.modules.weights import (
    OUR_CLASSIFIER,
    NameMap,
    load_weights,
    missing_file_faults,
    read_weights,
    reading_enabled,
    source_name,
)

if TYPE_CHECKING:
    from allencv_al.common.config.config_check import ConfigView
    from allencv_al.common.errors import Fault

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
        try:
            return probe_sizes(lambda h, w: self._shape_on_meta(channels, h, w), height, width)
        except (ConfigurationError, UserCodeError):
            raise
        except Exception as error:  # whatever a network raises for an image it cannot take
            cause = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ConfigurationError(
                f"{name} cannot take images of {given} (too small, or its own output_shape is "
                f"needed): {cause}"
            ) from error

    def _shape_on_meta(self, channels: int, height: int, width: int) -> ImageShape:
        shape = run_on_meta(self, channels, height, width)
        if len(shape) != 3:
            found = "x".join(map(str, shape))
            raise ConfigurationError(
                f"{type(self).__name__} gives {found}, not a feature map of channels x height x "
                "width"
            )
        return shape[0], shape[1], shape[2]


logger = logging.getLogger(__name__)


class FeatureEncoder(Im2ImEncoder):
    """The common part of the built-in encoders; its parameters are `model.…`.

    A frozen one runs in evaluation mode and without gradients, always: the statistics of its
    batch norms stay as they are, dropout does nothing, and its output does not depend on the other
    images of a batch.

    Args:
        model: The network, from `[B, C, H, W]` to `[B, C', H', W']`.
        input_channels: C.
        requires_grad: Whether the network trains; frozen otherwise.
        name_maps: How foreign weights files call its parameters.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        input_channels: int,
        requires_grad: bool,
        name_maps: tuple[NameMap, ...] = (),
    ) -> None:
        super().__init__()
        self.model = model
        self.name_maps = (OUR_CLASSIFIER, *name_maps)
        self._input_channels = input_channels
        self._frozen = not requires_grad
        if self._frozen:
            self.requires_grad_(False)
            self.eval()  # batch norms keep their statistics, too

    @classmethod
    @overrides
    def config_faults(cls, config: ConfigView) -> Iterator[Fault]:
        yield from missing_file_faults(config)

    @property
    def frozen(self) -> bool:
        """Whether the network never trains."""
        return self._frozen

    @overrides
    def get_input_channels(self) -> int:
        return self._input_channels

    @overrides
    def forward(self, image: Tensor) -> Tensor:
        if self._frozen:
            with torch.no_grad():
                return self.encode(image)
        return self.encode(image)

    def encode(self, image: Tensor) -> Tensor:
        """Run the network; `forward` adds the freezing."""
        features: Tensor = self.model(image)
        return features

    def train(self, mode: bool = True) -> Self:
        """Set training mode; a frozen encoder stays in evaluation mode."""
        return super().train(mode and not self._frozen)

    def warn_if_frozen_at_random(self, reads_weights: bool) -> None:
        """Warn of a frozen network with random weights.

        Args:
            reads_weights: Whether the encoder starts from given weights.
        """
        if self._frozen and not reads_weights and reading_enabled():
            logger.warning(
                "the encoder (%s) is frozen with random weights: give it pretrained weights or a "
                "weights file, or let it train (requires_grad: true)",
                type(self).__name__,
            )

    def read_weights_file(self, source: Path | str | None) -> None:
        """Load the network's weights from a file, a folder or a package; see `read_weights`.

        Does nothing while reading is disabled.

        Args:
            source: Where they are, or None to leave the network as it is.

        Raises:
            WeightsError: It is absent, damaged, or does not fit.
        """
        if source is not None and reading_enabled():
            load_weights(self, read_weights(source), source_name(source), self.name_maps)
