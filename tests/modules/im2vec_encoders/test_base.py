"""What holds for every encoder to a vector."""

from __future__ import annotations

import pytest
import torch

from allencv_al.common import ConfigurationError
from allencv_al.modules.im2vec_encoders import Im2VecEncoder

FLATTEN = {"type": "flatten", "input_channels": 4, "input_height": 3, "input_width": 2}


CONFIGS: dict[str, dict[str, object]] = {
    "flatten": FLATTEN,
    "pool": {"type": "pool", "input_channels": 4, "mode": "generalized_mean"},
}


def test_there_is_a_config_for_every_name() -> None:
    assert sorted(CONFIGS) == Im2VecEncoder.list_available()


@pytest.mark.parametrize("name", Im2VecEncoder.list_available())
def test_output_dim_is_that_of_a_real_forward(name: str) -> None:
    encoder = Im2VecEncoder.from_params(CONFIGS[name])
    image = torch.rand(5, encoder.get_input_channels(), 3, 2, requires_grad=True)
    vectors = encoder(image)
    assert vectors.shape == (5, encoder.get_output_dim())
    vectors.sum().backward()
    assert image.grad is not None
    encoder.check_input(4, 3, 2)
    encoder.check_input(4, None, None)


@pytest.mark.parametrize("name", Im2VecEncoder.list_available())
def test_a_wrong_input_names_both_shapes(name: str) -> None:
    encoder = Im2VecEncoder.from_params(CONFIGS[name])
    with pytest.raises(ConfigurationError, match=r"takes 4x.* comes in is 5x3x2"):
        encoder.check_input(5, 3, 2)
    with pytest.raises(ConfigurationError, match=r"takes 4x.* comes in is 5x3x2"):
        encoder(torch.rand(1, 5, 3, 2))


@pytest.mark.parametrize("name", ["input_channels", "input_height", "input_width"])
def test_sizes_must_be_positive(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name}: expected int >= 1, found 0"):
        Im2VecEncoder.from_params({**FLATTEN, name: 0})
