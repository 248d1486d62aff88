"""The way down of a U-Net."""

from __future__ import annotations

import pytest

from allencv_al.common import ConfigurationError
from allencv_al.modules.image_encoders import ConvMapsEncoder


def test_levels_double_the_channels_and_halve_the_image() -> None:
    encoder = ConvMapsEncoder(base_channels=4, num_levels=3)
    assert encoder.map_shapes(32, 48) == [(4, 32, 48), (8, 16, 24), (16, 8, 12)]
    names = {name.rpartition(".")[0] for name, _ in encoder.named_parameters()}
    assert {"model.0.0", "model.2.4"} <= names


def test_levels_that_are_skipped_must_be_there() -> None:
    encoder = ConvMapsEncoder(base_channels=4, num_levels=3, skip_levels=2)
    assert encoder.get_output_scales() == [4]
    with pytest.raises(ConfigurationError, match="skip_levels: expected less than num_levels, 3"):
        ConvMapsEncoder(num_levels=3, skip_levels=3)
