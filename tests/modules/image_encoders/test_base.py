"""An image encoder of one's own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from allencv_al.common import ConfigurationError
from allencv_al.common.user_mistakes import UserCodeError
from allencv_al.modules.image_encoders import ImageEncoder


class Pyramid(ImageEncoder):
    """The image at a half and at a quarter of its size."""

    def forward(self, image: Tensor) -> list[Tensor]:
        half = torch.nn.functional.avg_pool2d(image, 2)
        return [half, torch.nn.functional.avg_pool2d(half, 2)]

    def get_input_channels(self) -> int:
        return 3


class OneMap(Pyramid):
    """An encoder that returns no list."""

    def forward(self, image: Tensor) -> Any:
        return image


def test_channels_and_scales_come_from_its_forward() -> None:
    assert Pyramid().get_output_channels() == [3, 3]
    assert Pyramid().get_output_scales() == [2, 4]
    assert Pyramid().map_shapes(33, 20) == [(3, 16, 10), (3, 8, 5)]


def test_a_result_that_is_no_list_of_maps_is_named() -> None:
    with pytest.raises(UserCodeError, match="a list of maps"):
        OneMap().map_shapes()


def test_images_that_are_too_small_are_named() -> None:
    with pytest.raises(ConfigurationError, match="Pyramid cannot take images of 3x1x1"):
        Pyramid().map_shapes(1, 1)
