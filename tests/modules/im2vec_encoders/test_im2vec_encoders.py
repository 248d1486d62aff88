from __future__ import annotations

import pytest
import torch

from allencv_al.common import ConfigurationError
from allencv_al.modules import FeedForward
from allencv_al.modules.im2vec_encoders import FlattenEncoder, Im2VecEncoder, PoolEncoder

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


def test_flatten_checks_height_and_width() -> None:
    encoder = FlattenEncoder(input_channels=4, input_height=1, input_width=1)
    with pytest.raises(ConfigurationError, match="takes 4x1x1, but what comes in is 4x7x7"):
        encoder(torch.rand(2, 4, 7, 7))
    with pytest.raises(ConfigurationError, match=r"takes 4x1x1, but what comes in is 4x7x\?"):
        encoder.check_input(4, 7, None)


def test_flatten_runs_channel_by_channel() -> None:
    image = torch.arange(24.0).view(1, 4, 3, 2)
    vectors = FlattenEncoder(4, 3, 2)(image.contiguous(memory_format=torch.channels_last))
    assert vectors.tolist() == [list(range(24))]


def test_flatten_with_layers() -> None:
    encoder = Im2VecEncoder.from_params(
        {
            **FLATTEN,
            "feedforward": {
                "input_dim": 24,
                "num_layers": 1,
                "hidden_dims": 7,
                "activations": "relu",
            },
        }
    )
    assert encoder.get_output_dim() == 7
    assert encoder(torch.rand(2, 4, 3, 2)).shape == (2, 7)


def test_layers_of_another_length_are_a_fault() -> None:
    layers = {"input_dim": 25, "num_layers": 1, "hidden_dims": 7, "activations": "relu"}
    message = r"feedforward\.input_dim: expected 24, the length of a flattened 4x3x2, found 25"
    with pytest.raises(ConfigurationError, match=message):
        Im2VecEncoder.from_params({**FLATTEN, "feedforward": layers})
    with pytest.raises(ConfigurationError, match="feedforward: expected 24"):
        FlattenEncoder(4, 3, 2, FeedForward.from_params(layers))


@pytest.mark.parametrize("name", ["input_channels", "input_height", "input_width"])
def test_sizes_must_be_positive(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name}: expected int >= 1, found 0"):
        Im2VecEncoder.from_params({**FLATTEN, name: 0})


def test_average_and_maximum() -> None:
    image = torch.rand(2, 3, 5, 4)
    assert torch.allclose(PoolEncoder(3)(image), image.mean((2, 3)))
    assert torch.equal(PoolEncoder(3, "max")(image), image.amax((2, 3)))
    assert list(PoolEncoder(3).parameters()) == []


@pytest.mark.parametrize(("p", "mode"), [(1.0, "average"), (200.0, "max")])
def test_the_generalized_mean_lies_between(p: float, mode: str) -> None:
    image = torch.rand(2, 3, 5, 4).double().float()
    expected = PoolEncoder(3, mode)(image)  # type: ignore[arg-type]
    found = PoolEncoder(3, "generalized_mean", p=p)(image)
    assert torch.allclose(found, expected, rtol=0.03)


def test_the_exponent_trains_only_if_asked() -> None:
    for learn_p in (True, False):
        encoder = PoolEncoder(2, "generalized_mean", learn_p=learn_p)
        assert [p.requires_grad for p in encoder.parameters()] == [learn_p]
    encoder = PoolEncoder(2, "generalized_mean")
    encoder(torch.zeros(1, 2, 3, 3)).sum().backward()
    assert encoder.p is not None
    assert encoder.p.grad is not None
    assert encoder.p.grad.isfinite()


def test_pool_values_are_checked() -> None:
    with pytest.raises(ConfigurationError, match=r"p: expected float > 0, found -1"):
        Im2VecEncoder.from_params({"type": "pool", "input_channels": 4, "p": -1})
