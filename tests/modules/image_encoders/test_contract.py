"""What every registered encoder of several maps promises, on small configs."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from allencv_al.modules.image_encoders import ImageEncoder, MapsEncoder

RESNET: dict[str, Any] = {"type": "resnet_encoder", "resnet_model": "resnet18"}
CONFIGS: dict[str, dict[str, Any]] = {
    "conv_maps": {"base_channels": 4, "num_levels": 3},
    "feature_pyramid": {
        "backbone": {"type": "conv_maps", "base_channels": 4},
        "output_channels": 8,
    },
    "resnet_encoder": RESNET,
    "timm": {"model": "resnet10t"},
}
SCALES = {
    "conv_maps": [1, 2, 4],
    "feature_pyramid": [1, 2, 4, 8, 16],
    "resnet_encoder": [4, 8, 16, 32],
    "timm": [2, 4, 8, 16, 32],
}


def build(name: str, **changes: Any) -> ImageEncoder:
    return ImageEncoder.from_params({"type": name, **CONFIGS[name], **changes})


def test_there_is_a_config_for_every_name() -> None:
    assert sorted(CONFIGS) == ImageEncoder.list_available()


@pytest.mark.parametrize("name", CONFIGS)
def test_shapes_are_those_of_a_real_forward(name: str) -> None:
    encoder = build(name).eval()
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    with torch.no_grad():
        maps = encoder(torch.rand(2, 3, 65, 50))
    assert encoder.map_shapes(65, 50) == [tuple(one.shape[1:]) for one in maps]
    assert encoder.get_output_channels() == [one.shape[1] for one in maps]
    assert encoder.get_output_scales() == SCALES[name]
    after = encoder.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())


@pytest.mark.parametrize("name", CONFIGS)
def test_the_shapes_of_a_training_network_touch_nothing(name: str) -> None:
    encoder = build(name).train()
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    state = torch.get_rng_state()
    encoder.map_shapes(64, 64)
    assert torch.equal(torch.get_rng_state(), state)
    after = encoder.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())


@pytest.mark.parametrize("name", ["resnet_encoder", "timm"])
def test_a_frozen_one_does_not_train(name: str) -> None:
    encoder = build(name, requires_grad="false").train()  # the string is AllenNLP's
    assert isinstance(encoder, MapsEncoder) and encoder.frozen
    assert not encoder.training
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
