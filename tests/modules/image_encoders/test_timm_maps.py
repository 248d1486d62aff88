"""The feature maps of timm's networks."""

from __future__ import annotations

import pytest
import timm
import torch

from allencv_al.common import ConfigurationError
from allencv_al.modules.image_encoders import TimmMapsEncoder


def test_maps_are_those_of_timm() -> None:
    encoder = TimmMapsEncoder("resnet10t").eval()
    network = timm.create_model("resnet10t", features_only=True).eval()
    network.load_state_dict(encoder.model.state_dict())
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        for found, expected in zip(encoder(image), network(image), strict=True):
            torch.testing.assert_close(found, expected)
    assert encoder.get_output_channels() == network.feature_info.channels()
    assert encoder.get_output_scales() == network.feature_info.reduction()


def test_a_network_that_is_unknown_is_named() -> None:
    with pytest.raises(ConfigurationError, match='timm has no model "resnet10x"'):
        TimmMapsEncoder("resnet10x")
