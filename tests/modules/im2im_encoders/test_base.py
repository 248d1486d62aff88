"""Encoders that users write."""

from __future__ import annotations

import pytest
import torch

from allencv_al.common import ConfigurationError
from allencv_al.modules.im2im_encoders import Im2ImEncoder


class WholeImage(Im2ImEncoder):
    """A user's encoder with the least that is needed."""

    def get_input_channels(self) -> int:
        return 3

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.cat([image, image], dim=1)


class NoMap(WholeImage):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image.flatten(1)


def test_a_users_encoder_needs_no_shape_of_its_own() -> None:
    assert WholeImage().output_shape(3, 5, 7) == (6, 5, 7)
    assert WholeImage().output_shape(3, None, 7) == (6, None, 7)
    assert WholeImage().get_output_channels() == 6


def test_an_output_that_is_no_map_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="NoMap gives 105, not a feature map"):
        NoMap().output_shape(3, 5, 7)
