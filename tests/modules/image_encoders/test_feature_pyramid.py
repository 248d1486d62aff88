"""The feature pyramid beside its definition."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from allencv_al.modules.image_encoders import ConvMapsEncoder, FeaturePyramid


def test_coarse_maps_are_added_to_finer_ones() -> None:
    backbone = ConvMapsEncoder(base_channels=4, num_levels=2).eval()
    pyramid = FeaturePyramid(backbone, 8).eval()
    image = torch.rand(1, 3, 8, 8)
    fine, coarse = backbone(image)
    inner, layer = pyramid.model.inner_blocks, pyramid.model.layer_blocks
    top = inner[1](coarse)
    finest = layer[0](inner[0](fine) + F.interpolate(top, size=(8, 8)))
    found = pyramid(image)
    torch.testing.assert_close(found[0], finest)
    torch.testing.assert_close(found[1], layer[1](top))
    torch.testing.assert_close(found[2], F.max_pool2d(found[1], 1, 2))
    assert pyramid.get_input_channels() == 3
