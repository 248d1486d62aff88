"""An encoder around one network, `model`, that can be frozen and filled from a weights file."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Self

import torch
from overrides import overrides
from torch import Tensor

from allencv_al.modules.im2im_encoders.base import Im2ImEncoder
from allencv_al.modules.weights import (
    OUR_CLASSIFIER,
    NameMap,
    load_weights,
    missing_file_faults,
    read_weights,
    reading_enabled,
)

if TYPE_CHECKING:
    from allencv_al.common.config.config_check import ConfigView
    from allencv_al.common.errors import Fault

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

    def read_weights_file(self, path: Path | None) -> None:
        """Load the network's weights from a file, unless reading is disabled.

        Args:
            path: The file, or None to leave the network as it is.

        Raises:
            WeightsError: It is absent, damaged, or does not fit.
        """
        if path is not None and reading_enabled():
            load_weights(self, read_weights(path), str(path), self.name_maps)
