"""What holds for every encoder to a vector, those from a map and those from an image."""

from __future__ import annotations

import copy

import pytest
import torch

from allencv_al.common import ConfigurationError
from allencv_al.modules.im2vec_encoders import Im2VecEncoder, VectorEncoder

FLATTEN = {"type": "flatten", "input_channels": 4, "input_height": 3, "input_width": 2}


FROM_MAPS: dict[str, dict[str, object]] = {
    "flatten": FLATTEN,
    "pool": {"type": "pool", "input_channels": 4, "mode": "generalized_mean"},
}
SIZE = 160
_VISION = {"image_size": SIZE, "layers": 2, "width": 16, "head_width": 8, "patch_size": 32}
FROM_IMAGES: dict[str, dict[str, object]] = {
    "open_clip": {"type": "open_clip", "model": {"embed_dim": 12, "vision_cfg": _VISION}},
    "timm": {"type": "timm", "model": "test_vit"},
    "torchvision": {"type": "torchvision", "model": "shufflenet_v2_x0_5"},
}


def build(name: str, **changes: object) -> VectorEncoder:
    encoder = Im2VecEncoder.from_params({**FROM_IMAGES[name], **changes})
    assert isinstance(encoder, VectorEncoder)
    return encoder


def images(batch_size: int = 2) -> torch.Tensor:
    return torch.randn(batch_size, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))


def test_there_is_a_config_for_every_name() -> None:
    assert sorted(FROM_MAPS | FROM_IMAGES) == sorted(Im2VecEncoder.builtin)


@pytest.mark.parametrize("name", FROM_MAPS)
def test_output_dim_is_that_of_a_real_forward(name: str) -> None:
    encoder = Im2VecEncoder.from_params(FROM_MAPS[name])
    image = torch.rand(5, encoder.get_input_channels(), 3, 2, requires_grad=True)
    vectors = encoder(image)
    assert vectors.shape == (5, encoder.get_output_dim())
    vectors.sum().backward()
    assert image.grad is not None
    encoder.check_input(4, 3, 2)
    encoder.check_input(4, None, None)


@pytest.mark.parametrize("name", FROM_MAPS)
def test_a_wrong_input_names_both_shapes(name: str) -> None:
    encoder = Im2VecEncoder.from_params(FROM_MAPS[name])
    with pytest.raises(ConfigurationError, match=r"takes 4x.* comes in is 5x3x2"):
        encoder.check_input(5, 3, 2)
    with pytest.raises(ConfigurationError, match=r"takes 4x.* comes in is 5x3x2"):
        encoder(torch.rand(1, 5, 3, 2))


@pytest.mark.parametrize("name", FROM_IMAGES)
def test_an_image_becomes_a_vector_of_the_length_told(name: str) -> None:
    encoder = build(name)
    assert encoder(images()).shape == (2, encoder.get_output_dim())
    encoder.check_input(3, SIZE, SIZE)
    encoder.check_input(3, None, None)
    with pytest.raises(ConfigurationError, match=r"takes 3x\?x\?, but what comes in is 1x160x160"):
        encoder.check_input(1, SIZE, SIZE)


@pytest.mark.parametrize("name", FROM_IMAGES)
def test_every_parameter_trains(name: str) -> None:
    encoder = build(name)
    encoder(images()).square().mean().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())
    assert all(parameter.startswith("model.") for parameter, _ in encoder.named_parameters())


@pytest.mark.parametrize("name", FROM_IMAGES)
def test_a_frozen_one_neither_trains_nor_changes(name: str) -> None:
    encoder = build(name, requires_grad=False)
    before = copy.deepcopy(encoder.state_dict())
    encoder.train()
    assert not any(module.training for module in encoder.modules())
    alone, together = encoder(images(1)), encoder(images(3))
    torch.testing.assert_close(alone, together[:1], rtol=1e-3, atol=1e-4)
    assert not together.requires_grad
    assert all(torch.equal(tensor, before[key]) for key, tensor in encoder.state_dict().items())


@pytest.mark.parametrize("name", FROM_IMAGES)
def test_it_is_built_on_meta_and_asked_for_its_length_there(name: str) -> None:
    with torch.device("meta"):
        encoder = build(name)
        assert encoder.get_output_dim() == build(name).get_output_dim()
    assert all(tensor.is_meta for tensor in encoder.state_dict().values())


@pytest.mark.parametrize("name", ["input_channels", "input_height", "input_width"])
def test_sizes_must_be_positive(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name}: expected int >= 1, found 0"):
        Im2VecEncoder.from_params({**FLATTEN, name: 0})
