"""The common part of encoders around one network: freezing, and weights to begin with."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from allencv_al.modules.weights import (
    OUR_CLASSIFIER,
    OUR_VECTOR_CLASSIFIER,
    Convert,
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

logger = logging.getLogger(__name__)


class NetworkEncoder(torch.nn.Module):
    """An encoder around one network, whose parameters are `model.…`.

    A frozen one runs in evaluation mode and without gradients, always: the statistics of its
    batch norms stay as they are, dropout does nothing, and its output does not depend on the other
    images of a batch.

    Args:
        model: The network, from images `[B, C, H, W]`.
        input_channels: C.
        requires_grad: Whether the network trains; frozen otherwise.
        name_maps: Names of its parameters in foreign weights files.
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
        self.name_maps = (OUR_CLASSIFIER, OUR_VECTOR_CLASSIFIER, *name_maps)
        self._input_channels = input_channels
        self._frozen = not requires_grad
        if self._frozen:
            self.requires_grad_(False)
            self.eval()  # batch norms keep their statistics, too

    @classmethod
    def config_faults(cls, config: ConfigView) -> Iterator[Fault]:
        """Yield a fault if the config names weights that are absent."""
        yield from missing_file_faults(config)

    @property
    def frozen(self) -> bool:
        """Whether the network never trains."""
        return self._frozen

    def get_input_channels(self) -> int:
        """Return C, the number of channels an image must have."""
        return self._input_channels

    def forward(self, image: Tensor) -> Any:
        """Return what `encode` returns, without gradients if the encoder is frozen.

        But for an image whose own gradient was asked for, as saliency does.
        """
        if self._frozen and not (image.requires_grad and image.is_leaf):
            with torch.no_grad():
                return self.encode(image)
        return self.encode(image)

    def encode(self, image: Tensor) -> Any:
        """Run the network; `forward` adds the freezing."""
        return self.model(image)

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

    def read_weights_file(self, source: Path | str | None, convert: Convert | None = None) -> None:
        """Load the network's weights from a file, a folder or a package; see `read_weights`.

        Does nothing while reading is disabled.

        Args:
            source: Their place, or None to leave the network as it is.
            convert: See `load_weights`.

        Raises:
            WeightsError: It is absent, damaged, or does not fit.
        """
        if source is not None and reading_enabled():
            tensors = read_weights(source)
            load_weights(self, tensors, source_name(source), self.name_maps, convert)
