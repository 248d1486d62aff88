"""What every registered encoder promises, on small configs."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from allencv_al.common import ConfigurationError
from allencv_al.modules.im2im_encoders import FeatureEncoder, Im2ImEncoder
from allencv_al.modules.weights import building_without_weights

CONFIGS: dict[str, dict[str, Any]] = {
    "cifar_resnet": {"depth": 8, "base_width": 4},
    "conv_levels": {"conv": "custom", "base_channels": 4},
    "feedforward": {
        "input_channels": 3,
        "num_layers": 2,
        "hidden_channels": [4, 6],
        "activations": "relu",
        "downsample": True,
    },
    "pretrained_resnet": {"resnet_model": "resnet18", "pretrained": False, "requires_grad": True},
    "resnet": {"resnet_model": "resnet18", "pretrained": False},
    "timm": {"model": "resnet10t"},
    "torchvision": {"model": "squeezenet1_1"},
}
FREEZABLE = sorted(set(CONFIGS) - {"conv_levels", "feedforward"})
SIZE = 64


def build(name: str, **changes: Any) -> FeatureEncoder:
    encoder = Im2ImEncoder.from_params({"type": name, **CONFIGS[name], **changes})
    assert isinstance(encoder, FeatureEncoder)
    return encoder


def images(batch_size: int = 2, size: int = SIZE) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch_size, 3, size, size, generator=generator)


def test_there_is_a_config_for_every_name() -> None:
    assert sorted(CONFIGS) == Im2ImEncoder.list_available()


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("size", [64, 75])
def test_output_shape_is_that_of_a_real_forward(name: str, size: int) -> None:
    encoder = build(name).eval()
    features = encoder(images(size=size))
    assert encoder.output_shape(3, size, size) == tuple(features.shape[1:])
    assert encoder.get_output_channels() == features.shape[1]
    assert encoder.get_input_channels() == 3


@pytest.mark.parametrize("name", CONFIGS)
def test_output_shape_touches_nothing(name: str) -> None:
    encoder = build(name).train()
    before = copy.deepcopy(encoder.state_dict())
    random_state = torch.get_rng_state()
    encoder.output_shape(3, SIZE, SIZE)
    encoder.output_shape(3, None, None)
    assert all(torch.equal(tensor, before[name]) for name, tensor in encoder.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random_state)
    assert encoder.training


@pytest.mark.parametrize("name", CONFIGS)
def test_it_is_built_on_meta_without_weights(name: str) -> None:
    absent: dict[str, dict[str, Any]] = {
        "cifar_resnet": {"weights_file": "/absent.th"},
        "pretrained_resnet": {"pretrained": True},
        "timm": {"pretrained": True},
        "torchvision": {"weights": "/absent.pth"},
    }
    with torch.device("meta"):
        encoder = build(name, **absent.get(name, {}))
        shape = encoder.output_shape(3, SIZE, SIZE)
    assert all(tensor.is_meta for tensor in encoder.state_dict().values())
    assert shape == build(name).output_shape(3, SIZE, SIZE)


@pytest.mark.parametrize("name", CONFIGS)
def test_other_channels_name_both_shapes(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"takes images of 3x\?x\?, found 1x28x28"):
        build(name).output_shape(1, 28, 28)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_parameter_gets_a_gradient(name: str) -> None:
    encoder = build(name)
    encoder(images()).square().mean().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())
    assert all(parameter.startswith("model.") for parameter, _ in encoder.named_parameters())


@pytest.mark.parametrize("name", FREEZABLE)
def test_a_frozen_one_neither_trains_nor_changes(name: str) -> None:
    encoder = build(name, requires_grad=False)
    before = copy.deepcopy(encoder.state_dict())
    encoder.train()
    assert not any(module.training for module in encoder.modules())
    alone = encoder(images(1))
    together = encoder(images(3))
    # Independent of the batch: no statistics (but more threads sum in another order)
    torch.testing.assert_close(alone, together[:1], rtol=1e-3, atol=1e-4)
    assert not together.requires_grad
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert all(torch.equal(tensor, before[key]) for key, tensor in encoder.state_dict().items())


@pytest.mark.parametrize("name", FREEZABLE)
def test_an_unfrozen_one_updates_its_statistics(name: str) -> None:
    encoder = build(name).train()
    before = copy.deepcopy(encoder.state_dict())
    encoder(images())
    statistics = [key for key in before if key.endswith("running_mean")]
    assert all(not torch.equal(encoder.state_dict()[key], before[key]) for key in statistics)


@pytest.mark.parametrize("name", CONFIGS)
def test_channels_last_gives_the_same(name: str) -> None:
    encoder = build(name).eval()
    expected = encoder(images())
    encoder.to(memory_format=torch.channels_last)
    found = encoder(images().contiguous(memory_format=torch.channels_last))
    assert torch.allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("name", FREEZABLE)
def test_a_network_that_stays_random_is_warned_of(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    build(name, requires_grad=True)
    with building_without_weights():
        build(name, requires_grad=False)
    with torch.device("meta"):
        build(name, requires_grad=False)
    assert caplog.messages == []
    build(name, requires_grad=False)
    assert ["frozen with random weights" in message for message in caplog.messages] == [True]
