from __future__ import annotations

from typing import Any

import pytest
import torch

from allencv_al.common import ConfigurationError
from allencv_al.modules import FeedForward
from allencv_al.modules.activations import Activation, PReLU, ReLU, Tanh


def test_layers_have_the_sizes_asked_for() -> None:
    layers = FeedForward.from_params(
        {
            "input_dim": 6,
            "num_layers": 2,
            "hidden_dims": [5, 4],
            "activations": ["relu", {"type": "leaky_relu", "negative_slope": 0.1}],
            "dropout": [0.0, 0.5],
        }
    )
    assert layers(torch.randn(3, 6)).shape == (3, 4)
    assert (layers.get_input_dim(), layers.get_output_dim()) == (6, 4)
    assert [m.p for m in layers.modules() if isinstance(m, torch.nn.Dropout)] == [0.5]


def test_a_linear_last_layer_leaves_negative_values() -> None:
    torch.manual_seed(0)
    layers = FeedForward(4, 1, 64, Activation.from_params("linear"))
    assert layers(torch.randn(8, 4)).min() < 0


def test_one_activation_for_all_layers_is_not_shared() -> None:
    layers = FeedForward(3, 2, 3, PReLU())
    slopes = [m for m in layers.modules() if isinstance(m, PReLU)]
    assert len(slopes) == 2
    assert slopes[0].weight is not slopes[1].weight


def test_python_callers_may_give_a_name() -> None:
    layers = FeedForward(3, 2, 3, ["relu", "tanh"])  # type: ignore[list-item]
    kinds = [type(m) for m in layers.modules() if isinstance(m, Activation)]
    assert kinds == [ReLU, Tanh]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hidden_dims": [5]}, r"hidden_dims: expected 2 values \(num_layers\), found 1"),
        ({"activations": ["relu"] * 3}, r"activations: expected 2 values .* found 3"),
        ({"dropout": [0.1]}, "dropout: expected 2 values"),
        ({"dropout": 1.0}, "dropout: expected float >= 0 and < 1, found 1.0"),
        ({"num_layers": 0}, "num_layers: expected int >= 1, found 0"),
        ({"input_dim": -1}, "input_dim: expected int >= 1, found -1"),
    ],
)
def test_wrong_values_are_config_faults(arguments: dict[str, object], message: str) -> None:
    right = {"input_dim": 6, "num_layers": 2, "hidden_dims": 5, "activations": "relu"}
    with pytest.raises(ConfigurationError, match=message):
        FeedForward.from_params({**right, **arguments})


@pytest.mark.parametrize(
    "given",
    [torch.nn.Tanh(), [torch.nn.Tanh(), "tanh"], torch.nn.ModuleList([torch.nn.Tanh()] * 2)],
)
def test_any_module_can_be_the_activation(given: Any) -> None:
    torch.manual_seed(0)
    network = FeedForward(4, num_layers=2, hidden_dims=3, activations=given)
    torch.manual_seed(0)
    expected = FeedForward(
        4, num_layers=2, hidden_dims=3, activations=Activation.from_params("tanh")
    )
    vectors = torch.randn(5, 4)
    torch.testing.assert_close(network(vectors), expected(vectors))
